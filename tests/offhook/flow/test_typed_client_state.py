"""Typed client_state: what went in comes out, and nothing else does."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.commands.catalog import command_from
from offhook.events import CallAnswered, CommandFailed, TimerFired
from offhook.flow.typed_client_state import CLIENT_STATE_CHARS_MAX, client_state, state_of
from offhook.session import Leg


@dataclass(frozen=True, kw_only=True)
class Order:
    number: int
    note: str = ""
    due_at: datetime | None = None
    items: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Parcel:
    number: int


orders = st.builds(
    Order,
    number=st.integers(-(2**63), 2**63 - 1),
    note=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    due_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    items=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=3),
)


@given(orders)
def test_what_goes_in_comes_out(order: Order) -> None:
    text = client_state(order)
    assert state_of(Order, CallAnswered(client_state=text)) == order
    assert state_of(Order, Leg(call_control_id="a", client_state=text)) == order
    command_from("answer", {"client_state": text}, "v3:a")


def test_a_state_of_another_class_is_not_taken_for_this_one() -> None:
    event = CallAnswered(client_state=client_state(Parcel(number=7)))
    assert state_of(Order, event) is None
    assert state_of(Parcel, event) == Parcel(number=7)


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no base64!",
        "YQ==",
        base64.b64encode(b"\xff\x00").decode(),
        encoded(7),
        encoded([]),
        encoded({}),
        encoded({"number": 7}),
        encoded({"Order": 7}),
        encoded({"Order": {}}),
        encoded({"Order": {"number": "seven"}}),
        encoded({"Order": {"number": 7}, "Parcel": {"number": 7}}),
        base64.b64encode(b"[" * 100_000).decode(),
    ],
)
def test_what_is_not_ours_is_none(text: str | None) -> None:
    assert state_of(Order, CallAnswered(client_state=text)) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert state_of(Order, CallAnswered(client_state=text)) is None


def test_a_state_of_an_older_version_has_its_defaults() -> None:
    event = CallAnswered(client_state=encoded({"Order": {"number": 7, "gone": 1}}))
    assert state_of(Order, event) == Order(number=7)


def test_events_of_offhooks_own_have_no_state() -> None:
    assert state_of(Order, TimerFired(name="t")) is None
    failed = CommandFailed(command_id="c", operation="dial", reason="refused")
    assert state_of(Order, failed) is None


def test_a_state_that_is_too_large_names_its_size() -> None:
    with pytest.raises(ValueError, match=r"client_state of Order takes 5\d{3} characters .* 4096"):
        client_state(Order(number=1, note="n" * 4000))
    size = len(client_state(Order(number=1, note="n" * 3000)))
    assert size <= CLIENT_STATE_CHARS_MAX


@pytest.mark.parametrize("value", [None, {"number": 7}, "text", Order])
def test_only_an_instance_of_a_dataclass_is_a_state(value: object) -> None:
    with pytest.raises(ValueError, match="expected an instance of a dataclass"):
        client_state(value)
