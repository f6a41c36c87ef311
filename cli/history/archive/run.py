"""What `offhook archive` does: an archive run, its progress, and what was done.

First it finishes erasures: one that was interrupted, and records that arrived for erased sessions.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from offhook.cli.counted import counted
from offhook.cli.history.progress import showing
from offhook.errors import HistoryUnreadable, OperatorFault, PassingFault, shown_url
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.retention import store_directories
from offhook.projections.retention.archive import (
    ArchiveProgress,
    Archiver,
    require_old_enough,
)
from offhook.projections.retention.erase import Erased, Eraser
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.projections.views.schema.migrate import require_migrated
from offhook.settings import Settings
from offhook.wording.durations import duration

__all__ = ["FAULTS", "require_old_enough", "run_archive"]

FAULTS: tuple[type[Exception], ...] = (PassingFault, *DATABASE_ERRORS)

PRINT_EVERY_S = 2.0


async def run_archive(
    console: Console, settings: Settings, root: str, older_than: timedelta, now: datetime
) -> None:
    """Archive to `root`. Raises OffhookError, or what Postgres says."""
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-archive", statement_timeout_s=None)
    started = time.monotonic()
    try:
        client = await connect(settings.nats_url, "archive")
        try:
            stores = await asyncio.to_thread(store_directories, settings.nats_monitor_urls)
            async with showing(console) as doing:
                keep = partial(_print_erasures, console)
                eraser = Eraser(client, engine, stores=stores, doing=doing, at_proof=keep)
                await _finish_erasures(console, eraser)
            with _Showing(console) as shown:
                archiver = Archiver(client, engine, root, at_step=lambda step: shown(archiver))
                done = await archiver.run(older_than, now)
        finally:
            await close(client)
    finally:
        await engine.dispose()
    _print_result(console, root, done, time.monotonic() - started)


async def _finish_erasures(console: Console, eraser: Eraser) -> None:
    """What cannot be erased now is said, and does not keep the others from being archived."""
    try:
        await eraser.finish()
    except (OperatorFault, HistoryUnreadable) as error:
        console.print(f"erasures that are not finished: {error}", markup=False, soft_wrap=True)


def _print_erasures(console: Console, proved: Sequence[Erased]) -> None:
    for each in proved:
        console.print(
            f"erasure {each.erasure_id} finished: {counted(each.records, 'record')},"
            f" {counted(each.messages, 'message')} of the streams;"
            f" found {counted(each.proof.found, 'time')} afterwards",
            markup=False,
            soft_wrap=True,
        )
        for place in each.proof.unreachable:
            console.print(f"not scanned: {place}", style="yellow", markup=False, soft_wrap=True)


class _Showing:
    """A progress bar on a terminal, else a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("archiving", total=None, visible=False, said="")

    def __enter__(self) -> "_Showing":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, archiver: Archiver) -> None:
        progress = archiver.progress
        # A session is first written to a segment, then deleted from the log.
        archived, left = progress.unfinished + progress.sessions, archiver.left_log
        total = progress.unfinished + progress.candidates
        now = time.monotonic()
        said = f"{archived:,} of {total:,} sessions archived, {left:,} deleted from the log"
        self._bar.update(
            self._task, completed=archived + left, total=2 * total, visible=total > 0, said=said
        )
        if not self._console.is_terminal and now - self._printed >= PRINT_EVERY_S:
            self._printed = now
            self._console.print(f"{said}, {left / (now - self._started):,.0f}/s")


def _print_result(console: Console, root: str, done: ArchiveProgress, took_s: float) -> None:
    if done.unfinished:
        console.print(
            f"{counted(done.unfinished, 'session')} of an interrupted run deleted from the log",
            soft_wrap=True,
        )
    console.print(
        f"{counted(done.sessions, 'session')} with {counted(done.records, 'record')} archived"
        f" to {shown_url(root)} in {counted(done.segments, 'segment')} of"
        f" {counted(done.bytes, 'byte')}; {duration(took_s)}",
        markup=False,
        soft_wrap=True,
    )
    for reason, count in done.kept.most_common():
        console.print(
            f"{counted(count, 'session')} left in the log: {reason}", markup=False, soft_wrap=True
        )
