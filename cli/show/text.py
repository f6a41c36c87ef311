"""A session's records as text: a line for each, and below it the state of the session after it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from rich.console import Group
from rich.text import Text

from offhook.cli.counted import counted
from offhook.cli.printable import printable
from offhook.cli.show.columns import Columns
from offhook.cli.show.hanging import hanging
from offhook.cli.show.heading import heading_lines
from offhook.events import (
    CallEvent,
    CallHangup,
    CallInitiated,
    CallTranscription,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    LegPlaced,
    Record,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerOrder,
    TimerSet,
    WebhookReceived,
)
from offhook.position import position_text, referred
from offhook.redact import hidden
from offhook.session import Session, evolve
from offhook.session.inserted import UNWANTED_LEG, is_inserted
from offhook.session.leg import Leg
from offhook.session.placed import session_of_answer
from offhook.wording.commands import command_about
from offhook.wording.durations import duration

SETTLED_SHOWN_MAX = 4
"""If more commands are settled and unchanged than this, only their number is shown."""

SAID_CHARS_MAX = 60
"""Of what a command says; `--json` has all of it."""

DELAY_SHOWN_S = 1.0
"""A webhook that was stored this long after its event, or later, shows how long it took."""

CHANGED = "▸"


def session_text(
    session_id: str,
    records: Sequence[Record],
    last: int | None,
    *,
    now: datetime,
    width: int | None,
    is_continued: bool = False,
) -> Group:
    """The records, or the `last` ones, as they are printed: below what became of the session.

    No word is broken, whatever the `width` is; None: a line for each record, and one for the state.
    `is_continued`: the others were printed before, so only legs that are new are named again, and
    why the session ended is said only at its end.
    """
    names = _Names()
    day = ""
    session = Session(session_id=session_id)
    unshown = len(records) - (last or len(records))
    named = 0  # legs that were named before
    columns = Columns.of(records, width)
    lines: list[Text] = []
    for number, record in enumerate(records):
        before, session = session, evolve(session, record)
        # Also for records that are not shown: names and settled commands count from the first one.
        what = " ".join(_what(record, names).split())
        said = Text.assemble((_kind(record), "bold"), "  ", printable(what))
        state = _state(before, session, record, names)
        if number < unshown:
            if is_continued:
                day, named = f"{record.stored_at:%Y-%m-%d}", len(names.legs)
            continue
        if (this_day := f"{record.stored_at:%Y-%m-%d}") != day:
            day = this_day
            lines += columns.of_day(day)
        lines += columns.of_record(record, said, state)
    legs = [
        line
        for leg, name in list(names.legs.items())[named:]
        for line in hanging("", Text(f"{name}  {printable(leg)}"), None)
    ]
    if not is_continued:
        title = f"session {session_id}: {counted(len(records), 'record')}, "
        title += _status_at(session, now)
        if unshown > 0:
            title += f"; the last {last:,}"
        about = heading_lines(session_id, records, now, width)
        return Group(*hanging("", Text(printable(title), "bold"), width), *about, *legs, *lines)
    if is_over(session):
        lines += heading_lines(session_id, records, now, width)
    return Group(*legs, *lines)


def is_over(session: Session) -> bool:
    """Whether it has ended, or no leg is to come: its commands, such as a dial, are settled."""
    if session.status == "empty" and session.commands:
        return all(command.outcome is not None for command in session.commands.values())
    return session.status == "ended"


@dataclass
class _Names:
    """Short names for legs, whose ids have 60 characters and more, and for commands.

    Also which commands are settled, so that not all of them are repeated after each record.
    """

    legs: dict[str, str] = field(default_factory=dict)  # by call_control_id, in order of mention
    commands: dict[str, str] = field(default_factory=dict)  # by command_id
    namesakes: Counter[str] = field(
        default_factory=Counter
    )  # commands by name, without their numbers
    decided_at: dict[str, datetime] = field(default_factory=dict)  # by command_id
    unsettled: dict[str, None] = field(default_factory=dict)  # command_ids, oldest first
    settled: dict[str, None] = field(default_factory=dict)

    def leg(self, call_control_id: str | None) -> str:
        if call_control_id is None:
            return ""
        return self.legs.setdefault(call_control_id, f"L{len(self.legs) + 1}")

    def issued(self, command: IssuedCommand) -> str:
        """The command with its number, or with what it says."""
        about = command_about({"parameters": hidden(command.parameters)})
        name = self.command(command.command_id, command)
        return f"{name} {_quoted(about[1:-1]) if about.startswith('“') else about}".rstrip()

    def took(self, command_id: str, outcome: Record) -> str:
        """How long after the decision its outcome was stored; empty if that is not known."""
        decided_at = self.decided_at.get(command_id)
        if decided_at is None:
            return ""
        return f"in {duration((outcome.stored_at - decided_at).total_seconds())}"

    def command(self, command_id: str, issued: IssuedCommand | None = None) -> str:
        if command_id in self.commands:
            return self.commands[command_id]
        if issued is None:
            return command_id
        name = f"{issued.operation} {self.leg(issued.call_control_id)}".rstrip()
        self.namesakes[name] += 1
        count = self.namesakes[name]
        return self.commands.setdefault(command_id, f"{name} #{count}" if count > 1 else name)


def _cause(cause_seq: int, record: Record) -> str:
    return position_text(referred(cause_seq, record.seq))


def _kind(record: Record) -> str:
    if isinstance(record.fact, WebhookReceived):
        return record.fact.event.event_type or "webhook without a type"
    return type(record.fact).__name__


def _what(record: Record, names: _Names) -> str:
    """What the record says, in one line."""
    fact = record.fact
    match fact:
        case WebhookReceived(event=event, attempt=attempt):
            again = f"attempt {attempt}" if attempt and attempt > 1 else ""
            what = f"{names.leg(event.call_control_id)} {_what_happened(event)}"
            return _joined(what, again, _delay(event, record))
        case CommandRequested(command=command, requested_by=requested_by):
            return f"{names.issued(command)} by {requested_by or 'nobody'}"
        case Decided():
            for command in fact.commands:
                names.decided_at.setdefault(command.command_id, record.stored_at)
            said = [
                names.issued(command)
                + (f" (by {UNWANTED_LEG})" if is_inserted(ordinal, fact.warnings) else "")
                for ordinal, command in enumerate(fact.commands)
            ]
            said += [_timer(order) for order in fact.timers]
            by = f"{fact.flow} {fact.flow_version}"
            warned = "".join(f"; warning: {warning}" for warning in fact.warnings)
            on = _cause(fact.cause_seq, record)
            return f"on {on} by {by}: {', '.join(said) or 'nothing'}{warned}"
        case CommandAttempted():
            return f"{names.command(fact.command_id)}, attempt {fact.attempt}: {fact.because}"
        case CommandSucceeded():
            http = f"HTTP {fact.http_status}" if fact.http_status else ""
            placed = session_of_answer(fact.answer)
            in_session = (
                f"placed session {placed}" if placed not in (None, record.session_id) else ""
            )
            took = names.took(fact.command_id, record)
            return _joined(names.command(fact.command_id), http, took, fact.note, in_session)
        case CommandFailed():
            http = f"HTTP {fact.http_status}" if fact.http_status else ""
            codes = " ".join(str(each.get("code", "")) for each in fact.errors)
            took = names.took(fact.command_id, record)
            name = names.command(fact.command_id)
            return _joined(name, fact.reason, http, codes, took, fact.detail)
        case TimerSet(name=name, due_at=due_at):
            return f"{name}, due {due_at:%H:%M:%S.%f}"[:-3]
        case TimerCancelled(name=name) | TimerFired(name=name):
            return name
        case SessionParked():
            return (
                f"on {_cause(fact.cause_seq, record)} after"
                f" {counted(fact.attempts, 'attempt')}: {fact.error}"
            )
        case LegPlaced(leg=leg, command_id=command_id, command_session_id=dialling):
            numbers = f"outgoing, {leg.from_number} → {leg.to_number}"
            by = f"by {names.command(command_id)} in session {dialling}"
            return _joined(f"{names.leg(leg.call_control_id)} {numbers}", by)
        case SessionResumed(resumed_by=resumed_by):
            return f"by {resumed_by or 'nobody'}"
        case _:
            assert_never(fact)


def _delay(event: CallEvent, record: Record) -> str:
    if event.occurred_at is None:
        return ""
    delay_s = (record.stored_at - event.occurred_at).total_seconds()
    return f"{duration(delay_s)} after it occurred" if delay_s >= DELAY_SHOWN_S else ""


def _timer(order: TimerOrder) -> str:
    if order.after_s is None:
        return f"cancel timer {order.name}"
    return f"timer {order.name} in {order.after_s:g} s"


def _what_happened(event: CallEvent) -> str:
    match event:
        case CallInitiated():
            return _joined(event.direction or "", f"{event.from_} → {event.to}")
        case CallHangup():
            by = f"by {event.hangup_source}" if event.hangup_source else ""
            sip = f"SIP {event.sip_hangup_cause}" if event.sip_hangup_cause else ""
            return _joined(event.hangup_cause or "", by, sip)
        case CallTranscription(transcription_data=data):
            said = (data or {}).get("transcript")
            return _quoted(said) if isinstance(said, str) else ""
        case _:
            values = (getattr(event, name, None) for name in _DETAILS)
            return _joined(*(str(value) for value in values if isinstance(value, str | int)))


_DETAILS = (
    "queue",
    "conference_id",
    "recording_id",
    "digit",
    "digits",
    "status",
    "result",
    "reason",
    "failure_reason",
    "failure_cause",
    "error_message",
    "sip_notify_response",
    "total_cost",
)
"""Fields that say in a word what an event is about."""


def _quoted(said: str) -> str:
    said = " ".join(said.split())
    return f"“{said if len(said) <= SAID_CHARS_MAX else said[: SAID_CHARS_MAX - 1].rstrip() + '…'}”"


def _joined(*parts: str) -> str:
    return ", ".join(stripped for part in parts if (stripped := part.strip()))


def _state(before: Session, after: Session, record: Record, names: _Names) -> Text:
    """The session after the record: what changed is marked and bright, the rest dim."""
    parts = [(_status(after), _status(after) != _status(before))]
    for call_control_id, leg in after.legs.items():
        held = before.legs.get(call_control_id)
        state = _leg_state(leg)
        changed = held is None or _leg_state(held) != state
        parts.append((f"{names.leg(call_control_id)} {state}", changed))
    for name, timer in after.timers.items():
        changed = timer.timer_id not in before.timer_states
        parts.append((f"timer {name} set", changed))
    names.unsettled |= dict.fromkeys(_command_ids(record.fact))
    for command_id in list(names.unsettled):
        known, command = before.commands.get(command_id), after.commands[command_id]
        changed = known is None or known.status != command.status
        if command.outcome is not None and not changed:
            del names.unsettled[command_id]
            names.settled[command_id] = None
        else:
            name = names.command(command_id, command.issued)
            parts.append((f"{name} {command.status}", changed))
    settled = [(f"{len(names.settled)} commands settled before", False)]
    if len(names.settled) <= SETTLED_SHOWN_MAX:
        done = [(command_id, after.commands[command_id]) for command_id in names.settled]
        settled = [
            (f"{names.command(key, each.issued)} {each.status}", False) for key, each in done
        ]
    text = Text()
    for part, changed in [*parts, *settled]:
        shown = printable(part)
        text.append(" · " if text else "", "dim")
        text.append(f"{CHANGED}{shown}" if changed else shown, "green" if changed else "dim")
    return text


def _command_ids(fact: Fact) -> Sequence[str]:
    """The ids of the commands that the fact may change."""
    match fact:
        case CommandRequested(command=command):
            return [command.command_id]
        case Decided(commands=commands):
            return [command.command_id for command in commands]
        case CommandAttempted() | CommandSucceeded() | CommandFailed():
            return [fact.command_id]
        case _:
            return []


def _leg_state(leg: Leg) -> str:
    return _joined(
        leg.state,
        "held" if leg.is_held else "",
        f"in queue {leg.queue}" if leg.is_queued else "",
        f"in conference {leg.conference_id}" if leg.is_in_conference else "",
    )


def _status_at(session: Session, now: datetime) -> str:
    """The status as the API has it: ended, too, if the time limit has passed without a hangup."""
    up_until = session.up_until
    if session.status != "active" or up_until is None or now < up_until:
        return _status(session)
    return "ended (no hangup), parked" if session.is_parked else "ended (no hangup)"


def _status(session: Session) -> str:
    return f"{session.status}, parked" if session.is_parked else session.status
