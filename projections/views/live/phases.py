"""The phase of a call that is up, as a pure function of its rows and as a condition of a query.

    setting_up    no leg was answered
    waiting       a leg waits in a queue
    talking       a leg was answered, and none waits

`since` is when the phase began: the start, the enqueueing of the leg that waits longest, the first
answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Case, ColumnElement, and_, case, or_, select

from offhook.projections.views.analytics.rollups.changes import UP_HOURS_MAX
from offhook.projections.views.legs import LegView, leg_at, legs
from offhook.projections.views.sessions import SessionView, sessions

PhaseName = Literal["setting_up", "waiting", "talking"]

_UP_MAX = timedelta(hours=UP_HOURS_MAX)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A phase, and when it began; null if no event has said that."""

    name: PhaseName
    since: datetime | None


def phase_at(session: SessionView, its_legs: Sequence[LegView], now: datetime) -> Phase | None:
    """The phase of a session, as `session_at` shows it, with all its legs; None unless it is up."""
    if session.status != "active":
        return None
    waiting = [leg.enqueued_at for leg in its_legs if leg.enqueued_at and waits(leg, now)]
    if waiting:
        return Phase(name="waiting", since=min(waiting))
    if session.answered_at is not None:
        return Phase(name="talking", since=session.answered_at)
    return Phase(name="setting_up", since=session.started_at)


def waits(leg: LegView, now: datetime) -> bool:
    """Whether the leg waits in a queue at `now`."""
    is_queued = leg.enqueued_at is not None and leg.dequeued_at is None
    return is_queued and leg_at(leg, now).state != "ended"


def phase_column(now: datetime) -> "Case[str]":
    """The phase of a row of `sessions` that is up."""
    # All of them once, not for each session: without statistics of the last minutes Postgres went
    # through the index of legs that are up for each of them.
    waiting = select(legs.c.session_id).where(
        legs.c.ended_at.is_(None),
        legs.c.state != "ended",
        legs.c.up_until > now,
        # Those that have not ended are found by their start.
        or_(legs.c.started_at > now - _UP_MAX, legs.c.started_at.is_(None)),
        legs.c.enqueued_at.is_not(None),
        legs.c.dequeued_at.is_(None),
    )
    return case(
        (sessions.c.session_id.in_(waiting), "waiting"),
        (sessions.c.answered_at.is_not(None), "talking"),
        else_="setting_up",
    )


def is_up(now: datetime) -> "ColumnElement[bool]":
    """The condition for sessions that are up, as `session_at` shows them."""
    return and_(sessions.c.status == "active", sessions.c.up_until > now)


def has_phase(name: PhaseName, now: datetime) -> "ColumnElement[bool]":
    """The condition for sessions that are up and in that phase."""
    return and_(is_up(now), phase_column(now) == name)
