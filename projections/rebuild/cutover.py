"""The swap of the two versions, its undoing, and the end of the grace period in between.

    cutover    projector held off ─▶ the last records ─▶ older snapshots gone ─▶ everybody out
               ─▶ swap, mirror ─▶ commit
    rollback   projector held off ─▶ everybody out ─▶ swap back, drop the rebuilt version ─▶ commit
    grace      triggers write every row of the live version into the version before as well

A query queues behind an exclusive lock that is waited for. So each attempt to lock the tables gives
up after LOCK_S, and is repeated a little later; the projector is held off all the while, because
under load it has one of the tables at almost any time.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import OperatorFault
from offhook.projections.rebuild.aside import (
    MIRRORED,
    begin_mirror,
    end_mirror,
    lock_versions,
    require_same_columns,
    swap,
)
from offhook.projections.rebuild.build import live_positions, read_build
from offhook.projections.rebuild.tail import Tail
from offhook.projections.rebuild.unreadable import require_readable
from offhook.projections.views.database.errors import DATABASE_ERRORS, sqlstate_of
from offhook.projections.views.database.transactions import open_transactions
from offhook.projections.views.schema.migrate import hold_off_projectors
from offhook.projections.views.schema.versions import aside_of, drop_aside, live_schema

LOCK_S = 0.1
"""How long an attempt waits for those who read the tables: others queue behind it."""

HOLD_OFF_S = 2.0
"""How long an attempt waits for the projector's batch; readers do not queue behind that."""

LOCKING_S = 0.5
"""How long the tables are tried for while the projector waits; then it goes on for a while."""

LOCK_PAUSE_S = 0.05
"""Pause between these attempts, in which queries that queued behind one go on."""

SNAPSHOTS_S = 1.0
"""How long an attempt waits for transactions that began before the last records were in."""

ATTEMPTS_S = 60.0
GRACE_LOOK_S = 60.0
PAUSE_MAX_S = 0.5
CLOSE_RECORDS = 200
"""How close behind the version aside has to be before the projector is held off."""

_LOCKED = ("55P03", "40P01")
"""Postgres' codes: no lock in time; two waited for each other."""

Result = TypeVar("Result")

_FAULTS: tuple[type[Exception], ...] = (OperatorFault, *DATABASE_ERRORS)

_log = logging.getLogger(__name__)


class _InUse(Exception):
    """Somebody is in the way, for now."""


async def cut_over(
    engine: AsyncEngine, tail: Tail, *, live: str, grace_s: float, despite_unreadable: bool
) -> None:
    """Make the version aside the live one. Raises OperatorFault if that is not possible."""
    aside = aside_of(live)

    async def attempt() -> None:
        while await tail.behind() > CLOSE_RECORDS and await tail.follow():
            await tail.connection.commit()
        await tail.connection.commit()
        async with engine.begin() as connection:
            await _lock_timeout(connection, HOLD_OFF_S)
            await hold_off_projectors(connection, live)
            # Committed apart: see `_snapshots_gone`.
            async with tail.connection.begin():
                while await tail.follow():
                    pass
                if not despite_unreadable:  # a late record has an archived session read again
                    await require_readable(tail.connection, aside)
                await _adopt_parked(tail.connection, live, aside)
            await _snapshots_gone(tail.connection, connection)
            await require_same_columns(connection, live, aside)
            await _keep_all_out(connection, live, aside)
            await swap(connection, live, aside)
            await begin_mirror(connection, live, aside)
            await connection.execute(
                text(
                    f"update {aside}.build set state = 'live', cut_over_at = clock_timestamp(),"
                    " grace_until = clock_timestamp() + make_interval(secs => :grace_s)"
                ),
                {"grace_s": grace_s},
            )

    await _until_free(engine, attempt)


async def _snapshots_gone(looking: AsyncConnection, holding: AsyncConnection) -> None:
    """Wait for everybody who sees the tables as they were before the last commit. Raises _InUse.

    A transaction of REPEATABLE READ may have its snapshot, and be about to ask for its first lock:
    after the swap it would find the new table, with its rows as of the snapshot.
    """
    ours = [await _pid_of(looking), await _pid_of(holding)]
    waited_for = {"ours": ours, "holding": ours[1]}
    found = await looking.execute(
        text(
            "select pid, xact_start from pg_stat_activity where datname = current_database()"
            " and backend_xmin is not null and pid <> all(:ours)"
            # It returns rows to nobody, and on tables that were just loaded it may take hours.
            " and backend_type <> 'autovacuum worker'"
            # Projectors, which wait for us.
            " and not :holding = any(pg_blocking_pids(pid))"
        ),
        waited_for,
    )
    left = {(row.pid, row.xact_start) for row in found}
    until = time.monotonic() + SNAPSHOTS_S
    while left:
        await looking.commit()  # a transaction sees the same activity forever
        if time.monotonic() > until:
            raise _InUse()
        await asyncio.sleep(0.005)
        found = await looking.execute(
            text("select pid, xact_start from pg_stat_activity where backend_xmin is not null")
        )
        left &= {(row.pid, row.xact_start) for row in found}
    await looking.commit()


async def _pid_of(connection: AsyncConnection) -> int:
    found = await connection.execute(text("select pg_backend_pid()"))
    return int(found.scalar_one())


