"""Begun at a snapshot of any position, the state of a session is that of a cold read of the log."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.codec.facts import fact_id_of
from offhook.codec.webhooks import read_event, wire_body
from offhook.events import (
    CallAnswered,
    CallEvent,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
    Record,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerOrder,
    TimerSet,
    WebhookReceived,
)
from offhook.session import Session, fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.reading.state import SessionState, Snapshot
from tests.memory_snapshots import MemorySnapshots
from tests.offhook.session.records import SESSION, at, call_events

EXAMPLES = 40
RECORDS_MAX = 25
OPERATIONS = ("speak", "hangup", "dial")


@dataclass(kw_only=True)
class Worked:
    """A session's records as workers leave them, and at which of them they asked what is next."""

    records: list[Record] = field(default_factory=list)
    asked_at: set[int] = field(default_factory=set)
    undecided: list[int] = field(default_factory=list)
    issued: list[IssuedCommand] = field(default_factory=list)  # without an outcome
    timers: list[str] = field(default_factory=list)  # set, and not fired

    def add(self, fact: Fact, *, wants_decision: bool = False) -> int:
        seq = 3 * len(self.records) + 2
        self.records.append(
            Record(
                seq=seq,
                stored_at=at(1000 + seq),
                session_id=SESSION,
                fact=fact,
                fact_id=fact_id_of(fact, SESSION),
            )
        )
        if wants_decision:
            self.undecided.append(seq)
        return seq


@st.composite
def worked(draw: st.DrawFn) -> Worked:
    log = Worked()
    for number in range(draw(st.integers(1, RECORDS_MAX))):
        if draw(st.booleans()):
            log.asked_at.add(len(log.records))
        # A decision follows most records, as with workers that keep up.
        is_decided, is_settled = draw(st.integers(0, 3)) > 0, draw(st.booleans())
        if log.undecided and is_decided:
            _decide(log, draw)
        elif log.issued and is_settled:
            _settle(log, draw)
        else:
            _arrive(log, draw, number)
    return log


def _arrive(log: Worked, draw: st.DrawFn, number: int) -> None:
    kind = draw(
        st.sampled_from(["event"] * 5 + ["request", "placed", "resumed", "parked", "timer"])
    )
    if kind == "event":
        event, attempt = read_event(wire_body(_storable(draw(call_events(number)))))
        log.add(WebhookReceived(event=event, attempt=attempt), wants_decision=True)
    elif kind == "request":
        operation = draw(st.sampled_from(OPERATIONS))
        command = IssuedCommand(command_id=f"api-{number}", operation=operation)
        log.add(CommandRequested(command=command, requested_by="app"), wants_decision=True)
    elif kind == "placed":
        leg = PlacedLeg(call_control_id="leg-d", session_id=SESSION)
        log.add(LegPlaced(leg=leg, command_id="c", command_session_id="another"))
    elif kind == "resumed":
        log.add(SessionResumed(resumed_by="operator"))
    elif kind == "parked" and log.undecided:
        log.add(SessionParked(cause_seq=log.undecided[0], error="boom", attempts=5))
    elif kind == "timer" and log.timers:
        timer_id = log.timers.pop()
        if draw(st.booleans()):
            log.add(TimerCancelled(timer_id=timer_id, name="t"))
        else:
            log.add(TimerFired(timer_id=timer_id, name="t", due_at=at(2)), wants_decision=True)


def _storable(event: CallEvent) -> CallEvent:
    """Without numbers that no JSON reader gives us."""
    values = {each.name: getattr(event, each.name) for each in fields(event)}
    for name, value in values.items():
        if isinstance(value, int) and abs(value) >= 2**63:
            values[name] = 7
    return type(event)(**values)


def _decide(log: Worked, draw: st.DrawFn) -> None:
    # Nearly always on the oldest; the end of a call goes ahead.
    place = 0 if draw(st.integers(0, 4)) else -1
    cause_seq = log.undecided.pop(place)
    cause = next(each for each in log.records if each.seq == cause_seq)
    if isinstance(cause.fact, CommandRequested):
        commands = [cause.fact.command]
    else:
        commands = [
            IssuedCommand(
                command_id=f"{cause_seq}-{n}", operation=draw(st.sampled_from(OPERATIONS))
            )
            for n in range(draw(st.integers(0, 2)))
        ]
    timers: tuple[TimerOrder, ...] = ()
    if draw(st.integers(0, 3)) == 0:
        timers = (TimerOrder(timer_id=f"{cause_seq}-0", name="t", after_s=1.0),)
    log.add(
        Decided(
            cause_seq=cause_seq,
            cause_id=cause.fact_id,
            flow="f",
            flow_version="1",
            worker=draw(st.sampled_from(["w1", "w2"])),
            lease_s=3.0,
            commands=tuple(commands),
            timers=timers,
        )
    )
    log.issued += commands
    for timer in timers:
        log.timers.append(timer.timer_id)
        if draw(st.booleans()):
            log.add(TimerSet(timer_id=timer.timer_id, name="t", due_at=at(2)))


def _settle(log: Worked, draw: st.DrawFn) -> None:
    command = log.issued[0]
    match draw(st.sampled_from(["attempted", "succeeded", "succeeded", "failed"])):
        case "attempted":
            log.add(
                CommandAttempted(
                    command_id=command.command_id,
                    attempt=2,
                    because="503",
                    worker="w1",
                    lease_s=3.0,
                )
            )
            return
        case "succeeded":
            log.add(CommandSucceeded(command_id=command.command_id, http_status=200))
        case _:
            log.add(
                CommandFailed(
                    command_id=command.command_id,
                    operation=command.operation,
                    reason="refused",
                    maybe_performed=draw(st.sampled_from([None, True, False])),
                ),
                wants_decision=True,
            )
    log.issued.pop(0)


