"""Test a flow in one sentence: given past events, when an event arrives, then these orders.

    past = CallInitiated(direction="incoming"), Answer(), SetTimer(name="no-answer", after_s=20)
    given(frontdesk, *past).when(TimerFired(name="no-answer")).then(Hangup())

What an event leaves out is filled in from one example call: leg, session, connection, an id, a
time one second after the last event, and the `client_state` that its leg has by then. Events are
converted to the carrier's JSON and back, so the flow sees what it would see of a real one
(`payload` is filled). Orders among the past events are the flow's decision on the event before.
Facts may be there too: `CommandSucceeded`, `CommandFailed`, `TimerFired`, `CommandRequested`, a
whole `Decided`. The first past event has sequence 1.

A worker sends the commands of one decision before it makes the next, so past commands have
succeeded unless there is a `CommandFailed` with their id, or with their operation (then the last
such command is meant).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from offhook.carrier_events import OF_A_CONFERENCE_ALONE
from offhook.codec.facts import fact_id_of
from offhook.codec.webhooks import read_webhook, wire_body
from offhook.commands import Command
from offhook.commands.catalog import check
from offhook.errors import ParameterInvalid
from offhook.events import (
    CallEvent,
    CallHangup,
    CarrierEvent,
    CommandFailed,
    CommandSucceeded,
    Decided,
    Event,
    Fact,
    Record,
    TimerFired,
    WebhookReceived,
    session_id_from,
)
from offhook.flow import Flow, Order, addressed
from offhook.flow.decision import Stored, listed, stored
from offhook.session import CommandState, Session, evolve
from offhook.session.inserted import is_inserted

EXAMPLE_LEG = "v3:example-leg"
EXAMPLE_SESSION = "example-session"
EXAMPLE_CONNECTION = "1234567890123456789"
EXAMPLE_TIME = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

_STEP = timedelta(seconds=1)


Past = CallEvent | Fact | Order


def given(flow: Flow, *past: Past) -> "Given":
    """A call with these past events, oldest first; without any, nothing is known of the call."""
    return Given(flow=flow, past=past)


@dataclass(frozen=True, kw_only=True)
class Given:
    """A flow and the past events."""

    flow: Flow
    past: Sequence[Past]

    def when(self, event: Event) -> "Decision":
        """Let the flow decide on `event`, as a worker would: its session includes the event.

        Raises AssertionError if two runs differ, or if the carrier would refuse a command.
        """
        log = ExampleLog(self.flow, _session_of((*self.past, event)))
        for item in _with_decisions((*self.past, event)):
            log.add(item)
        last = log.records[-1].fact
        happened = last.event if isinstance(last, WebhookReceived) else last
        assert isinstance(happened, CarrierEvent | CommandFailed | TimerFired)
        session = log.settled()
        first, second = (self._decide(happened, session) for _ in range(2))
        if first != second:
            raise AssertionError(
                f"{self._title(happened)}: the flow is not deterministic\n"
                f"{_listed('first run', first, happened)}\n"
                f"{_listed('second run', second, happened)}"
            )
        self._check(first, happened, session, log.records[-1].seq)
        return Decision(orders=first, event=happened, session=session, title=self._title(happened))

    def _decide(self, event: Any, session: Session) -> tuple[Order, ...]:
        returned = self.flow.decide(event, session)
        try:
            orders = listed(returned)
        except TypeError as error:
            raise AssertionError(f"{self._title(event)}: {error}") from None
        return tuple(addressed(order, event) for order in orders)

    def _check(
        self, orders: tuple[Order, ...], event: Any, session: Session, cause_seq: int
    ) -> None:
        """A worker parks what it cannot store, and sends nothing invalid; a test fails earlier."""
        try:
            said = msgspec.json.encode(stored(orders, event, session, cause_seq))
        except Exception as error:  # whatever is in the orders
            raise AssertionError(
                f"{self._title(event)}: its orders cannot be stored: {error}\n"
                f"{_listed('decided', orders, event)}"
            ) from None
        commands = [order for order in orders if isinstance(order, Command)]
        read = msgspec.json.decode(said, type=Stored)
        # One that Offhook puts in front is none of the flow's.
        issued = read.commands[is_inserted(0, read.warnings) :]
        for command, plain in zip(commands, issued, strict=True):
            try:
                check(plain)
            except ParameterInvalid as error:
                raise AssertionError(
                    f"the carrier does not allow this command: {error}\n"
                    f"    {_shown(command, event)}"
                ) from None

    def _title(self, event: Any) -> str:
        name = event.event_type if isinstance(event, CarrierEvent) else type(event).__name__
        return f"flow {self.flow.name!r} on {name}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the flow decided; `session` is what it decided on."""

    orders: tuple[Order, ...]
    event: Any
    session: Session
    title: str

    @property
    def commands(self) -> tuple[Command, ...]:
        """The orders without the timers."""
        return tuple(order for order in self.orders if isinstance(order, Command))

    def then(self, *orders: Order) -> None:
        """Exactly these orders, in this order; a command without a leg means the event's own."""
        expected = tuple(addressed(order, self.event) for order in orders)
        if self.orders != expected:
            raise AssertionError(
                f"{self.title}\n"
                f"{_listed('expected', expected, self.event)}\n"
                f"{_listed('decided', self.orders, self.event)}"
            )

    def then_nothing(self) -> None:
        """No order at all."""
        self.then()

    def then_recorded(self, *orders: Order) -> None:
        """The log would have the same of these orders as of the decided ones.

        A decision is stored without the place of timers among commands, and without the
        cancellation of a timer that is not set. This is for tests that are made from a recorded
        session.
        """
        expected = tuple(addressed(order, self.event) for order in orders)
        if self._stored(expected) != self._stored(self.orders):
            raise AssertionError(
                f"{self.title}\n"
                f"{_listed('recorded', expected, self.event)}\n"
                f"{_listed('decided', self.orders, self.event)}"
            )

    def _stored(self, orders: Sequence[Order]) -> tuple[Any, ...]:
        # As JSON, which is how it is stored: a tuple is a list there.
        said = stored(orders, self.event, self.session, 0)
        read = msgspec.json.decode(msgspec.json.encode(said), type=Stored)
        # The id of a timer counts those that were not set.
        timers = [(each.name, each.call_control_id, each.after_s) for each in read.timers]
        return read.commands, timers


