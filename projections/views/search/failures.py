"""What failed in the sessions that match a filter, counted by cause."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.legs import LegView, legs, list_legs
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import stream_sessions
from offhook.projections.views.search.time_bound import bounded_search
from offhook.projections.views.sessions import SessionView
from offhook.session.failures import is_failure

COUNTED_MAX = 1_000
"""Sessions that are counted at most, the newest."""


@dataclass(frozen=True, kw_only=True)
class FailedLegs:
    """Failed sessions with a leg that ended so."""

    hangup_cause: str
    sip_hangup_cause: str | None
    sessions: int


@dataclass(frozen=True, kw_only=True)
class FailedOperation:
    """Sessions in which a command of this operation failed."""

    operation: str
    sessions: int


@dataclass(frozen=True, kw_only=True)
class FailureReasonCount:
    """Sessions in which a command failed for this reason."""

    reason: str
    sessions: int


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Of `sessions`, the newest that match; `has_more` if there are others.

    The most frequent cause comes first. A session is counted once for each cause it has.
    """

    sessions: int
    has_more: bool
    flow_raised: int
    legs: Sequence[FailedLegs]
    operations: Sequence[FailedOperation]
    reasons: Sequence[FailureReasonCount]


async def count_failures(
    connection: AsyncConnection, wanted: SessionFilter, now: datetime
) -> Failures:
    """Raises SearchTooLong."""
    some = stream_sessions(connection, wanted, limit=COUNTED_MAX + 1, now=now)
    found = [session async for session in some]
    counted = found[:COUNTED_MAX]
    failed = [session.session_id for session in counted if session.failed]
    its_legs: dict[str, list[LegView]] = defaultdict(list)
    if failed:
        with bounded_search():
            for leg in await list_legs(connection, legs.c.session_id.in_(failed)):
                its_legs[leg.session_id].append(leg)
    return failures_of(counted, its_legs, has_more=len(found) > COUNTED_MAX)


def failures_of(
    counted: Sequence[SessionView],
    its_legs: Mapping[str, Sequence[LegView]],
    *,
    has_more: bool = False,
) -> Failures:
    """Of these sessions, with the legs of those that failed."""
    endings: Counter[tuple[str, str | None]] = Counter()
    for each in its_legs.values():
        # As the search finds a leg: by how it ended, each of them once.
        endings.update({_ending(leg) for leg in each if _failed(leg)})
    operations: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for session in counted:
        kinds = session.failed_commands or ()
        operations.update({str(kind["operation"]) for kind in kinds})
        reasons.update({str(kind["reason"]) for kind in kinds})
    return Failures(
        sessions=len(counted),
        has_more=has_more,
        flow_raised=sum(session.flow_raised_at is not None for session in counted),
        legs=[
            FailedLegs(hangup_cause=cause, sip_hangup_cause=sip, sessions=count)
            for (cause, sip), count in endings.most_common()
        ],
        operations=[
            FailedOperation(operation=name, sessions=count)
            for name, count in operations.most_common()
        ],
        reasons=[
            FailureReasonCount(reason=name, sessions=count) for name, count in reasons.most_common()
        ],
    )


def _failed(leg: LegView) -> bool:
    return is_failure(leg.hangup_cause, leg.sip_hangup_cause)


def _ending(leg: LegView) -> tuple[str, str | None]:
    return leg.hangup_cause or "", leg.sip_hangup_cause
