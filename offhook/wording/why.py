"""Why a call ended, or failed: a sentence for the top of its page. Pure.

The session's own cause is that of its first leg, and often says `normal_clearing` when a transfer
was busy and the flow then hung up. So the leg or command that failed comes first.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from offhook.session.failures import is_command_failure
from offhook.wording.causes import HINTS, cause_text, sip_text
from offhook.wording.durations import duration
from offhook.wording.ended_by import Ender, ender_of, who_sent

Detail = Mapping[str, Any]
"""`data` of GET /sessions/{session_id}."""

Entry = Mapping[str, Any]
"""A record of the timeline."""

Tone = Literal["good", "info", "warn", "bad"]

NORMAL = ("normal_clearing", None)
MACHINES = ("machine", "fax_detected")
"""Results of machine detection that mean that no person answered."""

REASONS = {
    "invalid": "it was not sent, because a parameter is not allowed",
    "refused": "the carrier refused it",
    "call_ended": "it had not succeeded when its leg ended",
    "deadline": "the carrier did not accept it in time",
    "unauthorized": "the carrier does not accept the API key for it",
}


def why(detail: Detail, timeline: Sequence[Entry] = ()) -> list[str]:
    """What happened to the call, a paragraph for each thing: what failed first, the end last.

    `timeline` is read for the error of a parked session only.
    """
    session = detail["session"]
    return [
        *_unreadable(session),
        *_parked(session, timeline),
        *_failed_commands(detail),
        *_failed_legs(detail),
        *_state(detail),
    ]


def tone_of(detail: Detail, timeline: Sequence[Entry] = ()) -> Tone:
    """How bad it is: bad means that a command, a leg or the flow failed.

    `timeline` is read for whether the session was parked, and resumed since.
    """
    session = detail["session"]
    failed = _causes_of_failure(detail["commands"]) or _legs_that_failed(detail)
    if session["fold_error"] or session["parked"] or failed:
        return "bad"
    if session["status"] != "ended":
        return "info"
    first = _first(detail["legs"])
    unanswered = session["answered_at"] is None
    was_parked = any(entry["type"] == "SessionParked" for entry in timeline)
    is_ringing = first is not None and _still_ringing(first, detail["legs"])
    if session["end_inferred"] or unanswered or was_parked or is_ringing:
        return "warn"
    return "good"


def _unreadable(session: Mapping[str, Any]) -> list[str]:
    if not session["fold_error"]:
        return []
    return [f"The views cannot follow this session: {_stop(session['fold_error'])}"]


def _parked(session: Mapping[str, Any], timeline: Sequence[Entry]) -> list[str]:
    parked = [entry for entry in timeline if entry["type"] == "SessionParked"]
    if not parked:
        waits = "The flow raised an error, so the session is parked until an operator resumes it."
        return [waits] if session["parked"] else []
    fields = parked[-1]["fields"]
    cause = next((each for each in timeline if each["seq"] == fields.get("cause_seq")), None)
    on = f" on {event_name(cause)}" if cause else ""
    times = fields.get("attempts") or 1
    attempts = "" if times == 1 else f" in each of {times} attempts"
    flow, error = _flow_and_error(fields.get("error") or "unknown")
    sentence = f"{flow} raised an error{on}{attempts}: {_stop(error)}"
    if session["parked"]:
        since = "The session is parked: its flow decides nothing until it is resumed."
    else:
        since = "An operator has resumed the session since."
    return [f"{sentence} {since}"]


def _flow_and_error(text: str) -> tuple[str, str]:
    """`flow desk 7: KeyError: 'name'`, as it is stored → `The flow desk 7` and the error."""
    start, colon, error = text.partition(": ")
    if start.startswith("flow ") and colon:
        return f"The {start}", error
    return "The flow", text


def _failed_commands(detail: Detail) -> list[str]:
    """A sentence for each failure; what a flow repeated a thousand times is said once."""
    failed = Counter(map(_command_failed, _causes_of_failure(detail["commands"])))
    return [
        sentence if times == 1 else sentence.replace(" failed: ", f" failed {times:,} times: ", 1)
        for sentence, times in failed.items()
    ]


def _causes_of_failure(commands: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The failed commands; one that came after the end of its leg is a consequence."""
    return [
        command
        for command in commands
        if command["status"] == "failed"
        and is_command_failure(
            command["reason"], attempts=command["attempts"], http_status=command["http_status"]
        )
    ]


def _command_failed(command: Mapping[str, Any]) -> str:
    operation = command["operation"] or "a command"
    reason = REASONS.get(command["reason"], command["reason"] or "unknown reason")
    errors = command["errors"] or []
    said = [
        f"{each.get('code', '')} {each.get('title') or each.get('detail') or ''}".strip()
        for each in errors
    ]
    status = f"HTTP {command['http_status']}" if command["http_status"] else ""
    about = ", ".join(filter(None, [status, *said])) or command["detail"] or ""
    is_said = "may have been performed" in about
    doubt = " It may have been performed." if command["maybe_performed"] and not is_said else ""
    because = f"{reason} ({about})" if about else reason
    return _stop(f"The command {operation}{_target_of(command)} failed: {because}") + doubt


def _target_of(command: Mapping[str, Any]) -> str:
    to = (command["parameters"] or {}).get("to")
    return f" to {to}" if isinstance(to, str) and to else ""


def _failed_legs(detail: Detail) -> list[str]:
    first = _first(detail["legs"])
    sentences = []
    for leg in _legs_that_failed(detail):
        name = "The call" if leg is first else "The leg"
        to = leg["to_number"] or "an unknown number"
        hint = HINTS.get(leg["sip_hangup_cause"] or "", "")
        sentences.append(f"{_stop(f'{name} to {to} {_not_up(leg, detail)}')} {hint}".rstrip())
    return sentences


