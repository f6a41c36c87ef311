"""Test a flow in one sentence: given what happened, when an event arrives, then these commands.

    given(frontdesk, CallInitiated(direction="incoming")).when(CallAnswered()).then(Hangup())

Events get what they leave out of one example call: leg, session, connection, an id, and a time one
second after the last. They pass through the carrier's JSON on the way, so the flow sees what it
would see of a real one (`payload` is filled). Facts may stand among the past events:
a `Decided` for commands that were given, `CommandSucceeded`, `CommandFailed`, `CommandRequested`.
The first past event has sequence 1.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from offhook.codec import fact_id_of
from offhook.commands import Command
from offhook.events import (
    CallEvent,
    CallHangup,
    CarrierEvent,
    CommandFailed,
    Event,
    Fact,
    Record,
    WebhookReceived,
    session_id_from,
)
from offhook.flow import Flow, addressed
from offhook.session import Session, fold
from offhook.webhooks import read_webhook, wire_body

EXAMPLE_LEG = "v3:example-leg"
EXAMPLE_SESSION = "example-session"
EXAMPLE_CONNECTION = "1234567890123456789"
EXAMPLE_TIME = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

_STEP = timedelta(seconds=1)


def given(flow: Flow, *past: CallEvent | Fact) -> "Given":
    """A call to which `past` happened, oldest first; without any, a call nothing is known of."""
    return Given(flow=flow, past=past)


@dataclass(frozen=True, kw_only=True)
class Given:
    """A flow and what happened before."""

    flow: Flow
    past: Sequence[CallEvent | Fact]

    def when(self, event: Event) -> "Decision":
        """Let the flow decide on `event`, as a worker would: its session includes the event.

        Raises AssertionError if two runs differ, or if the carrier would refuse a command.
        """
        records = _records_of((*self.past, event))
        last = records[-1].fact
        happened = last.event if isinstance(last, WebhookReceived) else last
        assert isinstance(happened, CarrierEvent | CommandFailed)
        session = fold(records[-1].session_id, records)
        first, second = (self._decide(happened, session) for _ in range(2))
        if first != second:
            raise AssertionError(
                f"{self._title(happened)}: the flow is not deterministic\n"
                f"{_listed('first run', first, happened)}\n"
                f"{_listed('second run', second, happened)}"
            )
        for command in first:
            _check(command)
        return Decision(
            commands=first, event=happened, session=session, title=self._title(happened)
        )

    def _decide(self, event: Any, session: Session) -> tuple[Command, ...]:
        commands = tuple(self.flow.decide(event, session))
        for command in commands:
            if not isinstance(command, Command):
                raise AssertionError(f"{self._title(event)}: {command!r} is not a command")
        return tuple(addressed(command, event) for command in commands)

    def _title(self, event: Any) -> str:
        name = event.event_type if isinstance(event, CarrierEvent) else type(event).__name__
        return f"flow {self.flow.name!r} on {name}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the flow decided; `session` is what it decided on."""

    commands: tuple[Command, ...]
    event: Any
    session: Session
    title: str

    def then(self, *commands: Command) -> None:
        """Exactly these commands, in this order; one without a leg means the event's own."""
        expected = tuple(addressed(command, self.event) for command in commands)
        if self.commands != expected:
            raise AssertionError(
                f"{self.title}\n"
                f"{_listed('expected', expected, self.event)}\n"
                f"{_listed('decided', self.commands, self.event)}"
            )

    def then_nothing(self) -> None:
        """No command at all."""
        self.then()


def _records_of(happened: Sequence[CallEvent | Fact]) -> list[Record]:
    records: list[Record] = []
    latest = EXAMPLE_TIME - _STEP
    session = _session_of(happened)
    session_id = session_id_from(session)
    for seq, item in enumerate(happened, start=1):
        fact: Fact
        if isinstance(item, CarrierEvent):
            event = _filled(item, seq, session, latest + _STEP)
            fact = WebhookReceived(event=event, attempt=1)
        elif isinstance(item, CommandFailed) and item.call_control_id is None:
            # A dial that failed has no leg; every other command is for one.
            is_dial = item.operation == "dial"
            fact = dataclasses.replace(item, call_control_id=None if is_dial else EXAMPLE_LEG)
        else:
            fact = item
        if isinstance(fact, WebhookReceived) and fact.event.occurred_at is not None:
            latest = max(latest, fact.event.occurred_at)
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


def _session_of(happened: Sequence[CallEvent | Fact]) -> str:
    events = (item.event if isinstance(item, WebhookReceived) else item for item in happened)
    return next(
        (
            event.call_session_id
            for event in events
            if isinstance(event, CarrierEvent) and event.call_session_id
        ),
        EXAMPLE_SESSION,
    )


def _filled(event: CallEvent, seq: int, session: str, occurred_at: datetime) -> CallEvent:
    """The event as it reads off the wire, with the example call's ids where it has none."""
    assert event.event_type, f"{type(event).__name__} needs an event_type"
    leg = event.call_control_id or EXAMPLE_LEG
    values: dict[str, Any] = {
        "event_id": event.event_id or f"event-{seq}",
        "occurred_at": event.occurred_at or occurred_at,
        "call_control_id": leg,
        "call_leg_id": event.call_leg_id or f"leg-of-{leg}",
        "call_session_id": event.call_session_id or session,
        "connection_id": event.connection_id or EXAMPLE_CONNECTION,
    }
    if isinstance(event, CallHangup):
        values["end_time"] = event.end_time or values["occurred_at"]
    return read_webhook(wire_body(dataclasses.replace(event, **values))).event


def _check(command: Command) -> None:
    """A worker fails an invalid command without sending it; a test should say so first."""
    values = {item.name: getattr(command, item.name) for item in dataclasses.fields(command)}
    try:
        msgspec.convert(values, type(command))
    except msgspec.ValidationError as error:
        shown = _shown(command, None)
        raise AssertionError(
            f"the carrier does not allow this command: {error}\n    {shown}"
        ) from None


def _listed(title: str, commands: Sequence[Command], event: Any) -> str:
    lines = [_shown(command, event) for command in commands] or ["nothing"]
    return "\n".join([f"  {title}:", *(f"    {line}" for line in lines)])


def _shown(command: Command, event: Any) -> str:
    """The command as one would write it: without what was left out, or is the event's own leg."""
    own_leg = getattr(event, "call_control_id", None)
    arguments = [
        f"{item.name}={value!r}"
        for item in dataclasses.fields(command)
        if (value := getattr(command, item.name)) is not None
        and not (item.name == "call_control_id" and value == own_leg)
    ]
    return f"{type(command).__name__}({', '.join(arguments)})"
