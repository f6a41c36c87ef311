"""Two decisions on one record: what differs, and by which kind."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.events import IssuedCommand, TimerOrder
from offhook.flow.decision import Stored
from offhook.flow.whatif import NAMES_SHOWN_MAX, difference

LEG, OTHER = "v3:a", "v3:b"


def command(operation: str, leg: str | None = LEG, **parameters: Any) -> IssuedCommand:
    return IssuedCommand(
        command_id="1", operation=operation, call_control_id=leg, parameters=parameters
    )


def timer(name: str, after_s: float | None = 5.0) -> TimerOrder:
    return TimerOrder(timer_id="1-0", name=name, call_control_id=LEG, after_s=after_s)


def stored(*orders: IssuedCommand | TimerOrder) -> Stored:
    return Stored(
        commands=tuple(each for each in orders if isinstance(each, IssuedCommand)),
        timers=tuple(each for each in orders if isinstance(each, TimerOrder)),
    )


ANSWER, HANGUP = command("answer"), command("hangup")
SPEAK = command("speak", payload="Hello", voice="female")
PLAY = command("playback_start", audio_url="https://example.com/a.wav")
PATIENCE = timer("patience")

CASES: Sequence[tuple[Stored, Stored, str, str]] = [
    (stored(PLAY), stored(SPEAK), "replaced", "`speak` instead of `playback_start`"),
    (stored(ANSWER, SPEAK), stored(ANSWER), "missing", "`speak` missing"),
    (stored(ANSWER), stored(), "missing", "`answer` missing"),
    (stored(), stored(HANGUP), "extra", "`hangup` extra"),
    (
        stored(ANSWER, SPEAK),
        stored(SPEAK, ANSWER),
        "reordered",
        "`speak`, `answer` in another order",
    ),
    (
        stored(SPEAK),
        stored(command("speak", payload="Hi", voice="female", loop=2)),
        "parameters",
        "`speak` with other `loop`, `payload`",
    ),
    (stored(HANGUP), stored(command("hangup", OTHER)), "parameters", "`hangup` for another leg"),
    (
        stored(HANGUP, command("hangup", OTHER)),
        stored(command("hangup", OTHER)),
        "missing",
        "`hangup` missing",
    ),
    (
        stored(PATIENCE),
        stored(timer("patience", 9)),
        "parameters",
        "timer `patience` with other `after_s`",
    ),
    (stored(PATIENCE), stored(), "missing", "timer `patience` missing"),
    (stored(), stored(timer("patience", None)), "extra", "cancelled timer `patience` extra"),
    (
        stored(PATIENCE),
        stored(timer("other")),
        "replaced",
        "timer `other` instead of timer `patience`",
    ),
    (
        stored(ANSWER, SPEAK),
        stored(command("speak", payload="Hi"), ANSWER, HANGUP),
        "extra",
        "`hangup` extra; `speak` with other `payload`, `voice`; `speak`, `answer` in another order",
    ),
]


@pytest.mark.parametrize(("recorded", "now", "kind", "what"), CASES)
def test_what_differs_is_said(recorded: Stored, now: Stored, kind: str, what: str) -> None:
    found = difference(recorded, now)
    assert found is not None
    assert (found.kind, found.what) == (kind, what)


def test_ids_and_warnings_are_not_compared() -> None:
    recorded = stored(ANSWER, PATIENCE)
    other_ids = Stored(
        commands=(replace(ANSWER, command_id="2"),),
        timers=(replace(PATIENCE, timer_id="2-0"),),
        warnings=("one",),
    )
    assert difference(recorded, other_ids) is None


def test_parameters_are_compared_as_they_are_stored() -> None:
    recorded = stored(command("dial", None, to=["+12025550101"], sip_headers={"a": [1]}))
    now = stored(command("dial", None, to=("+12025550101",), sip_headers={"a": (1.0,)}))
    assert difference(recorded, now) is None


def test_orders_are_shown_without_the_event_s_own_leg_and_without_secrets() -> None:
    with_secret = command("answer", OTHER, sip_auth_password="hunter2hunter2")
    found = difference(
        stored(), stored(command("answer", client_state="YQ=="), with_secret), own_leg=LEG
    )
    assert found is not None
    assert found.now == [
        "answer client_state='YQ=='",
        f"answer leg={OTHER} sip_auth_password='(hidden)'",
    ]


def test_a_long_list_is_shortened() -> None:
    many = stored(*(timer(f"t{number}") for number in range(NAMES_SHOWN_MAX + 2)))
    found = difference(stored(), many)
    assert found is not None
    assert found.what.endswith(f"timer `t{NAMES_SHOWN_MAX - 1}` and 2 more extra")


COMMANDS = st.builds(
    command,
    st.sampled_from(["answer", "speak", "hangup", "dial"]),
    st.sampled_from([LEG, OTHER, None]),
    payload=st.sampled_from([None, "a", "b"]),
)
TIMERS = st.builds(timer, st.sampled_from("abc"), st.sampled_from([None, 1.0, 2.0]))
DECISIONS = st.lists(st.one_of(COMMANDS, TIMERS), max_size=6).map(lambda orders: stored(*orders))


def shape(decision: Stored) -> tuple[Any, ...]:
    """What counts, said independently: everything but the ids."""
    return (
        [(each.operation, each.call_control_id, each.parameters) for each in decision.commands],
        [(each.name, each.after_s) for each in decision.timers],
    )


@given(DECISIONS, DECISIONS)
def test_two_decisions_differ_exactly_if_their_orders_do(one: Stored, other: Stored) -> None:
    assert (difference(one, other) is None) == (shape(one) == shape(other))


@given(DECISIONS, DECISIONS)
def test_what_is_missing_in_one_direction_is_extra_in_the_other(one: Stored, other: Stored) -> None:
    there, back = difference(one, other), difference(other, one)
    opposite = {"missing": "extra", "extra": "missing"}
    if there is not None:
        assert back is not None
        assert back.kind == opposite.get(there.kind, there.kind)
        assert (back.recorded, back.now) == (there.now, there.recorded)


@given(DECISIONS, st.data())
def test_one_order_taken_out_is_one_missing(decision: Stored, data: st.DataObject) -> None:
    orders: list[IssuedCommand | TimerOrder] = [*decision.commands, *decision.timers]
    if orders:
        rest = list(orders)
        gone = rest.pop(data.draw(st.integers(0, len(orders) - 1)))
        found = difference(decision, stored(*rest))
        assert found is not None
        assert found.kind == "missing"
        name = gone.operation if isinstance(gone, IssuedCommand) else f"timer `{gone.name}`"
        assert name in found.what


@given(DECISIONS, st.randoms(use_true_random=False))
def test_another_order_of_the_same_is_reordered(decision: Stored, dice: Any) -> None:
    commands = list(decision.commands)
    dice.shuffle(commands)
    found = difference(decision, decision._replace(commands=tuple(commands)))
    assert found is None or found.kind == "reordered"
