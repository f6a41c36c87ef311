"""A session as a row of a list, from the API's JSON of it with include=legs. Pure.

What is shown as the cause is why the call failed, if it did: the first leg that failed, as
`Session.has_failed` reads legs. Otherwise it is that of the session, which is its first leg's.
What else went wrong, as a busy transfer of an answered call, is in `problems`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from offhook.session.failures import is_failure
from offhook.wording.causes import cause_text, sip_text
from offhook.wording.problems import Problem, problems_of

Legs = Sequence[Mapping[str, Any]]

STATES: Mapping[str, str] = {
    "setting_up": "setting up",
    "waiting": "waiting",
    "talking": "talking",
    "ended": "ended",
    "empty": "no legs",
}
"""By the name of a phase."""


@dataclass(frozen=True, kw_only=True)
class FoundRow:
    """What a row shows. `outcome` is the class of its chip; titles explain what they belong to."""

    session_id: str
    started_at: str | None
    outcome: str
    outcome_words: str
    outcome_title: str
    problems: Sequence[Problem]
    from_number: str
    to_number: str
    lasted_s: float | None
    cause: str
    cause_title: str
    sip: str
    sip_words: str
    flow: str
    flow_version: str
    legs: int


def found_row(session: Mapping[str, Any]) -> FoundRow:
    """The row of a session."""
    outcome, words, title = _outcome(session)
    legs: Legs = session["legs"]
    failed = _failed_leg(legs) if session["failed"] else None
    shown = failed or next(iter(legs), None)
    cause, sip, source = (
        (failed or session)[name] or ""
        for name in ("hangup_cause", "sip_hangup_cause", "hangup_source")
    )
    by = f"; the carrier says that the {source} hung up" if source and source != "unknown" else ""
    of_leg = f" (leg {_between(failed)})" if failed and len(legs) > 1 else ""
    caller, called = between(session)
    return FoundRow(
        session_id=session["session_id"],
        started_at=session["started_at"] or session["first_stored_at"],
        outcome=outcome,
        outcome_words=words,
        outcome_title=title,
        problems=problems_of(session, [leg for leg in legs if leg is not shown]),
        from_number=caller,
        to_number=called,
        lasted_s=_lasted_s(session["started_at"], session["ended_at"]),
        cause=cause,
        cause_title=f"{cause_text(cause)}{of_leg}{by}" if cause else "",
        sip="" if sip == "unspecified" else sip,
        sip_words=sip_text(sip).removeprefix(f"SIP {sip}").strip(),
        flow=session["flow"] or "",
        flow_version=session["flow_version"] or "",
        legs=session["leg_count"],
    )


def between(session: Mapping[str, Any]) -> tuple[str, str]:
    """Caller and called party; without a leg, those that the first command asked for."""
    asked = session.get("asked") or session
    return asked["from_number"] or "unknown", asked["to_number"] or "unknown"


def _outcome(session: Mapping[str, Any]) -> tuple[str, str, str]:
    if session["parked"]:
        return "parked", "parked", "Its flow raised; it waits for an operator"
    if session["fold_error"]:
        return "failed", "unreadable", session["fold_error"]
    if session["failed"]:
        return "failed", "failed", "A leg failed, and no leg was answered later"
    match session["status"]:
        case "active":
            state = session["phase"]["name"] if session["phase"] else "active"
            return state, STATES.get(state, "up"), "It is up"
        case "empty" if session["failed_commands"]:
            return "failed", "no call", "A command failed, and there is no call"
        case "empty":
            return "empty", "no legs", "A command or a conference without a call"
    lost = "; not every hangup was received" if session["end_inferred"] else ""
    if session["answered_at"]:
        return "answered", "answered", f"It was answered, and has ended{lost}"
    return "unanswered", "not answered", f"It ended before an answer{lost}"


def _failed_leg(legs: Legs) -> Mapping[str, Any] | None:
    return next((leg for leg in legs if _has_failed(leg)), None)


def _has_failed(leg: Mapping[str, Any]) -> bool:
    if not leg["ended_at"] or leg["answered_at"] or leg["bridged_at"]:
        return False
    return is_failure(leg["hangup_cause"], leg["sip_hangup_cause"])


def _between(leg: Mapping[str, Any]) -> str:
    return f"{leg['from_number'] or 'unknown'} → {leg['to_number'] or 'unknown'}"


def _lasted_s(start: str | None, end: str | None) -> float | None:
    if not start or not end:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
