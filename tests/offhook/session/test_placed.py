"""Which leg the carrier's answer to a dial names."""

from typing import Any

import pytest

from offhook.events import IssuedCommand, PlacedLeg
from offhook.session.placed import placed_by

ASKED: dict[str, Any] = {
    "to": "+12025550110",
    "from": "+12025550100",
    "connection_id": "1",
    "client_state": "YQ==",
}
IDS = {"call_control_id": "v3:b", "call_leg_id": "b", "call_session_id": "s"}
LEG = PlacedLeg(
    call_control_id="v3:b",
    session_id="s",
    call_leg_id="b",
    connection_id="1",
    from_number="+12025550100",
    to_number="+12025550110",
    client_state="YQ==",
)


def placed(answer: Any, operation: str = "dial", **asked: Any) -> PlacedLeg | None:
    command = IssuedCommand(command_id="c", operation=operation, parameters=ASKED | asked)
    return placed_by(command, answer)


def test_the_answer_to_a_dial_names_its_leg() -> None:
    assert placed({"data": IDS}) == LEG


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": None},
        {"data": {"result": "ok"}},
        {"data": IDS | {"call_control_id": None}},
        {"data": IDS | {"call_control_id": "v3:\r\nx"}},
        {"data": IDS | {"call_session_id": ""}},
    ],
)
def test_an_answer_without_ids_names_none(answer: Any) -> None:
    assert placed(answer) is None


def test_no_other_command_places_a_leg_that_its_answer_names() -> None:
    assert placed({"data": IDS}, operation="transfer") is None


@pytest.mark.parametrize(
    ("asked", "limit_s"), [(120, 120), (14_400, 14_400), (0, None), (10**9, None), ("60", None)]
)
def test_a_time_limit_counts_if_the_carrier_takes_it(asked: Any, limit_s: int | None) -> None:
    leg = placed({"data": IDS}, time_limit_secs=asked)
    assert leg is not None
    assert leg.time_limit_s == limit_s


def test_what_the_carrier_decides_is_left_open() -> None:
    several = placed({"data": IDS}, to=["+12025550110", "+12025550111"])
    assert several is not None
    assert several.to_number is None
    intended = placed({"data": IDS}, bridge_intent=True, link_to="v3:a")
    assert intended is not None
    assert intended.from_number is None
    keyed = placed({"data": IDS}, to="+12025550110,42")
    assert keyed == LEG


def test_a_session_id_that_no_subject_can_have_is_hashed_as_of_webhooks() -> None:
    odd = placed({"data": IDS | {"call_session_id": "a session"}})
    assert odd is not None
    assert odd.session_id.startswith("h")
