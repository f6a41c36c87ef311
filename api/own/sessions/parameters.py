"""The query parameters that choose sessions: the same for a list and for an export."""

import re
from typing import Annotated, Literal, TypeAlias, get_args

from fastapi import Depends, Query

from offhook.api.errors import not_found, refusal
from offhook.api.own.parameters import Moment, optional_moment, rfc3339
from offhook.api.query_parameters import Number, numbers_in, patterns_text
from offhook.commands import COMMANDS
from offhook.errors import shown
from offhook.events import FailureReason
from offhook.patterns import patterns_in
from offhook.projections.views.database.engine import Connection
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.sessions import read_session
from offhook.projections.views.stored.erasures import ERASED

_PATTERNS = "One, or patterns separated by commas: `+4930*`, `*1234`, `!+1202*`"
_TEXTS = "One, or patterns separated by commas: `user_busy,no_answer`, `!normal_clearing`, `5*`"

_UNKNOWN = "`!*`: without one"

Numbers: TypeAlias = Annotated[
    str | None, Query(description=f"Of the session, which is that of its first leg. {_PATTERNS}")
]
Texts: TypeAlias = Annotated[str | None, Query(description=f"Of its first leg. {_TEXTS}")]
OfSomeLeg: TypeAlias = Annotated[
    str | None,
    Query(
        description="Of any leg, which has both if both are given, whatever the other filters ask "
        f"of the session or of a leg. {_TEXTS}"
    ),
]
Seconds: TypeAlias = Annotated[
    Number | None,
    Query(ge=0, le=10**9, description="From the start to the end, in seconds; bound included"),
]
DelaySeconds: TypeAlias = Annotated[
    Number | None,
    Query(ge=0, le=10**9, description="From the start to the answer, in seconds; bound included"),
]
TalkSeconds: TypeAlias = Annotated[
    Number | None,
    Query(ge=0, le=10**9, description="From the answer to the end, in seconds; bound included"),
]