class ExampleLog:
    """What `given` makes of past events: the records of an example call, one after the other.

    `session` is the fold of them. An outcome that nobody named is not among them: see `settled`.
    """

    def __init__(self, flow: Flow, call_session_id: str) -> None:
        self.records: list[Record] = []
        self.session = Session(session_id=session_id_from(call_session_id))
        self._flow = flow
        self._call_session_id = call_session_id
        self._latest = EXAMPLE_TIME - _STEP
        self._states: dict[str, str | None] = {}  # client_state by leg, as it was set last

    def add(self, item: "CallEvent | Fact | Orders") -> Record:
        """Add an event, a fact, or the flow's decision on the event before."""
        fact: Fact
        match item:
            case CarrierEvent():
                fact = WebhookReceived(event=self.filled(item), attempt=1)
            case CommandFailed():
                fact = self.failed(item)
            case TimerFired(timer_id=""):
                fact = _fired(item, len(self.records) + 1, self.session)
            case Orders():
                fact = self.decided(item)
            case _:
                fact = item
        record = Record(
            seq=len(self.records) + 1,
            stored_at=self._stored_at(fact),
            session_id=self.session.session_id,
            fact=fact,
            fact_id=fact_id_of(fact, self.session.session_id),
        )
        self._note_state(fact)
        self.records.append(record)
        self.session = evolve(self.session, record)
        return record

    def settled(self) -> Session:
        """With the outcomes that a worker has recorded before it decides on the last record."""
        last, session = self.records[-1], self.session
        for seq, command_id in enumerate(sorted(session.open_commands), start=last.seq + 1):
            fact = CommandSucceeded(command_id=command_id, http_status=200)
            fact_id = fact_id_of(fact, last.session_id)
            session = evolve(session, replace(last, seq=seq, fact=fact, fact_id=fact_id))
        return session

    def filled(self, event: CallEvent) -> CallEvent:
        """The event as read from the carrier's JSON, with the example's ids where it has none."""
        assert event.event_type, f"{type(event).__name__} needs an event_type"
        values: dict[str, Any] = {
            "event_id": event.event_id or f"event-{len(self.records) + 1}",
            "occurred_at": event.occurred_at or self._latest + _STEP,
            "connection_id": event.connection_id or EXAMPLE_CONNECTION,
        }
        if isinstance(event, OF_A_CONFERENCE_ALONE):
            creator = event.creator_call_session_id or self._call_session_id
            values["creator_call_session_id"] = creator
        else:
            leg = event.call_control_id or EXAMPLE_LEG
            values["call_control_id"] = leg
            values["call_leg_id"] = event.call_leg_id or f"leg-of-{leg}"
            values["call_session_id"] = event.call_session_id or self._call_session_id
            # The carrier sends the last one that was set.
            values["client_state"] = event.client_state or self._states.get(leg)
        if isinstance(event, CallHangup):
            values["end_time"] = event.end_time or values["occurred_at"]
        return read_webhook(wire_body(replace(event, **values))).event

    def decided(self, said: "Orders") -> Decided:
        """The flow's decision on the last record."""
        assert self.records, f"{said.orders[0]!r} needs an event before it"
        cause = self.records[-1]
        event: Any = cause.fact.event if isinstance(cause.fact, WebhookReceived) else cause.fact
        said_so = stored(said.orders, event, self.session, cause.seq)
        return Decided(
            cause_seq=cause.seq,
            cause_id=cause.fact_id,
            flow=self._flow.name,
            flow_version=self._flow.version,
            worker="test",
            lease_s=0,
            commands=said_so.commands,
            timers=said_so.timers,
            warnings=said_so.warnings,
        )

    def failed(self, failed: CommandFailed) -> CommandFailed:
        """With the command that is meant."""
        return _failed(failed, self.session)

    def _stored_at(self, fact: Fact) -> datetime:
        if isinstance(fact, WebhookReceived) and fact.event.occurred_at is not None:
            self._latest = max(self._latest, fact.event.occurred_at)
        elif isinstance(fact, TimerFired) and fact.due_at is not None:
            self._latest = max(self._latest + _STEP, fact.due_at)
        else:
            self._latest += _STEP
        return self._latest

    def _note_state(self, fact: Fact) -> None:
        match fact:
            case WebhookReceived(event=event) if event.call_control_id is not None:
                self._states[event.call_control_id] = event.client_state
            case Decided(commands=commands):
                for command in commands:
                    if command.call_control_id and "client_state" in command.parameters:
                        self._states[command.call_control_id] = command.parameters["client_state"]