def _legs_that_failed(detail: Detail) -> list[Mapping[str, Any]]:
    """Those that went wrong, in order of start."""
    return [leg for leg in detail["legs"] if leg["ended_at"] and went_wrong(leg)]


def went_wrong(leg: Mapping[str, Any]) -> bool:
    """Whether an ended leg is worth a sentence: it was cut, or nobody answered it and it was not
    given up. Busy counts here, and not in `offhook.session.failures`."""
    cause = leg["hangup_cause"]
    if leg["answered_at"] is not None:
        return cause not in NORMAL
    return leg["direction"] == "outgoing" and cause not in (*NORMAL, "originator_cancel")


def _not_up(leg: Mapping[str, Any], detail: Detail) -> str:
    verb = "was cut" if leg["answered_at"] else "was not answered"
    ours = ender_of(leg, detail["legs"], detail["commands"])
    return f"{verb}: {cause_text(leg['hangup_cause'])} ({_facts(leg, ours)})"


def _facts(leg: Mapping[str, Any], ours: Ender | None = None) -> str:
    """`user_busy, SIP 486 Busy Here, ended by the callee`."""
    source = leg["hangup_source"]
    by = f"ended by the {source}" if source in ("caller", "callee") else ""
    return _listed(*_code(leg), f"ended by {who_sent(ours.command)}" if ours else by)


def _code(leg: Mapping[str, Any]) -> tuple[str | None, str]:
    return leg["hangup_cause"], sip_text(leg["sip_hangup_cause"])


def _state(detail: Detail) -> list[str]:
    session = detail["session"]
    first = _first(detail["legs"])
    if first is None:
        return _without_legs(detail)
    if session["status"] == "active":
        return [_active(detail, first)]
    if session["end_inferred"] or first["ended_at"] is None:
        return ["No hangup was received; the carrier's time limit for the call has passed."]
    machines = [_machine(leg) for leg in detail["legs"] if leg["machine_detection"] in MACHINES]
    if went_wrong(first):
        return machines
    return [*machines, _ended(first, detail)]


def _machine(leg: Mapping[str, Any]) -> str:
    what = "A fax" if leg["machine_detection"] == "fax_detected" else "An answering machine"
    return f"{what} answered at {_to(leg)} (machine detection: {leg['machine_detection']})."


def _without_legs(detail: Detail) -> list[str]:
    commands = detail["commands"]
    if any(command["status"] in ("requested", "pending") for command in commands):
        return ["A command is on its way; there is no call yet."]
    if any(command["maybe_performed"] for command in commands):
        return ["No call of it has been seen."]
    return ["No call was placed."] if commands else ["There is no call in this session."]


def _active(detail: Detail, first: Mapping[str, Any]) -> str:
    up = [leg for leg in detail["legs"] if leg["ended_at"] is None]
    if sum(leg["state"] == "bridged" for leg in up) > 1:
        return "The call is up: two legs are connected."
    if first["queue"] and first["dequeued_at"] is None:
        return f"The call is up and waits in the queue {first['queue']}."
    ringing = [leg for leg in up if leg["direction"] == "outgoing" and leg["state"] == "initiated"]
    if ringing:
        return f"The call is up; {_to(ringing[0])} has not answered yet."
    return "The call is up." if first["answered_at"] else "The call is not answered yet."


def _ended(first: Mapping[str, Any], detail: Detail) -> str:
    """The end of a first leg that did not fail."""
    ours = ender_of(first, detail["legs"], detail["commands"])
    length = _span(first["answered_at"] or first["started_at"], first["ended_at"])
    who = _capitalized(who_sent(ours.command)) if ours else ""
    if ours and ours.command["operation"] == "reject":
        cause = (ours.command["parameters"] or {}).get("cause")
        return f"{who} rejected the call ({_listed(cause, *_code(first))})."
    if first["answered_at"] is None:
        when = f"{length} after the start, before an answer" if length else "before an answer"
    else:
        when = f"{length} after the answer"
    if ours is not None:
        leg = "" if ours.leg is first else f" the connected leg {_between(ours.leg)}"
        return f"{who} hung up{leg} {when} ({_listed(*_code(first))})."
    waited = _still_ringing(first, detail["legs"])
    still = f" {_to(waited)} had not answered yet." if waited is not None else ""
    return f"{_side(first)} {when} ({_facts(first)}).{still}"


def _still_ringing(
    first: Mapping[str, Any], legs: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The leg that was still ringing when the caller hung up."""
    if any(leg["bridged_at"] for leg in legs):
        return None
    return next(
        (
            leg
            for leg in legs
            if leg is not first
            and leg["answered_at"] is None
            and leg["hangup_cause"] == "originator_cancel"
        ),
        None,
    )


def _side(first: Mapping[str, Any]) -> str:
    match first["hangup_source"]:
        case "caller":
            return f"The caller {first['from_number'] or ''}".rstrip() + " hung up"
        case "callee":
            return "The called side hung up"
        case _:
            return "The call ended"


def _listed(*facts: str | None) -> str:
    return ", ".join(filter(None, facts)) or "no cause is known"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _between(leg: Mapping[str, Any]) -> str:
    return f"{leg['from_number'] or 'unknown'} → {leg['to_number'] or 'unknown'}"


def _first(legs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return legs[0] if legs else None


def _to(leg: Mapping[str, Any]) -> str:
    return leg["to_number"] or "the other side"


def event_name(entry: Entry) -> str:
    """The carrier's event type, or the name of our own record."""
    return str(entry["fields"].get("event_type") or entry["type"])


def _span(start: str | None, end: str | None) -> str:
    if not start or not end:
        return ""
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return duration(max(0.0, seconds))


def _stop(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