async def session_filter(
    session_id: Annotated[
        str | None, Query(description="One, or several separated by commas; `8f3a*` for its start")
    ] = None,
    call_control_id: Annotated[
        str | None,
        Query(description="Of its first leg. One, or several separated by commas; `v3:8f3a*`"),
    ] = None,
    status: Annotated[
        Literal["empty", "active", "ended"] | None, Query(description="As it is shown")
    ] = None,
    connection_id: Annotated[str | None, Query(description=f"Of its first leg. {_UNKNOWN}")] = None,
    direction: Annotated[
        Literal["incoming", "outgoing", "!*"] | None,
        Query(description=f"Of its first leg. {_UNKNOWN}"),
    ] = None,
    number: Annotated[
        str | None,
        Query(
            description="Caller or called party of any leg or failed dial (a transfer is one too). "
            f"{_PATTERNS}"
        ),
    ] = None,
    from_number: Numbers = None,
    to_number: Numbers = None,
    hangup_cause: Texts = None,
    hangup_source: Texts = None,
    sip_hangup_cause: Texts = None,
    leg_hangup_cause: OfSomeLeg = None,
    leg_sip_hangup_cause: OfSomeLeg = None,
    flow: Annotated[str | None, Query(description=f"Of the last decision. {_UNKNOWN}")] = None,
    flow_version: Annotated[
        str | None, Query(description=f"Of the last decision. {_UNKNOWN}")
    ] = None,
    failed: Annotated[
        Literal["true", "false"] | None,
        Query(
            description="Whether its flow raised and it is parked, or a leg failed and no leg was "
            "answered later. A leg failed if it ended unanswered with a cause other than "
            "normal_clearing, originator_cancel, user_busy, no_answer, timeout and call_rejected, "
            "or with a SIP error other than 408, 480, 486, 487, 600 and 603"
        ),
    ] = None,
    failed_command: Annotated[
        str | None,
        Query(
            description="A command of it failed. The operation, the reason (refused, deadline, "
            "invalid, unauthorized, call_ended) or the HTTP status, or patterns separated by "
            "commas: `transfer,dial`, `refused`, `422`, `*` for any, `!*` for none. A command to a "
            "leg that had ended is a failure only if an attempt before the end had failed "
            "(call_ended). Without status it also finds commands without a call"
        ),
    ] = None,
    flow_raised: Annotated[
        Literal["true", "false"] | None,
        Query(
            description="Whether its flow ever raised five times on one record, so that it was "
            "parked. It stays so when the session is resumed"
        ),
    ] = None,
    flow_raised_from: Moment = None,
    flow_raised_before: Moment = None,
    started_from: Moment = None,
    started_before: Moment = None,
    ended_from: Moment = None,
    ended_before: Moment = None,
    answered: Annotated[
        Literal["true", "false"] | None, Query(description="Whether it was answered")
    ] = None,
    duration_s_min: Seconds = None,
    duration_s_max: Seconds = None,
    answer_delay_s_min: DelaySeconds = None,
    answer_delay_s_max: DelaySeconds = None,
    talk_s_min: TalkSeconds = None,
    talk_s_max: TalkSeconds = None,
    any_leg: Annotated[
        Literal["true", "false"] | None,
        Query(
            description="true: one leg, whichever it is, has to meet all filters but session_id, "
            "status, number, failed, failed_command and flow_raised; otherwise these are of the "
            "session and its first leg"
        ),
    ] = None,
) -> SessionFilter:
    """What listed sessions have in common. Raises ErrorAnswer 422."""
    return SessionFilter(
        session_id=_texts("session_id", session_id),
        call_control_id=_texts("call_control_id", call_control_id),
        status=status,
        connection_id=connection_id,
        direction=direction,
        number=_numbers("number", number),
        from_number=_numbers("from_number", from_number),
        to_number=_numbers("to_number", to_number),
        hangup_cause=_texts("hangup_cause", hangup_cause),
        hangup_source=_texts("hangup_source", hangup_source),
        sip_hangup_cause=_texts("sip_hangup_cause", sip_hangup_cause),
        leg_hangup_cause=_texts("leg_hangup_cause", leg_hangup_cause),
        leg_sip_hangup_cause=_texts("leg_sip_hangup_cause", leg_sip_hangup_cause),
        flow=flow,
        flow_version=flow_version,
        failed=None if failed is None else failed == "true",
        failed_command=_failed_command(failed_command),
        flow_raised=None if flow_raised is None else flow_raised == "true",
        flow_raised_from=optional_moment("flow_raised_from", flow_raised_from),
        flow_raised_before=optional_moment("flow_raised_before", flow_raised_before),
        started_from=optional_moment("started_from", started_from),
        started_before=optional_moment("started_before", started_before),
        ended_from=optional_moment("ended_from", ended_from),
        ended_before=optional_moment("ended_before", ended_before),
        answered=None if answered is None else answered == "true",
        duration_s_min=duration_s_min,
        duration_s_max=duration_s_max,
        answer_delay_s_min=answer_delay_s_min,
        answer_delay_s_max=answer_delay_s_max,
        talk_s_min=talk_s_min,
        talk_s_max=talk_s_max,
        any_leg=any_leg == "true",
    )


async def no_session(
    connection: Connection, session_id: str, as_of: str | None = None
) -> Exception:
    """The answer 404; of an erased session, what is kept of it."""
    when = "" if as_of is None else f" as of {as_of}"
    if session_id.startswith(ERASED) and (kept := await read_session(connection, session_id)):
        last = rfc3339(kept.session.last_stored_at)
        return not_found(
            f"Session {shown(session_id)} was erased, and nothing is kept of how it was{when}; "
            f"expected a time from its last record on, at {last}, or no as_of"
        )
    return not_found(f"There is no session {shown(session_id)}{when}")


def _numbers(parameter: str, text: str | None) -> str | None:
    return None if text is None else numbers_in(parameter, text)


def _texts(parameter: str, text: str | None) -> str | None:
    return None if text is None else patterns_text(parameter, text)


def _failed_command(text: str | None) -> str | None:
    if text is None:
        return None
    patterns = patterns_in(patterns_text("failed_command", text))
    for each in (*patterns.any_of, *patterns.none_of):
        is_known = each.text in COMMANDS or each.text in _REASONS or _STATUS.fullmatch(each.text)
        if each.kind == "exact" and not is_known:
            detail = (
                f"failed_command has {shown(each.text)}; expected an operation (transfer), a "
                f"reason ({', '.join(_REASONS)}), an HTTP status (422), * for any or !* for none"
            )
            raise refusal(422, "10015", detail, parameter="failed_command")
    return text


_REASONS = get_args(FailureReason)
_STATUS = re.compile(r"[1-5][0-9]{2}")

WantedSessions = Annotated[SessionFilter, Depends(session_filter)]
