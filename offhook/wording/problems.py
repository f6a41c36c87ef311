"""What failed in a session, in a few words each, for a row of a list. Pure.

A list shows the cause of one leg, and a call whose first leg was answered may have had a busy
transfer or a refused command. The session's page says it in sentences (`wording.why`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.wording.causes import cause_text, sip_text
from offhook.wording.why import REASONS, went_wrong


@dataclass(frozen=True, kw_only=True)
class Problem:
    """`words` as on a badge, `title` the same in full, `look` the class of the badge."""

    words: str
    title: str
    look: str


def problems_of(session: Mapping[str, Any], legs: Sequence[Mapping[str, Any]]) -> Sequence[Problem]:
    """Of a session as the API lists it: that its flow raised, its failed commands, its failed legs.

    Not the flow of a parked session, as its outcome says that already.
    """
    flow = [_FLOW_RAISED] if session["flow_raised_at"] and not session["parked"] else []
    commands = [_of_command(each) for each in session["failed_commands"] or ()]
    return [
        *flow,
        *commands,
        *(_of_leg(leg) for leg in legs if leg["ended_at"] and went_wrong(leg)),
    ]


_FLOW_RAISED = Problem(
    words="flow raised",
    title="Its flow raised, and an operator has resumed it since",
    look="failed",
)


def _of_command(failed: Mapping[str, Any]) -> Problem:
    operation, reason, status = failed["operation"], failed["reason"], failed["http_status"]
    times = f" ×{failed['count']}" if failed["count"] > 1 else ""
    http = f" (HTTP {status})" if status else ""
    return Problem(
        words=" ".join(filter(None, [operation, reason, str(status or "")])) + times,
        title=f"The command {operation} failed: {REASONS.get(reason, reason)}{http}",
        look="failed",
    )


def _of_leg(leg: Mapping[str, Any]) -> Problem:
    cause, sip = leg["hangup_cause"], leg["sip_hangup_cause"]
    code = "" if sip == "unspecified" else sip
    between = f"{leg['from_number'] or 'unknown'} → {leg['to_number'] or 'unknown'}"
    said = ", ".join(filter(None, [cause, sip_text(sip)]))
    return Problem(
        words=" ".join(filter(None, ["leg", cause, code])),
        title=f"Leg {between}: {cause_text(cause)} ({said})",
        look="late",
    )
