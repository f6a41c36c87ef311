"""A record → the lines that it has in the ladder, each with its text. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from offhook.session.inserted import UNWANTED_LEG, is_inserted
from offhook.wording.causes import sip_text
from offhook.wording.commands import command_about
from offhook.wording.durations import duration
from offhook.wording.moments import clock, seconds_between

CARRIER, OFFHOOK = "carrier", "offhook"
Kind = Literal["webhook", "command", "outcome", "bridge", "timer", "mark"]
Look = Literal["", "grey", "bad", "good", "quiet"]

ID_CHARS = 8
"""Of a command_id in the drawing; its title and the table have the whole of it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line. `start` and `end` are keys of columns; `about` is the leg it concerns."""

    kind: Kind
    text: str
    note: str = ""
    start: str = OFFHOOK
    end: str = OFFHOOK
    look: Look = ""
    about: str = ""
    event: str = ""

    @property
    def is_mark(self) -> bool:
        """Whether it is a mark at Offhook's own line, with text beside it."""
        return self.kind in ("timer", "mark")

    @property
    def height(self) -> int:
        """In pixels, with its text and note."""
        if self.is_mark:
            return 16 if self.look == "quiet" else 38 if self.note else 24
        if self.kind == "bridge":
            return 26
        return 42 if self.note else 28


