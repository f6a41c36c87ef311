"""The order of a rebuild.

build ─▶ cold ─▶ indexes ─▶ archived ─▶ tail ─▶ parity ─▶ ready ─▶ cutover
           └────────┴───────────┴─────────┴─ pause: all that is committed stays; `build` goes on
                                             from there
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import OperatorFault
from offhook.projections.rebuild.aside import create_aside, create_indexes
from offhook.projections.rebuild.build import (
    UNFINISHED,
    Build,
    Positions,
    begin_run,
    create_build,
    fingerprint,
    leave_archived,
    live_positions,
    read_build,
    write_build,
)
from offhook.projections.rebuild.claim import claimed
from offhook.projections.rebuild.cutover import CLOSE_RECORDS, cut_over, drop_versions
from offhook.projections.rebuild.parity import Parity, compare, count_unrecorded
from offhook.projections.rebuild.tail import Tail
from offhook.projections.rebuild.unreadable import require_readable, try_unreadable_again
from offhook.projections.rebuild.worker import Task
from offhook.projections.rebuild.workers import working
from offhook.projections.standby import Process
from offhook.projections.views.analytics.refill import refill
from offhook.projections.views.schema.versions import aside_of, live_schema
from offhook.projections.views.stored.erasures import require_rows_erased

POLL_S = 0.2

RECORDS_A_PROCESS = 10_000
"""For fewer records a process takes longer to start than to fold them."""

GRACE_S = 24 * 3600.0

Phase = Literal["folding", "indexing", "folding archived", "following", "comparing"]


@dataclass(frozen=True, kw_only=True)
class RebuildProgress:
    """Records folded, of how many: those in event_log, or in segments while these are read."""

    phase: Phase
    folded: int
    total: int
    resumed_at: int  # records that an earlier run had folded
    behind: int = 0  # positions, while following


async def build_version(
    engine: AsyncEngine,
    postgres_url: str,
    *,
    workers: int,
    ready: Sequence[Process] = (),
    on_progress: Callable[[RebuildProgress], None] = lambda progress: None,
) -> Parity | None:
    """Build a version aside, or go on building it; None if another process had it paused.

    `ready` are worker processes that stand by; `workers` less one can be used. Raises
    OperatorFault, WorkerEnded, or what Postgres says; run again, it goes on.
    """
    async with claimed(engine) as connection:
        live = await live_schema(connection)
        aside = aside_of(live)
        await require_rows_erased(connection)
        await connection.commit()
        build = await _begun(engine, live, aside)
        progress = _Progress(build, on_progress)
        if build.state == "folding":
            if not await _fold(engine, postgres_url, live, aside, workers, ready, progress):
                return None
            progress.show("indexing")
            await create_indexes(engine, live, aside)
            async with engine.begin() as writing:
                await leave_archived(writing, live, aside)
                await write_build(writing, aside, state="finishing")
                await refill(writing, aside)
        async with _following(engine, live, aside) as tail:
            if not await _finish(tail, aside, on_progress):
                return None
            while await tail.follow():
                await tail.connection.commit()
                behind = await tail.behind()
                progress.show("following", behind=behind)
                if await _is_wanted_to_stop(tail.connection, aside):
                    return None
                if behind <= CLOSE_RECORDS:
                    break  # under load the live views never stand still
            await tail.connection.commit()
            progress.show("comparing")
            positions = tail.positions
        return await compare(engine, live=live, aside=aside, positions=positions)


async def cut_over_version(
    engine: AsyncEngine,
    *,
    grace_s: float = GRACE_S,
    despite_missing: bool = False,
    despite_unreadable: bool = False,
) -> Positions:
    """Make the version aside the live one; the positions it is at. Raises OperatorFault."""
    async with claimed(engine) as connection:
        live = await live_schema(connection)
        aside = aside_of(live)
        build = await read_build(connection, aside)
        if build is None or build.state != "following":
            raise OperatorFault("no rebuilt version is ready: run `offhook rebuild start`")
        if build.fingerprint != fingerprint():
            raise OperatorFault(
                "the version aside was built by another version of Offhook:"
                " run `offhook rebuild start`, which begins again"
            )
        if not despite_unreadable:
            await require_readable(connection, aside)
        missing = await count_unrecorded(connection, live)
        if missing and not despite_missing:
            raise OperatorFault(
                f"event_log has no records of {missing:,} sessions that are in the views, which"
                " would be gone. Run `offhook repair`, which copies them from the log, and"
                " `offhook rebuild start`; or use --despite-missing to let them go"
            )
        await connection.commit()
        async with _following(engine, live, aside) as tail:
            await cut_over(
                engine, tail, live=live, grace_s=grace_s, despite_unreadable=despite_unreadable
            )
            return tail.positions


class _Progress:
    def __init__(self, build: Build, on_progress: Callable[[RebuildProgress], None]) -> None:
        self._total, self.folded, self._resumed_at = build.total, build.folded, build.folded
        self._on_progress = on_progress

    @property
    def left(self) -> int:
        """Records that are yet to be folded in the cold phase."""
        return max(1, self._total - self.folded)

    def show(self, phase: Phase, *, behind: int = 0) -> None:
        self._on_progress(
            RebuildProgress(
                phase=phase,
                folded=self.folded,
                total=max(self._total, self.folded),
                resumed_at=self._resumed_at,
                behind=behind,
            )
        )


async def _begun(engine: AsyncEngine, live: str, aside: str) -> Build:
    """The build to go on with: that which is there, or a new one."""
    async with engine.begin() as connection:
        build = await read_build(connection, aside)
        if (
            build is not None
            and build.state in UNFINISHED
            and build.fingerprint == fingerprint()
            and build.wanted != "cancel"
        ):
            await write_build(connection, aside, wanted=None)
            await try_unreadable_again(connection, aside)
            return build
    await drop_versions(engine)
    async with engine.begin() as connection:
        if not await live_positions(connection, live):
            raise OperatorFault(
                "the views are empty: start `offhook projector`, which folds them from the first"
                " record of the log"
            )
        await create_aside(connection, live, aside)
        await create_build(connection, live, aside)
    async with engine.connect() as connection:
        build = await read_build(connection, aside)
    assert build is not None
    return build


async def _fold(
    engine: AsyncEngine,
    postgres_url: str,
    live: str,
    aside: str,
    workers: int,
    ready: Sequence[Process],
    progress: _Progress,
) -> bool:
    """The cold phase; whether it was finished, and not paused."""
    async with engine.begin() as connection:
        await begin_run(connection, aside)
    progress.show("folding")
    task = Task(postgres_url=postgres_url, live=live, aside=aside, owner=uuid4().hex)
    count = min(workers, -(-progress.left // RECORDS_A_PROCESS))
    async with working(task, count, ready) as work:
        while True:
            await asyncio.wait({work}, timeout=POLL_S)
            is_done = work.done()
            async with engine.connect() as connection:
                build = await read_build(connection, aside)
            if build is None:
                return False
            progress.folded = build.folded
            progress.show("folding")
            if is_done:
                await _raised(work)
                break
    if build.wanted is not None:
        return False
    async with engine.connect() as connection:
        left = await connection.execute(
            text(
                f"select not is_claimed or exists (select from {aside}.chunk where not is_done)"
                f" from {aside}.build"
            )
        )
        if left.scalar_one():
            raise OperatorFault("the rebuild's workers ended, but not all of it is done")
    return True


async def _finish(tail: Tail, aside: str, on_progress: Callable[[RebuildProgress], None]) -> bool:
    """Fold what the cold phase left; whether all was tried, and it was not paused."""
    build = await read_build(tail.connection, aside)
    assert build is not None
    if build.state == "following":
        return True
    await begin_run(tail.connection, aside)
    folded = build.archived_folded
    while True:
        await tail.connection.commit()
        if build.archived:
            on_progress(
                RebuildProgress(
                    phase="folding archived",
                    folded=folded,
                    total=build.archived,
                    resumed_at=build.archived_folded,
                )
            )
        if await _is_wanted_to_stop(tail.connection, aside):
            return False
        if (more := await tail.fold_later()) is None:
            break
        folded += more
    await write_build(tail.connection, aside, state="following")
    await tail.connection.commit()
    return True


async def _raised(work: "asyncio.Task[None]") -> None:
    try:
        await work
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def _is_wanted_to_stop(connection: AsyncConnection, aside: str) -> bool:
    found = await connection.execute(text(f"select wanted is not null from {aside}.build"))
    is_wanted = bool(found.scalar_one())
    await connection.commit()
    return is_wanted


@asynccontextmanager
async def _following(engine: AsyncEngine, live: str, aside: str) -> AsyncIterator[Tail]:
    """A connection to the version aside, and what follows the live views over it."""
    async with engine.connect() as connection:
        try:
            await connection.execute(text(f"set search_path to {aside}, {live}"))
            build = await read_build(connection, aside)
            await connection.commit()
            assert build is not None
            yield Tail(connection, live=live, aside=aside, positions=build.positions)
        finally:
            await connection.invalidate()  # its search path is no other's
