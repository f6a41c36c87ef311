"""A session's records → what happened, as `given` takes it, and each decision of its flow. Pure.

A worker decides on one record after another, and the flow sees what was stored before that record.
So an event is placed where it was decided on, not where it was stored: directly before the orders
that it led to. Of the workers' own records, a decision takes into account all that were stored by
then.

What cannot be written as an order is copied as it is stored: the decision of another flow, of an
application or of the policy for parked sessions, a hangup that Offhook added, the leg that a dial
placed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from offhook.carrier_events import OF_A_CONFERENCE_ALONE
from offhook.carrier_events.base import payload_fields
from offhook.events import (
    CallEvent,
    CarrierEvent,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    LegPlaced,
    Record,
    SessionParked,
    TimerFired,
    UnknownEvent,
    WebhookReceived,
)
from offhook.flow import WITHOUT_FLOW, Flow, Order
from offhook.flow_tests.orders import is_same, orders_of, refusal_of, without_secrets
from offhook.redact import hidden
from offhook.session.inserted import is_inserted
from offhook.testing import ExampleLog, Orders, Past

_IDS = frozenset({"call_control_id", "call_leg_id", "call_session_id"})
_NOT_ASKED = "not called again:"
"""How the error of a session begins that was parked because its workers ended."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A test: given the first `place` past events, when `event`, then `orders`.

    The event is that of `record`, and among the past events too if it was decided on. If it
    `raises`, the flow does, or one of its orders is not allowed.
    """

    record: Record
    place: int
    event: CallEvent | CommandFailed | TimerFired
    orders: Sequence[Order] = ()
    raises: Literal["", "flow", "carrier"] = ""
    error: str = ""  # what it raised


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A session as a test of its flow. `events` has the place of each event in `past`."""

    flow: str
    versions: Sequence[str]
    past: Sequence[Past]
    events: Mapping[int, Record]
    cases: Sequence[Case]


def copied(records: Sequence[Record]) -> Copied | None:
    """The session's own records, in order of position; None if no flow of its own decided."""
    decisions = _decisions(records)
    name = _flow_of(decisions.values(), records)
    if name is None:
        return None
    copy = _Copy(records, name)
    for record in records:
        match record.fact:
            case Decided(cause_seq=cause_seq) as decided if decisions[cause_seq] is decided:
                copy.decide(decided)
            case SessionParked(cause_seq=cause_seq) as parked:
                later = decisions.get(cause_seq)
                if later is None or later.flow in WITHOUT_FLOW:
                    copy.park(parked)
            case CommandSucceeded() as succeeded:
                copy.succeed(succeeded)
            case CommandFailed():
                copy.failed.append(record)
    versions = dict.fromkeys(each.flow_version for each in decisions.values() if each.flow == name)
    return Copied(
        flow=name,
        versions=tuple(versions),
        past=copy.past,
        events=copy.events,
        cases=copy.cases,
    )


def _decisions(records: Sequence[Record]) -> dict[int, Decided]:
    """The decision on each record, by its position; only the first one has an effect."""
    found: dict[int, Decided] = {}
    for record in records:
        if isinstance(record.fact, Decided):
            found.setdefault(record.fact.cause_seq, record.fact)
    return found


def _flow_of(decisions: Any, records: Sequence[Record]) -> str | None:
    """The flow that decided most often; else the one that raised on the session's first record."""
    counts: dict[str, int] = {}
    for decided in decisions:
        if decided.flow not in WITHOUT_FLOW:
            counts[decided.flow] = counts.get(decided.flow, 0) + 1
    if counts:
        return max(counts, key=lambda name: counts[name])
    for record in records:
        match record.fact:
            case SessionParked(error=error) if error.startswith("flow "):
                # "flow NAME VERSION: …"
                return error.removeprefix("flow ").partition(": ")[0].rpartition(" ")[0] or None
    return None


