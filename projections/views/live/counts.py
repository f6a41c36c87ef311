"""How many calls are up, by phase, how many come in and are dialled each second, and how many
failed lately."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.commands import commands
from offhook.projections.views.live.phases import is_up, phase_column
from offhook.projections.views.sessions import sessions

RATE_WINDOW_S = 10
"""Rates are averages over this time."""

FAILED_WINDOW_S = 3600
CLOCKS_DIFFER_S = 300
"""A session may start this long after its first record is stored, by the carrier's clock."""

FAILED_MAX = 1_000
"""Failed sessions are counted up to this many."""

DECIDED_BEFORE_S = 60
"""Whatever is sent now was decided no longer ago than this: commands are given up after 45 s."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Calls that are up, `active` in all; rates are averages over the last 10 s.

    `failed`, `failed_commands` and `flow_raised` are sessions that started in the last hour, at
    most 1,000 of each: those that failed, those with a command that failed, and those whose flow
    raised, resumed or not, as GET /sessions finds them.
    """

    active: int
    setting_up: int
    waiting: int
    talking: int
    calls_per_s: float  # new calls, by the log's clock
    dials_per_s: float  # dials with an outcome
    failed: int
    failed_commands: int
    flow_raised: int


async def count_live(connection: AsyncConnection, now: datetime) -> Counts:
    """What is up at `now`."""
    found = await connection.execute(
        select(phase_column(now).label("phase"), func.count()).where(is_up(now)).group_by("phase")
    )
    phases: dict[str, int] = {phase: count for phase, count in found}
    since = now - timedelta(seconds=RATE_WINDOW_S)
    started = (
        select(func.count())
        .select_from(sessions)
        .where(sessions.c.first_stored_at > since, sessions.c.status != "empty")
    )
    dialled = (
        select(func.count())
        .select_from(commands)
        .where(
            commands.c.decided_at > now - timedelta(seconds=DECIDED_BEFORE_S),
            commands.c.settled_at > since,
            commands.c.operation == "dial",
        )
    )
    hour = now - timedelta(seconds=FAILED_WINDOW_S)
    counts = {
        "started": started,
        "dialled": dialled,
        "failed": _failed(sessions.c.failed, hour, without_legs=False),
        "failed_commands": _failed(
            sessions.c.failed_commands.is_not(None), hour, without_legs=True
        ),
        "flow_raised": _failed(sessions.c.flow_raised_at.is_not(None), hour, without_legs=True),
    }
    # In one statement: each alone takes less time than its way to Postgres and back.
    query = select(*(each.scalar_subquery().label(name) for name, each in counts.items()))
    counted = (await connection.execute(query)).one()
    return Counts(
        active=sum(phases.values()),
        setting_up=phases.get("setting_up", 0),
        waiting=phases.get("waiting", 0),
        talking=phases.get("talking", 0),
        calls_per_s=counted.started / RATE_WINDOW_S,
        dials_per_s=counted.dialled / RATE_WINDOW_S,
        failed=counted.failed,
        failed_commands=counted.failed_commands,
        flow_raised=counted.flow_raised,
    )


def _failed(
    has_failed: "ColumnElement[bool]", since: datetime, *, without_legs: bool
) -> "Select[Any]":
    """Sessions that started since then, as GET /sessions reads `started_from`.

    `without_legs`: also those without a leg, which start with their first record.
    """
    started, stored = sessions.c.started_at, sessions.c.first_stored_at
    is_since = started >= since
    if without_legs:
        is_since |= started.is_(None) & (stored >= since)
    # The indexes of what failed are in the order in which it was stored.
    is_stored = stored >= since - timedelta(seconds=CLOCKS_DIFFER_S)
    some = (
        select(literal(1))
        .select_from(sessions)
        .where(has_failed, is_stored, is_since)
        .limit(FAILED_MAX)
        .subquery()
    )
    return select(func.count()).select_from(some)
