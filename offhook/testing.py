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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from offhook.carrier_events import OF_A_CONFERENCE_ALONE
from offhook.codec import fact_id_of
from offhook.commands import Command
from offhook.commands.catalog import check
from offhook.decision import Stored, stored
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
from offhook.session import CommandState, Session, fold
from offhook.webhooks import read_webhook, wire_body

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
        records = _records_of(self.flow, (*self.past, event))
        last = records[-1].fact
        happened = last.event if isinstance(last, WebhookReceived) else last
        assert isinstance(happened, CarrierEvent | CommandFailed | TimerFired)
        session = fold(records[-1].session_id, [*records, *_outcomes_of(records)])
        first, second = (self._decide(happened, session) for _ in range(2))
        if first != second:
            raise AssertionError(
                f"{self._title(happened)}: the flow is not deterministic\n"
                f"{_listed('first run', first, happened)}\n"
                f"{_listed('second run', second, happened)}"
            )
        self._check(first, happened, session, records[-1].seq)
        return Decision(orders=first, event=happened, session=session, title=self._title(happened))

    def _decide(self, event: Any, session: Session) -> tuple[Order, ...]:
        orders = tuple(self.flow.decide(event, session))
        for order in orders:
            if not isinstance(order, Order):
                raise AssertionError(f"{self._title(event)}: {order!r} is no command and no timer")
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
        issued = msgspec.json.decode(said, type=Stored).commands
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


def _records_of(flow: Flow, happened: Sequence[Past]) -> list[Record]:
    records: list[Record] = []
    latest = EXAMPLE_TIME - _STEP
    session_id = session_id_from(_session_of(happened))
    for item in _with_decisions(happened):
        seq = len(records) + 1
        known = fold(session_id, records)
        fact: Fact
        match item:
            case CarrierEvent():
                event = _filled(item, seq, _session_of(happened), latest + _STEP, records)
                fact = WebhookReceived(event=event, attempt=1)
            case CommandFailed():
                fact = _failed(item, known)
            case TimerFired(timer_id=""):
                fact = _fired(item, seq, known)
            case _Orders():
                fact = _decided(flow, item, records, known)
            case _:
                fact = item
        if isinstance(fact, WebhookReceived) and fact.event.occurred_at is not None:
            latest = max(latest, fact.event.occurred_at)
        elif isinstance(fact, TimerFired) and fact.due_at is not None:
            latest = max(latest + _STEP, fact.due_at)
        else:
            latest += _STEP
        records.append(
            Record(
                seq=seq,
                stored_at=latest,
                session_id=session_id,
                fact=fact,
                fact_id=fact_id_of(fact, session_id),
            )
        )
    return records


@dataclass(frozen=True, kw_only=True)
class _Orders:
    """The flow's decision on the event before."""

    orders: tuple[Order, ...]


def _with_decisions(happened: Sequence[Past]) -> Iterator[CallEvent | Fact | _Orders]:
    """The same, with adjacent orders as one decision."""
    said: tuple[Order, ...] = ()
    for item in happened:
        if isinstance(item, Order):
            said += (item,)
            continue
        if said:
            yield _Orders(orders=said)
        said = ()
        yield item
    assert not said, "an event comes last"


def _decided(flow: Flow, said: _Orders, records: Sequence[Record], known: Session) -> Decided:
    assert records, f"{said.orders[0]!r} needs an event before it"
    cause = records[-1]
    event: Any = cause.fact.event if isinstance(cause.fact, WebhookReceived) else cause.fact
    said_so = stored(said.orders, event, known, cause.seq)
    return Decided(
        cause_seq=cause.seq,
        cause_id=cause.fact_id,
        flow=flow.name,
        flow_version=flow.version,
        worker="test",
        lease_s=0,
        commands=said_so.commands,
        timers=said_so.timers,
        warnings=said_so.warnings,
    )


def _outcomes_of(records: Sequence[Record]) -> Iterator[Record]:
    """The outcomes that a worker has recorded before it decides on the last record."""
    last = records[-1]
    opened = sorted(fold(last.session_id, records).open_commands)
    for seq, command_id in enumerate(opened, start=last.seq + 1):
        fact = CommandSucceeded(command_id=command_id, http_status=200)
        fact_id = fact_id_of(fact, last.session_id)
        yield dataclasses.replace(last, seq=seq, fact=fact, fact_id=fact_id)


def _failed(failed: CommandFailed, known: Session) -> CommandFailed:
    """The failure of the last open command of its operation, with that command's leg.

    Without such a command, of one to the example's leg; a failed dial has no leg.
    """
    meant = known.commands.get(failed.command_id) or _last_open(failed.operation, known)
    leg = None if failed.operation == "dial" else EXAMPLE_LEG
    if meant is not None and meant.issued is not None:
        leg = meant.issued.call_control_id
    return dataclasses.replace(
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
    return dataclasses.replace(
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


def _filled(
    event: CallEvent, seq: int, session: str, occurred_at: datetime, before: Sequence[Record]
) -> CallEvent:
    """The event as read from the carrier's JSON, with the example call's ids where it has none."""
    assert event.event_type, f"{type(event).__name__} needs an event_type"
    values: dict[str, Any] = {
        "event_id": event.event_id or f"event-{seq}",
        "occurred_at": event.occurred_at or occurred_at,
        "connection_id": event.connection_id or EXAMPLE_CONNECTION,
    }
    if isinstance(event, OF_A_CONFERENCE_ALONE):
        values["creator_call_session_id"] = event.creator_call_session_id or session
    else:
        leg = event.call_control_id or EXAMPLE_LEG
        values["call_control_id"] = leg
        values["call_leg_id"] = event.call_leg_id or f"leg-of-{leg}"
        values["call_session_id"] = event.call_session_id or session
        values["client_state"] = event.client_state or _client_state_of(leg, before)
    if isinstance(event, CallHangup):
        values["end_time"] = event.end_time or values["occurred_at"]
    return read_webhook(wire_body(dataclasses.replace(event, **values))).event


def _client_state_of(leg: str, before: Sequence[Record]) -> str | None:
    """The `client_state` that the carrier sends with the leg's events: the last that was set."""
    state = None
    for record in before:
        match record.fact:
            case WebhookReceived(event=event) if event.call_control_id == leg:
                state = event.client_state
            case Decided(commands=commands):
                for command in commands:
                    if command.call_control_id == leg:
                        state = command.parameters.get("client_state", state)
    return state


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