@dataclass
class _Copy:
    """The copy so far."""

    records: Sequence[Record]
    flow: str
    past: list[Past] = field(default_factory=list)
    events: dict[int, Record] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    failed: list[Record] = field(default_factory=list)  # not among the past events yet
    _ids: dict[str, str] = field(default_factory=dict)  # command_id of the log -> of the example
    _cancelled: set[str] = field(default_factory=set)  # timer ids
    _placed: list[Record] = field(default_factory=list)  # not among the past events yet
    _parked: set[int] = field(default_factory=set)  # positions
    _is_named: bool = False  # an event names the call session

    def __post_init__(self) -> None:
        self._by_seq = {record.seq: record for record in self.records}
        self._placed = [each for each in self.records if isinstance(each.fact, LegPlaced)]
        flow = Flow(name=self.flow, version="", decide=lambda event, session: [])
        self._log = ExampleLog(flow, _call_session_of(self.records))

    def decide(self, decided: Decided) -> None:
        """Add what was decided on, and what was decided."""
        cause = self._by_seq.get(decided.cause_seq)
        if cause is not None and self._is_cancelled(cause.fact):
            return  # no flow was asked
        self._cancelled |= {each.timer_id for each in decided.timers if each.after_s is None}
        self._add_seen(decided.cause_seq)
        event = None if cause is None else self._event(cause.fact)
        if cause is None or event is None:
            self._add_stored(decided)
            return
        self.events[len(self.past)] = cause
        self._is_named |= bool(getattr(event, "call_session_id", None))
        self._add(event)
        if decided.flow == self.flow and not isinstance(event, CommandRequested):
            self._add_orders(cause, event, decided)
        elif decided.commands or decided.timers:
            self._add_stored(decided)

    def park(self, parked: SessionParked) -> None:
        """Add a test that the flow raises on the record."""
        cause = self._by_seq.get(parked.cause_seq)
        if cause is None or _NOT_ASKED in parked.error or cause.seq in self._parked:
            return
        self._parked.add(cause.seq)
        self._add_seen(parked.cause_seq)
        if isinstance(cause.fact, CommandFailed):
            self.failed.append(cause)
        event = self._event(cause.fact)
        if event is None or isinstance(event, CommandRequested):
            return
        self.cases.append(
            Case(
                record=cause,
                place=len(self.past),
                event=event,
                raises="flow",
                error=parked.error,
            )
        )

    def succeed(self, succeeded: CommandSucceeded) -> None:
        """Add an outcome that says more than that the command succeeded."""
        data = succeeded.answer.get("data")
        says = isinstance(data, Mapping) and bool(data.keys() - {"result", "command_id"})
        command_id = self._ids.get(succeeded.command_id)
        if command_id is None or not (says or succeeded.placed):
            return
        answer = hidden(succeeded.answer)
        self._add(replace(succeeded, command_id=command_id, answer=answer, attempts=None))

    def _add(self, item: CallEvent | Fact) -> None:
        self.past.append(item)
        self._log.add(item)

    def _add_seen(self, cause_seq: int) -> None:
        """Add what was stored before the record at `cause_seq` and needs no decision."""
        while self._placed and self._placed[0].seq < cause_seq:
            self._add(self._placed.pop(0).fact)
        failed, self.failed = self.failed, []
        for record in failed:
            assert isinstance(record.fact, CommandFailed)
            if record.seq != cause_seq:
                self._add(self._failed(record.fact, is_named=True))

    def _is_cancelled(self, fact: Fact) -> bool:
        """Whether it is a timer that fired before the decision that cancelled it was made."""
        return isinstance(fact, TimerFired) and fact.timer_id in self._cancelled

    def _add_orders(self, cause: Record, event: Any, decided: Decided) -> None:
        place = len(self.past) - 1
        orders = orders_of(decided, _leg_of(cause.fact))
        if orders is None:
            self._add_stored(decided)
            return
        refused = refusal_of(decided.commands)
        self.cases.append(
            Case(
                record=cause,
                place=place,
                event=event,
                orders=orders,
                raises="carrier" if refused else "",
                error=refused,
            )
        )
        if not (decided.commands or decided.timers):
            return
        made = self._decided_by(orders)
        if made is None or not is_same(made, decided):
            self._add_stored(decided)
            return
        self.past += orders
        self._log.add(made)
        pairs = zip(decided.commands, made.commands, strict=True)
        self._ids |= {real.command_id: example.command_id for real, example in pairs}

    def _decided_by(self, orders: Sequence[Order]) -> Decided | None:
        if not orders:
            return None
        try:
            return self._log.decided(Orders(orders=tuple(orders)))
        except Exception:  # an order that this version does not store
            return None

    def _add_stored(self, decided: Decided) -> None:
        """Add the decision itself; its ids are those of the log.

        Of its warnings, only the one that says that Offhook added the first command is kept.
        """
        self._ids |= {each.command_id: each.command_id for each in decided.commands}
        self._add(
            replace(
                decided,
                cause_seq=len(self._log.records),
                cause_id="",
                worker="",
                lease_s=0,
                commands=tuple(map(without_secrets, decided.commands)),
                warnings=decided.warnings[: is_inserted(0, decided.warnings)],
            )
        )

    def _event(self, fact: Fact) -> Any:
        """The event as the example has it; None if no decision is made on such a record."""
        match fact:
            case WebhookReceived(event=event):
                return self._carrier_event(event)
            case CommandFailed():
                return self._failed(fact)
            case TimerFired(name=name):
                is_set = name in self._log.session.timers
                states = self._log.session.timer_states.values()
                if not is_set and name in {state.name for state in states}:
                    return None
                return TimerFired(name=name)
            case CommandRequested(command=command):
                return replace(fact, command=without_secrets(command))
            case _:
                return None

    def _failed(self, failed: CommandFailed, *, is_named: bool = False) -> CommandFailed:
        """Without the id if the kit finds the command by its operation."""
        command_id = self._ids.get(failed.command_id, failed.command_id)
        if command_id not in self._log.session.commands:
            return replace(failed, attempts=None)
        plain = replace(failed, command_id="", call_control_id=None, attempts=None)
        if not is_named and self._log.failed(plain).command_id == command_id:
            return plain
        return replace(plain, command_id=command_id)

    def _carrier_event(self, event: CarrierEvent) -> CallEvent:
        values: dict[str, Any] = {"event_id": "", "call_leg_id": None, "payload": {}}
        if self._is_named or isinstance(event, OF_A_CONFERENCE_ALONE):
            values["call_session_id"] = None
        if not event.event_type:
            values["event_type"] = "unknown"
        if isinstance(event, UnknownEvent):
            kept = {name: value for name, value in event.payload.items() if name not in _IDS}
            return replace(event, **values | {"payload": hidden(kept)})
        for item in dataclasses.fields(event):
            given = getattr(event, item.name)
            if item.name not in values and isinstance(given, Mapping | list | tuple):
                values[item.name] = hidden(given)
        bare: CallEvent = replace(event, **values)  # type: ignore[assignment]
        return replace(bare, payload=hidden(self._not_in(bare, event)))

    def _not_in(self, bare: CallEvent, event: CarrierEvent) -> dict[str, Any]:
        """What of the payload the event's own fields do not say."""
        fields = payload_fields(type(event))
        sent = self._log.filled(bare).payload
        return {
            name: value
            for name, value in event.payload.items()
            if name not in _IDS
            and sent.get(name) != value
            and (name not in fields or getattr(event, fields[name].name) is None)
        }


def _call_session_of(records: Sequence[Record]) -> str:
    for record in records:
        fact = record.fact
        if isinstance(fact, WebhookReceived) and fact.event.call_session_id:
            return fact.event.call_session_id
    return records[0].session_id


def _leg_of(fact: Fact) -> str | None:
    event = fact.event if isinstance(fact, WebhookReceived) else fact
    leg: str | None = getattr(event, "call_control_id", None)
    return leg
