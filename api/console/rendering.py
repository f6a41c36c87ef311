"""Templates, and how numbers, times and durations are written in them."""

import re
from datetime import UTC, datetime
from typing import Any

import jinja2
from markupsafe import Markup

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("offhook.api.console"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **shown: Any) -> str:
    """The template with these names in it; a name that is missing is an error.

    A character that XML does not allow is replaced: a caller's name may have any, and an SVG with
    one does not open.
    """
    return _NOT_XML.sub("\ufffd", _environment.get_template(template).render(**shown))


# XML 1.0, section 2.2; without lone surrogates, which UTF-8 cannot encode either.
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def moment(text: str | None) -> Markup:
    """A time of the API as an element: UTC as text, which a script changes to the reader's zone."""
    if not text:
        return Markup('<span class="none">–</span>')
    at = datetime.fromisoformat(text).astimezone(UTC)
    shown = at.strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}">{} UTC</time>').format(text, shown)


def duration(seconds: float | None) -> str:
    """Seconds as m:ss or h:mm:ss; below ten seconds with a decimal."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(seconds: float) -> str:
    """A growing age in whole seconds: 42 s, then m:ss or h:mm:ss, then days."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole >= 172_800:
        return f"{whole // 86_400} days"
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def shortened(text: str | None, most: int = 12) -> str:
    """An id as far as it fits; the whole of it belongs into a title."""
    if not text:
        return "–"
    return text if len(text) <= most else f"{text[: most - 1]}…"


_environment.filters |= {"age": age, "moment": moment, "duration": duration, "shortened": shortened}