async def roll_back(engine: AsyncEngine) -> dict[int, int]:
    """Make the version before live again; the positions it is at. Raises OperatorFault."""

    async def attempt() -> dict[int, int]:
        async with engine.begin() as connection:
            live = await live_schema(connection)
            aside = aside_of(live)
            build = await read_build(connection, aside)
            if build is None or build.state != "live":
                raise OperatorFault(
                    "there is no version before: none was replaced, or its grace period is over"
                )
            await require_same_columns(connection, live, aside)
            await _lock_timeout(connection, HOLD_OFF_S)
            await hold_off_projectors(connection, live)
            await _keep_all_out(connection, live, aside)
            positions = await live_positions(connection, live)
            await end_mirror(connection, live, aside)
            await swap(connection, live, aside)
            # While its tables are locked: alone it would have to wait for them again.
            await drop_aside(connection, live)
            return positions

    return await _until_free(engine, attempt)


async def end_grace(engine: AsyncEngine) -> bool:
    """Drop the version before if its grace period is over; whether it was."""
    async with engine.connect() as connection:
        aside = aside_of(await live_schema(connection))
        build = await read_build(connection, aside)
        if build is None or build.grace_until is None:
            return False
        now = await connection.execute(text("select clock_timestamp()"))
        if now.scalar_one() < build.grace_until:
            return False
    return await drop_versions(engine)


async def end_graces(engine: AsyncEngine) -> None:
    """End each grace period in its time, for as long as a projector runs."""
    while True:
        await asyncio.sleep(GRACE_LOOK_S)
        try:
            if await end_grace(engine):
                _log.info("the views from before the cutover are dropped")
        except _FAULTS as error:
            _log.warning(
                "the views from before the cutover are still there", extra={"error": repr(error)}
            )


async def drop_versions(engine: AsyncEngine) -> bool:
    """Drop what is aside, whatever it is; whether there was anything."""

    async def attempt() -> bool:
        async with engine.begin() as connection:
            await _lock_timeout(connection, LOCK_S)
            return await drop_aside(connection, await live_schema(connection))

    return await _until_free(engine, attempt)


async def _adopt_parked(connection: AsyncConnection, live: str, aside: str) -> None:
    """Sessions that cannot be folded keep the rows they have, and since when they are parked."""
    found = await connection.execute(text(f"select session_id from {aside}.parked_sessions"))
    parked = {"parked": found.scalars().all()}
    if not parked["parked"]:
        return
    for table in MIRRORED:
        if "session_id" not in table.columns:
            continue
        names = ", ".join(column.name for column in table.columns)
        kept = f"from {live}.{table.name} where session_id = any(:parked)"
        # What the live version has never had (it was parked at its first record) stays as it is.
        for statement in (
            f"delete from {aside}.{table.name} where session_id in (select session_id {kept})",
            f"insert into {aside}.{table.name} ({names}) select {names} {kept}",
        ):
            await connection.execute(text(statement), parked)


async def _keep_all_out(connection: AsyncConnection, live: str, aside: str) -> None:
    """Lock all tables of both versions, with the projector held off. Raises the last timeout."""
    # Nobody reads or writes these now. Autovacuum may be at work on them: it gives way to a lock
    # that waits for Postgres' deadlock_timeout (1 s by default), which is longer than LOCK_S.
    await _lock_timeout(connection, HOLD_OFF_S)
    await hold_off_projectors(connection, aside)
    await _lock_timeout(connection, LOCK_S)
    until = time.monotonic() + LOCKING_S
    while True:
        try:
            async with connection.begin_nested():  # a failed attempt leaves no table locked
                return await lock_versions(connection, live, aside)
        except DBAPIError as error:
            if sqlstate_of(error) not in _LOCKED or time.monotonic() > until:
                raise
        await asyncio.sleep(random.uniform(0, 2 * LOCK_PAUSE_S))


async def _lock_timeout(connection: AsyncConnection, seconds: float) -> None:
    await connection.execute(text(f"set local lock_timeout to {int(seconds * 1000)}"))


async def _until_free(engine: AsyncEngine, attempt: Callable[[], Awaitable[Result]]) -> Result:
    until = time.monotonic() + ATTEMPTS_S
    while True:
        try:
            return await attempt()
        except (DBAPIError, _InUse) as error:
            if not isinstance(error, _InUse) and sqlstate_of(error) not in _LOCKED:
                raise
            if time.monotonic() > until:
                raise OperatorFault(
                    f"the tables of the views were in use for {ATTEMPTS_S:.0f} s on end"
                    f"{await _by_whom(engine)}"
                ) from error
        await asyncio.sleep(random.uniform(0.05, PAUSE_MAX_S))


async def _by_whom(engine: AsyncEngine) -> str:
    """The end of the sentence that says so."""
    async with engine.connect() as connection:
        found = await open_transactions(connection, longer_s=SNAPSHOTS_S)
    if not found:
        return " by many short transactions: try again when there are fewer"
    named = ", ".join(map(str, found))
    return (
        f". Open for long: {named}. Wait until it has ended (an export of the API takes at most"
        f" 15 minutes) or end it with `select pg_terminate_backend({found[0].pid})`, and try again"
    )
