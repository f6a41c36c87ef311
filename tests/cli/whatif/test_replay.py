"""One session through a flow: it sees what the worker showed, and the first change is found."""

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from offhook.cli.whatif.replay import Replay
from offhook.codec.facts import encode
from offhook.commands import Dial, Hangup, UpdateClientState
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CommandFailed,
    CommandRequested,
    Decided,
    Event,
    SessionParked,
    SessionResumed,
)
from offhook.flow import API_FLOW, PARKED, Flow, Order
from offhook.session import Session
from offhook.session.timers import CancelTimer, SetTimer
from offhook.workers.sessions.flows import NOT_ASKED
from tests.cli.whatif.history import (
    LEG,
    NOW,
    History,
    answered,
    command,
    flow_of,
    greet,
    hung_up,
    initiated,
    replayed,
)
from tests.cli.whatif.recording import SESSION, recorded

SEEDS = 20
SEEDS_MAX = 1_000
"""If not all has happened in fewer."""


def plain(value: Any, *left_out: str) -> Any:
    """The value without the order of its mappings, which is the order in which they were read.

    A worker that reads a session anew reads its `.out` before it folds its `.in`.
    """
    match value:
        case Mapping():
            return sorted((str(key), plain(item, *left_out)) for key, item in value.items())
        case AbstractSet():
            return sorted(map(str, value))
        case list() | tuple():
            return [plain(item, *left_out) for item in value]
    if is_dataclass(value):
        names = [each.name for each in fields(value) if each.name not in left_out]
        return [(name, plain(getattr(value, name), *left_out)) for name in names]
    return repr(value)


def everything(event: Event, session: Session) -> Sequence[Order]:
    """Orders that depend on all that a flow can see."""
    return orders_by(repr(plain([event, session])))


def nearly_everything(event: Event, session: Session) -> Sequence[Order]:
    """It raises on some events. When a session was parked, what is left out here depends on when
    its workers looked at it in the meantime, which the log does not say.
    """
    if hashlib.sha256(repr(event).encode()).digest()[0] < 16:
        raise ValueError("no luck")
    return orders_by(repr(plain([event, session], "requested_at", "requested_seq", "facts")))


def orders_by(shown: str) -> Sequence[Order]:
    """They differ if the text does."""
    digest = hashlib.sha256(shown.encode()).digest()
    mark = base64.b64encode(digest).decode()
    orders: list[Order] = [UpdateClientState(client_state=mark)]
    match digest[1] % 6:
        case 0:
            orders.append(SetTimer(name="a", after_s=1 + digest[2] % 9))
        case 1:
            orders.append(CancelTimer(name="a"))
        case 2:
            orders.append(Dial(to="+12025550101", from_="+12025550100", connection_id="1"))
        case 3 | 4 | 5:
            return []
    return orders


@pytest.mark.parametrize(
    ("decide", "policy"),
    [(everything, "none"), (nearly_everything, "none"), (nearly_everything, "hangup")],
)
async def test_the_recorded_flow_shows_no_difference_whatever_happened(
    decide: Any, policy: str
) -> None:
    seed = int.from_bytes(os.urandom(4))
    wanted = {"TimerFired", "CommandFailed", "SessionResumed", "CommandRequested", "LegPlaced"}
    if decide is nearly_everything:
        wanted.add("SessionParked")
    kinds: Counter[str] = Counter()
    same = 0
    for number in range(seed, seed + SEEDS_MAX):
        if number >= seed + SEEDS and wanted <= kinds.keys():
            break
        rows = await recorded([flow_of(decide)], number, policy)
        kinds.update(row[1] for row in rows)
        found = await replayed(rows, flow_of(decide))
        assert found.verdict in ("same", "undecided"), (number, found)
        same += found.same
    # It is no proof if nothing happened.
    assert same > SEEDS
    assert wanted <= kinds.keys(), seed