@dataclass(frozen=True, kw_only=True)
class Orders:
    """The flow's decision on the event before."""

    orders: tuple[Order, ...]


def _with_decisions(happened: Sequence[Past]) -> Iterator[CallEvent | Fact | Orders]:
    """The same, with adjacent orders as one decision."""
    said: tuple[Order, ...] = ()
    for item in happened:
        if isinstance(item, Order):
            said += (item,)
            continue
        if said:
            yield Orders(orders=said)
        said = ()
        yield item
    assert not said, "an event comes last"


def _failed(failed: CommandFailed, known: Session) -> CommandFailed:
    """The failure of the last open command of its operation, with that command's leg.

    Without such a command, of one to the example's leg; a failed dial has no leg.
    """
    meant = known.commands.get(failed.command_id) or _last_open(failed.operation, known)
    leg = None if failed.operation == "dial" else EXAMPLE_LEG
    if meant is not None and meant.issued is not None:
        leg = meant.issued.call_control_id
    return replace(
        failed,
        command_id=failed.command_id if meant is None else meant.command_id,
        call_control_id=failed.call_control_id or leg,
    )


def _last_open(operation: str, known: Session) -> CommandState | None:
    opened = (known.commands[command_id] for command_id in known.open_commands)
    return max(
        (state for state in opened if state.issued and state.issued.operation == operation),
        key=lambda state: (state.cause_seq or 0, state.ordinal),
        default=None,
    )


def _fired(fired: TimerFired, seq: int, known: Session) -> TimerFired:
    """The session's timer of that name, if it is set; else one on the example's leg.

    Raises AssertionError if it was set, and has fired or was cancelled since.
    """
    timer = known.timers.get(fired.name)
    were_set = {state.name for state in known.timer_states.values()}
    assert timer is not None or fired.name not in were_set, (
        f"timer {fired.name!r} has fired, or was cancelled: a flow never sees it fire again"
    )
    return replace(
        fired,
        timer_id=f"timer-{seq}" if timer is None else timer.timer_id,
        due_at=fired.due_at if timer is None else timer.due_at,
        call_control_id=EXAMPLE_LEG if timer is None else timer.call_control_id,
    )


def _session_of(happened: Sequence[Past]) -> str:
    events = (item.event if isinstance(item, WebhookReceived) else item for item in happened)
    return next(
        (
            event.call_session_id
            for event in events
            if isinstance(event, CarrierEvent) and event.call_session_id
        ),
        EXAMPLE_SESSION,
    )


def _listed(title: str, orders: Sequence[Order], event: Any) -> str:
    lines = [_shown(order, event) for order in orders] or ["nothing"]
    return "\n".join([f"  {title}:", *(f"    {line}" for line in lines)])


def _shown(order: Order, event: Any) -> str:
    """The order as one would write it: without defaults and the event's own leg."""
    own_leg = getattr(event, "call_control_id", None)
    arguments = [
        f"{item.name}={value!r}"
        for item in dataclasses.fields(order)
        if (value := getattr(order, item.name)) is not None
        and not (item.name == "call_control_id" and value == own_leg)
    ]
    return f"{type(order).__name__}({', '.join(arguments)})"
