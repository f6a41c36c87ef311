"""What is the same in all templates."""

import re
from pathlib import Path

from offhook.api.console import rendering

TEMPLATES = sorted((Path(rendering.__file__).parent / "templates").glob("*.html"))

COUNT = re.compile(
    r"\{\{ [\w.]+\.(?:abandoned|answered|calls|count|denominator|end_unknown|handled|in_progress"
    r"|left|numerator|offered|short_abandoned|talking|total|unsettled|waiting) \}\}"
)


def test_every_count_has_its_thousands_apart() -> None:
    assert TEMPLATES
    assert {path.name: COUNT.findall(path.read_text()) for path in TEMPLATES} == {
        path.name: [] for path in TEMPLATES
    }


def test_thousands_are_set_apart() -> None:
    assert rendering._environment.from_string("{{ 1003 | grouped }}").render() == "1,003"