async def test_two_flows_of_one_session_are_told_apart() -> None:
    """A timer and a failed command go back to their flow, wherever the call came in."""
    seed = int.from_bytes(os.urandom(4))
    first = Flow(
        name="f", version="1", decide=nearly_everything, numbers=frozenset({"+12025550101"})
    )
    second = flow_of(nearly_everything, "g")
    verdicts: Counter[str] = Counter()
    for number in range(seed, seed + SEEDS // 2):
        rows = await recorded([first, second], number)
        for flow in (first, second):
            found = await replayed(rows, flow)
            verdicts[found.verdict] += 1
            assert found.verdict != "different", (number, flow.name, found)
    assert verdicts["same"] > SEEDS // 4


GREET = flow_of(greet, version="2")


def greeted() -> History:
    history = History()
    history.decided(history.webhook(initiated()), command("answer"))
    history.decided(history.webhook(answered()), command("speak", payload="Hello", voice="female"))
    history.decided(history.webhook(hung_up()))
    return history


async def test_the_first_difference_ends_the_comparison() -> None:
    history = greeted()

    def quiet(event: Event, session: Session) -> Sequence[Order]:
        return [Hangup()] if isinstance(event, CallHangup) else greet(event, session)[:1][1:]

    found = await replayed(history.rows, flow_of(quiet))
    assert (found.verdict, found.same, found.after) == ("different", 0, 2)
    assert found.found is not None
    assert (found.found.position, found.found.event) == (1, "call.initiated")
    assert (found.found.version, found.found.difference.kind) == ("1", "missing")


async def test_a_decision_that_asked_for_nothing_is_compared_too() -> None:
    def late(event: Event, session: Session) -> Sequence[Order]:
        return [Hangup()] if isinstance(event, CallHangup) else greet(event, session)

    found = await replayed(greeted().rows, flow_of(late))
    assert (found.same, found.after) == (2, 0)
    assert found.found is not None
    assert (found.found.event, found.found.difference.what) == ("call.hangup", "`hangup` extra")


async def test_every_recorded_version_is_compared_and_named() -> None:
    history = History()
    history.decided(history.webhook(initiated()), command("answer"), version="1")
    history.decided(history.webhook(answered()), command("speak", payload="Hi"), version="1b")
    found = await replayed(history.rows, GREET)
    assert found.versions == ("1", "1b")
    assert found.found is not None
    assert (found.found.version, found.found.difference.kind) == ("1b", "parameters")


async def test_what_has_no_decision_yet_is_not_compared() -> None:
    history = greeted()
    history.webhook(CallAnswered(event_id="e9", call_control_id=LEG))
    assert (await replayed(history.rows, GREET)).same == 3
    assert (await replayed(history.rows[:1], GREET)).verdict == "undecided"


async def test_other_flows_applications_and_the_policy_are_not_compared() -> None:
    history = History()
    history.decided(history.webhook(initiated()), command("hangup"), flow="other")
    assert (await replayed(history.rows, GREET)).verdict == "other_flow"
    request = command("hangup", 2)
    history.decided(history.fact(CommandRequested(command=request)), request, flow=API_FLOW.name)
    history.decided(history.webhook(answered()), command("hangup", 3), flow=PARKED.name)
    history.decided(history.webhook(hung_up()))
    found = await replayed(history.rows, GREET)
    assert (found.verdict, found.same) == ("same", 1)


async def test_all_flows_are_compared_if_asked_for_and_a_call_without_one() -> None:
    history = History()
    history.decided(history.webhook(initiated()), command("answer"), flow="other")
    history.decided(history.webhook(answered()), flow="none")
    found = await Replay(GREET, None, nullcontext).of(SESSION, history.rows)
    assert (found.same, found.verdict) == (1, "different")
    renamed = await replayed(history.rows, GREET, "other")
    assert (renamed.same, renamed.verdict) == (1, "same")


async def test_a_flow_is_tried_on_calls_that_it_would_not_take_now() -> None:
    elsewhere = Flow(name="f", version="3", decide=greet, numbers=frozenset({"+12025550199"}))
    assert (await replayed(greeted().rows, elsewhere)).same == 3


async def test_a_flow_that_raises_is_a_kind_of_its_own() -> None:
    def fails(event: Event, session: Session) -> Sequence[Order]:
        desks: dict[str, list[Order]] = {}
        return greet(event, session) if isinstance(event, CallInitiated) else desks["digit"]

    found = (await replayed(greeted().rows, flow_of(fails))).found
    assert found is not None
    assert found.difference.kind == "error"
    assert found.difference.what.startswith("raises `KeyError` in `fails` (test_replay.py, line ")
    assert found.difference.recorded == ["speak payload='Hello' voice='female'"]
    assert "KeyError: 'digit'" in found.traceback


def parked() -> History:
    history = History()
    history.webhook(initiated())
    history.fact(SessionParked(cause_seq=1, error="flow f 1: KeyError: 'x'", attempts=5))
    return history


async def test_a_parked_session_is_the_same_if_the_flow_still_raises() -> None:
    def fails(event: Event, session: Session) -> Sequence[Order]:
        raise KeyError("x")

    assert (await replayed(parked().rows, flow_of(fails))).verdict == "same"


async def test_a_parked_session_is_recovered_if_it_raises_no_more() -> None:
    found = (await replayed(parked().rows, GREET)).found
    assert found is not None
    assert (found.difference.kind, found.version) == ("recovered", "1")
    assert found.difference.now == ["answer"]
    assert (await replayed(parked().rows, flow_of(greet, "g"))).verdict == "undecided"


async def test_what_was_decided_after_an_operator_resumed_is_compared() -> None:
    history = parked()
    history.rows[1] = (2, "SessionParked", 1, NOW, encode(
        SessionParked(cause_seq=1, error=NOT_ASKED, attempts=5), SESSION).body)  # fmt: skip
    history.fact(SessionResumed())
    history.decided(1, command("answer"))
    found = await replayed(history.rows, GREET)
    assert (found.verdict, found.same) == ("same", 1)


async def test_a_failed_command_is_named_by_its_operation_and_reason() -> None:
    def nothing(event: Event, session: Session) -> Sequence[Order]:
        return []

    history = History()
    seq = history.webhook(initiated())
    history.fact(
        Decided(
            cause_seq=seq, cause_id="x", flow="other", flow_version="1", worker="w", lease_s=3,
            commands=(command("transfer", to="+12025550101"),),
        )
    )  # fmt: skip
    failed = CommandFailed(command_id="transfer-1", operation="transfer", reason="refused")
    history.decided(history.fact(failed), command("hangup"))
    found = (await replayed(history.rows, flow_of(nothing))).found
    assert found is not None
    assert found.event == "failed transfer (refused)"


async def test_a_record_that_cannot_be_read_is_reported_and_nothing_is_compared() -> None:
    history = greeted()
    history.rows[2] = (3, "WebhookReceived", 99, NOW, b"{}")
    found = await replayed(history.rows, GREET)
    assert (found.verdict, found.same) == ("unreadable", 0)
    assert "version 99" in found.why
    gone = [row for row in greeted().rows if row[0] != 3]
    found = await replayed(gone, GREET)
    assert (found.verdict, found.why) == (
        "unreadable",
        "it has a decision on a record that is not there",
    )