@settings(max_examples=EXAMPLES)
@given(worked())
def test_begun_at_any_position_the_state_is_that_of_a_cold_read(log: Worked) -> None:
    with (
        patch("offhook.session.persistent.COPIED_MAX", 2),
        patch("offhook.session.stored.ENTRIES_MAX", 2),
    ):
        asyncio.run(_compare(log.records, log.asked_at))


def test_most_positions_of_a_call_that_is_kept_up_with_can_be_begun_at() -> None:
    log = Worked()
    for number in range(10):
        seq = log.add(
            CommandRequested(command=IssuedCommand(command_id=str(number), operation="x"))
        )
        log.undecided = [seq]
        log.add(
            Decided(
                cause_seq=seq, cause_id="c", flow="f", flow_version="1", worker="w", lease_s=1.0
            )
        )
    assert asyncio.run(_compare(log.records, set(range(20)))) >= 17


def test_a_cold_read_has_the_legs_in_the_order_of_who_decided() -> None:
    """The leg that a dial placed comes after the leg for which it was dialled."""
    dial = IssuedCommand(command_id="d", operation="dial")
    log = Worked()
    for event_id, leg in (("1", "leg-a"), ("2", "leg-a"), ("3", "leg-b")):
        event = CallAnswered(event_id=event_id, call_control_id=leg, occurred_at=at(1))
        seq = log.add(WebhookReceived(event=event, attempt=1))
        commands = (dial,) if event_id == "2" else ()
        log.add(
            Decided(
                cause_seq=seq,
                cause_id="c",
                flow="f",
                flow_version="1",
                worker="w",
                lease_s=1.0,
                commands=commands,
            )
        )
        if commands:
            placed = PlacedLeg(call_control_id="leg-b", session_id=SESSION)
            log.add(CommandSucceeded(command_id="d", http_status=200, placed=placed))

    async def legs(asked: set[int]) -> list[str]:
        state = SessionState(session=Session(session_id=SESSION))
        for position, each in enumerate(log.records):
            if position in asked:
                await state.next_cause()
            state.add(each)
        await state.next_cause()
        return [*state.session.legs]

    kept_up = asyncio.run(legs(set(range(len(log.records)))))
    assert kept_up == asyncio.run(legs(set())) == ["leg-a", "leg-b"]


async def _compare(records: list[Record], asked_at: set[int]) -> int:
    """How many snapshots there were."""
    cold = _read(SessionState(session=Session(session_id=SESSION)), records)
    cause = await cold.next_cause()
    live = SessionState(session=Session(session_id=SESSION))
    count = 0
    for position, record in enumerate(records):
        if position in asked_at:
            await live.next_cause()
        live.add(record)
        if (snapshot := live.due_snapshot(0)) is None:
            continue
        count += 1
        first = _first(records, snapshot)
        assert snapshot.session == fold(SESSION, first)
        counts = (snapshot.in_count, snapshot.out_count)
        assert counts == tuple(sum(each.side == side for each in first) for side in ("in", "out"))
        warm = await _begun_at(snapshot, records)
        warm_cause = await warm.next_cause()
        assert (warm_cause and warm_cause[0]) == (cause and cause[0])
        if not cold.is_parked():
            assert warm_cause == cause
            assert (warm.session, warm.ahead) == (cold.session, cold.ahead)
            assert [*warm.session.commands] == [*cold.session.commands]
            assert [*warm.session.legs] == [*cold.session.legs]
            assert warm.open_commands() == cold.open_commands()
            assert warm.open_timers() == cold.open_timers()
        _assert_same(warm, cold)
    return count


def _first(records: Sequence[Record], snapshot: Snapshot) -> list[Record]:
    return [
        each
        for each in records
        if each.seq <= (snapshot.in_seq if each.side == "in" else snapshot.out_seq)
    ]


async def _begun_at(snapshot: Snapshot, records: Sequence[Record]) -> SessionState:
    """As another worker does it."""
    snapshots = Snapshots(MemorySnapshots(), "this code", metrics=WorkerMetrics(), sleep=_at_once)
    snapshots.offer(snapshot)
    await snapshots.store_offered()
    kept = await snapshots.read(SESSION)
    assert kept == snapshot
    first = _first(records, kept)
    assert any(map(kept.ends_with, first))
    state = SessionState(session=Session(session_id=SESSION))
    state.begin_at(kept)
    return _read(state, [each for each in records if each not in first])


async def _at_once(seconds: float) -> None:
    """The pause before something is stored."""


def _read(state: SessionState, records: Sequence[Record]) -> SessionState:
    for each in records:
        state.add(each)
    return state


def _assert_same(warm: SessionState, cold: SessionState) -> None:
    """But for what depends on `session`: of a parked one the records that it has in `ahead` are not
    folded into it, and which these are depends on when it was read."""
    assert warm.latest() == cold.latest()
    assert (warm.in_seq, warm.out_seq) == (cold.in_seq, cold.out_seq)
    assert (warm.has_begun, warm.is_archived) == (cold.has_begun, cold.is_archived)
    assert warm.is_parked() == cold.is_parked()
    assert warm.requested_ends() == cold.requested_ends()
    assert warm.due_timers(at(10_000)) == cold.due_timers(at(10_000))
