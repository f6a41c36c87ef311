"""Magic numbers, however they are spelt."""

import re
from pathlib import Path

import pytest

from offhook.simulator.call import numbers as module
from offhook.simulator.call.numbers import (
    CommandFault,
    Refuses,
    far_end_of,
    fault_of,
    keys_of,
    recordings_fail,
)


@pytest.mark.parametrize(
    "spelt", ["+12025550{}", "12025550{}", "sip:12025550{}@example.com", "+1-202-555-0{},1w2"]
)
def test_a_magic_number_may_be_written_in_several_ways(spelt: str) -> None:
    assert isinstance(far_end_of(spelt.format("186")), Refuses)
    assert keys_of(spelt.format("164")) == ("4",)
    assert recordings_fail(spelt.format("178"))
    assert fault_of(spelt.format("153")) == CommandFault.UNAVAILABLE
    assert fault_of(spelt.format("199")) == CommandFault.NONE


@pytest.mark.parametrize("other", ["2025550186", "sip:desk@example.com", "anonymous", ""])
def test_no_country_code_is_guessed(other: str) -> None:
    assert not isinstance(far_end_of(other), Refuses)


def test_the_page_of_the_simulator_has_every_number() -> None:
    page = (Path(__file__).parents[3] / "docs/simulator.md").read_text()
    listed = re.findall(r"^\| `(\+\w+)` \|", page, re.MULTILINE)
    known = re.findall(r"^ *(\+\w+)  ", module.__doc__ or "", re.MULTILINE)
    assert listed == known
    assert len(known) > 20