class LineReader:
    """Reads records in the order in which they are drawn."""

    def __init__(
        self,
        timeline: Sequence[Mapping[str, Any]],
        *,
        is_arrival: bool,
        commands: Sequence[Mapping[str, Any]],
    ) -> None:
        self._is_arrival = is_arrival
        self._commands: dict[str, Mapping[str, Any]] = {}  # by command_id: issued
        self._decided_at: dict[str, str] = {}
        self._outcomes: dict[str, Mapping[str, Any]] = {}  # the entry
        self._late: dict[int, float] = {}  # by how many seconds
        self._duplicates: set[int] = set()
        self._bridged: list[str] = []  # legs that wait for their other half
        self._index(timeline)
        for command in commands:  # issued before the first of these records
            self._commands.setdefault(_id(command), command)
            self._decided_at.setdefault(_id(command), _text(command["decided_at"]))

    def _index(self, timeline: Sequence[Mapping[str, Any]]) -> None:
        seen: set[str] = set()
        latest: dict[str, str] = {}
        for entry in timeline:
            fields = entry["fields"]
            for identity in _identities(entry):
                if identity in seen:
                    self._duplicates.add(entry["seq"])
                seen.add(identity)
            match entry["type"]:
                case "WebhookReceived":
                    self._note_late(entry, latest)
                case "Decided":
                    for command in _dicts(fields.get("commands")):
                        self._commands.setdefault(_id(command), command)
                        self._decided_at.setdefault(_id(command), entry["stored_at"])
                case "CommandRequested":
                    command = fields.get("command")
                    if isinstance(command, Mapping):
                        self._commands.setdefault(_id(command), command)
                case "CommandSucceeded" | "CommandFailed":
                    self._outcomes.setdefault(_id(fields), entry)

    def _note_late(self, entry: Mapping[str, Any], latest: dict[str, str]) -> None:
        """Late is what happened before something of the same session that arrived earlier."""
        occurred = entry["fields"].get("occurred_at")
        if not isinstance(occurred, str):
            return
        before = latest.get("at", "")
        by = seconds_between(occurred, before) if before else None
        if by is not None and by > 0:
            self._late[entry["seq"]] = by
        else:
            latest["at"] = occurred

    def lines_of(self, entry: Mapping[str, Any]) -> list[Line]:
        """At least one line."""
        fields = entry["fields"]
        if entry["error"]:
            return [
                Line(
                    kind="mark",
                    text=f"{entry['type']}: not readable",
                    note=str(entry["error"]),
                    look="bad",
                )
            ]
        match entry["type"]:
            case "WebhookReceived":
                return list(self._webhook(entry))
            case "Decided":
                return list(self._decided(entry)) or [
                    Line(kind="mark", text="nothing to do", look="quiet")
                ]
            case "CommandSucceeded" | "CommandFailed":
                return [self._outcome(entry)]
            case "CommandAttempted":
                return [self._attempted(fields)]
            case "TimerSet":
                due = clock(fields.get("due_at"))
                text = f"{fields.get('name')} scheduled, due {due}"
                return [Line(kind="mark", text=text, look="quiet")]
            case "TimerCancelled":
                return [Line(kind="mark", text=f"{fields.get('name')} cancelled", look="quiet")]
            case "TimerFired":
                late = duration(seconds_between(fields.get("due_at"), entry["stored_at"]))
                return [
                    _timer(
                        f"{fields.get('name')} fired", f"{late} after it was due" if late else ""
                    )
                ]
            case _:
                return [_mark(entry)]

    def _webhook(self, entry: Mapping[str, Any]) -> Iterator[Line]:
        fields = entry["fields"]
        leg = _text(fields.get("call_control_id"))
        event = _text(fields.get("event_type")) or "webhook"
        delay = duration(seconds_between(fields.get("occurred_at"), entry["stored_at"]))
        attempt = fields.get("attempt")
        late = self._late.get(entry["seq"])
        is_duplicate = entry["seq"] in self._duplicates
        notes = [
            *_said_more(fields),
            "duplicate" if is_duplicate else "",
            f"late: {duration(late)} behind" if late is not None else "",
            f"{delay} delay" if delay else "",
            f"attempt {attempt}" if isinstance(attempt, int) and attempt > 1 else "",
        ]
        is_grey = is_duplicate or (late is not None and self._is_arrival)
        failed = event == "call.hangup" and fields.get("hangup_cause") not in _NORMAL_ENDS
        yield Line(
            kind="webhook",
            text=" · ".join(filter(None, [event, _said(fields)])),
            note=" · ".join(filter(None, notes)),
            start=leg or CARRIER,
            end=OFFHOOK,
            look="grey" if is_grey else "bad" if failed else "",
            about=leg,
            event=event,
        )
        if event == "call.bridged" and leg and not is_duplicate:
            other = next((each for each in self._bridged if each != leg), None)
            if other is None:
                self._bridged = [leg]
            else:
                self._bridged = []
                yield Line(kind="bridge", text="bridge", start=other, end=leg, look="good")

    def _decided(self, entry: Mapping[str, Any]) -> Iterator[Line]:
        fields = entry["fields"]
        is_duplicate = entry["seq"] in self._duplicates
        stored = fields.get("warnings")
        warnings = stored if isinstance(stored, list) else []
        for ordinal, command in enumerate(_dicts(fields.get("commands"))):
            by = f"by {UNWANTED_LEG}" if is_inserted(ordinal, warnings) else ""
            yield self._command(command, entry, by, is_duplicate=is_duplicate)
        yield from _timers(_dicts(fields.get("timers")))
        for warning in warnings:
            yield Line(kind="mark", text=f"Warning: {warning}", look="bad")

    def _command(
        self, command: Mapping[str, Any], entry: Mapping[str, Any], by: str, *, is_duplicate: bool
    ) -> Line:
        leg = _text(command.get("call_control_id"))
        outcome = self._outcomes.get(_id(command))
        status, look = "no outcome yet", ""
        if outcome is not None:
            took = duration(seconds_between(entry["stored_at"], outcome["stored_at"]))
            http = outcome["fields"].get("http_status")
            failed = outcome["type"] == "CommandFailed"
            if failed:
                word = _text(outcome["fields"].get("reason")) or "failed"
            else:
                word = _text(outcome["fields"].get("note")) or "accepted"
            status = f"{http or ''} {word} in {took}".strip()
            look = "bad" if failed else ""
        if is_duplicate:
            status, look = "ignored: decided already", "grey"
        return Line(
            kind="command",
            text=f"{command.get('operation')} {command_about(command)}".strip(),
            note=" · ".join(filter(None, [_id(command)[:ID_CHARS], by, status])),
            start=OFFHOOK,
            end=leg or CARRIER,
            look=look,  # type: ignore[arg-type]
            about=leg,
        )

    def _outcome(self, entry: Mapping[str, Any]) -> Line:
        fields = entry["fields"]
        command_id = _id(fields)
        issued = self._commands.get(command_id, fields)
        leg = _text(issued.get("call_control_id") or fields.get("call_control_id"))
        operation = _text(issued.get("operation") or fields.get("operation")) or "command"
        took = duration(seconds_between(self._decided_at.get(command_id), entry["stored_at"]))
        failed = entry["type"] == "CommandFailed"
        answer = f"{fields.get('http_status') or ''} {operation}".strip()
        said = _text(fields.get("detail") if failed else fields.get("note"))
        attempts = fields.get("attempts")
        reason = _text(fields.get("reason")) if failed else ""
        more = f"{attempts} attempts" if isinstance(attempts, int) and attempts > 1 else ""
        is_duplicate = entry["seq"] in self._duplicates
        return Line(
            kind="outcome",
            text=" · ".join(filter(None, [answer, reason, took, more])),
            note=said,
            start=leg or CARRIER,
            end=OFFHOOK,
            look="grey" if is_duplicate else "bad" if failed else "quiet",
            about=leg,
        )

    def _attempted(self, fields: Mapping[str, Any]) -> Line:
        """The attempt that follows, and why there is one."""
        issued = self._commands.get(_id(fields), {})
        leg = _text(issued.get("call_control_id"))
        return Line(
            kind="command",
            text=f"{issued.get('operation') or 'command'}: attempt {fields.get('attempt')}",
            note=f"{_id(fields)[:ID_CHARS]} · because {_text(fields.get('because'))}",
            end=leg or CARRIER,
            about=leg,
        )


