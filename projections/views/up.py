"""Whether a leg or a session of the views is up at a given time. Pure.

A hangup may be lost. What is up by its events is shown as ended from `up_until` on, the latest time
at which it can have been up, and `end_inferred` says that no hangup was received. A hangup that
comes later says when it really ended.
"""

from dataclasses import replace
from datetime import datetime

from offhook.projections.views.types import LegView, SessionDetail, SessionView


def leg_at(leg: LegView, now: datetime) -> LegView:
    """The leg as it is to be shown at `now`."""
    if leg.ended_at is not None:
        return leg
    if leg.state != "ended" and _is_before(now, leg.up_until):
        return leg
    return replace(leg, state="ended", end_inferred=True)


def session_at(session: SessionView, now: datetime) -> SessionView:
    """The session as it is to be shown at `now`."""
    if session.status == "empty" or session.ended_at is not None:
        return session
    if session.status == "active" and _is_before(now, session.up_until):
        return session
    return replace(session, status="ended", end_inferred=True)


def detail_at(detail: SessionDetail, now: datetime) -> SessionDetail:
    """The session and its legs as they are to be shown at `now`."""
    return replace(
        detail,
        session=session_at(detail.session, now),
        legs=[leg_at(leg, now) for leg in detail.legs],
    )


def _is_before(now: datetime, up_until: datetime | None) -> bool:
    return up_until is not None and now < up_until
