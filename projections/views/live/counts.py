"""How many calls are up, by phase, how many come in and are dialled each second, and how many
failed lately."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.commands import commands
from offhook.projections.views.live.phases import is_up, phase_column
from offhook.projections.views.sessions import sessions

RATE_WINDOW_S = 10
"""Rates are averages over this time."""

FAILED_WINDOW_S = 3600
FAILED_MAX = 1_000
"""Failed sessions are counted up to this many."""

DECIDED_BEFORE_S = 60
"""Whatever is sent now was decided no longer ago than this: commands are given up after 45 s."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Calls that are up, `active` in all; rates are averages over the last 10 s.

    `failed`, `failed_commands` and `flow_raised` are sessions that began in the last hour, at most
    1,000 of each: those that failed, those with a command that failed, and those whose flow raised,
    resumed or not, as GET /sessions finds them.
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
    started = await connection.execute(
        select(func.count())
        .select_from(sessions)
        .where(sessions.c.first_stored_at > since, sessions.c.status != "empty")
    )
    dialled = await connection.execute(
        select(func.count())
        .select_from(commands)
        .where(
            commands.c.decided_at > now - timedelta(seconds=DECIDED_BEFORE_S),
            commands.c.settled_at > since,
            commands.c.operation == "dial",
        )
    )
    failed = await _count_failed(connection, sessions.c.failed, now)
    failed_commands = await _count_failed(connection, sessions.c.failed_commands.is_not(None), now)
    flow_raised = await _count_failed(connection, sessions.c.flow_raised_at.is_not(None), now)
    return Counts(
        active=sum(phases.values()),
        setting_up=phases.get("setting_up", 0),
        waiting=phases.get("waiting", 0),
        talking=phases.get("talking", 0),
        calls_per_s=started.scalar_one() / RATE_WINDOW_S,
        dials_per_s=dialled.scalar_one() / RATE_WINDOW_S,
        failed=failed,
        failed_commands=failed_commands,
        flow_raised=flow_raised,
    )


async def _count_failed(
    connection: AsyncConnection, has_failed: "ColumnElement[bool]", now: datetime
) -> int:
    since = now - timedelta(seconds=FAILED_WINDOW_S)
    some = (
        select(literal(1))
        .select_from(sessions)
        .where(has_failed, sessions.c.first_stored_at >= since)
        .limit(FAILED_MAX)
        .subquery()
    )
    return (await connection.execute(select(func.count()).select_from(some))).scalar_one()