_NORMAL_ENDS = (None, "normal_clearing", "originator_cancel")


def _identities(entry: Mapping[str, Any]) -> Iterator[str]:
    """What makes a record unique; a second one with the same is a duplicate, and has no effect."""
    if entry["type"] == "Decided" and entry["fields"].get("cause_seq") is not None:
        yield f"decided {entry['session_id']} {entry['fields']['cause_seq']}"
    elif entry["fact_id"]:
        yield f"{entry['type']} {entry['fact_id']}"


def _said(fields: Mapping[str, Any]) -> str:
    """The one thing of an event that a reader wants."""
    match fields.get("event_type"):
        case "call.initiated":
            return f"{fields.get('from') or fields.get('from_') or '?'} → {fields.get('to') or '?'}"
        case "call.hangup":
            code = _text(fields.get("sip_hangup_cause"))
            sip = f"SIP {code}" if sip_text(code) else ""
            return ", ".join(filter(None, [_text(fields.get("hangup_cause")), sip]))
    for name in ("digits", "digit", "status", "result", "reason", "queue"):
        if value := _text(fields.get(name)):
            return value
    return ""


def _said_more(fields: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit beside the cause of a hangup: its code in words, and who hung up."""
    if fields.get("event_type") != "call.hangup":
        return
    code = _text(fields.get("sip_hangup_cause"))
    yield sip_text(code).removeprefix(f"SIP {code}").strip()
    by = _text(fields.get("hangup_source"))
    yield f"by {by}" if by else ""


def _timers(orders: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """A timer that is set again is stored as cancelled and set."""
    cancelled = {str(each.get("name")) for each in orders if each.get("after_s") is None}
    for order in orders:
        name, after = str(order.get("name")), order.get("after_s")
        if isinstance(after, int | float):
            yield _timer(f"{name}: {'again ' if name in cancelled else ''}in {after:g} s", "")
        elif not any(str(each.get("name")) == name for each in orders if each is not order):
            yield _timer(f"{name}: cancel", "")


def _timer(text: str, note: str) -> Line:
    return Line(kind="timer", text=text, note=note)


def _mark(entry: Mapping[str, Any]) -> Line:
    fields = entry["fields"]
    match entry["type"]:
        case "SessionParked":
            return Line(
                kind="mark",
                text="Parked: the flow raised an error",
                note=_text(fields.get("error")),
                look="bad",
            )
        case "SessionResumed":
            return Line(
                kind="mark", text="Resumed", note=f"by {fields.get('resumed_by')}", look="good"
            )
        case "CommandRequested":
            command = fields.get("command")
            issued = command if isinstance(command, Mapping) else {}
            text = f"API request: {issued.get('operation')} {command_about(issued)}".strip()
            by = _text(fields.get("requested_by"))
            return Line(kind="mark", text=text, note=f"by token {by}" if by else "")
        case "LegPlaced":
            leg = fields.get("leg")
            placed = leg if isinstance(leg, Mapping) else {}
            return Line(
                kind="mark",
                text=f"Dial placed {placed.get('to_number') or 'a leg'}",
                about=_text(placed.get("call_control_id")),
            )
        case kind:
            return Line(kind="mark", text=_text(kind) or "record")


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return (
        [each for each in value if isinstance(each, Mapping)]
        if isinstance(value, list | tuple)
        else []
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _id(fields: Mapping[str, Any]) -> str:
    return _text(fields.get("command_id"))
