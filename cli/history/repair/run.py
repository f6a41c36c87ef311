"""What `offhook repair` does: compare and copy, with progress, and print what to do next."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from offhook.errors import OperatorFault, PassingFault
from offhook.jetstream.client.connection import close, connect
from offhook.projections.retention.repair import Repair, RepairProgress
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.projections.views.schema.migrate import require_migrated
from offhook.settings import Settings

FAULTS: tuple[type[Exception], ...] = (PassingFault, *DATABASE_ERRORS)

PRINT_EVERY_S = 2.0


async def run_repair(console: Console, settings: Settings) -> None:
    """Repair event_log. Raises OffhookError."""
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-repair", statement_timeout_s=None)
    try:
        client = await connect(settings.nats_url, "repair")
        try:
            with _Showing(console) as showing:
                done = await Repair(client, engine, on_progress=showing).run()
        finally:
            await close(client)
    except FAULTS as error:
        raise OperatorFault(
            f"{getattr(error, 'orig', None) or error}. Run `offhook repair` again to continue"
        ) from error
    finally:
        await engine.dispose()
    _print_result(console, done)


class _Showing:
    """A progress bar on a terminal, else a line every PRINT_EVERY_S."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("comparing"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} records"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("comparing", total=None, visible=False, rate=0.0)

    def __enter__(self) -> "_Showing":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, progress: RepairProgress) -> None:
        now = time.monotonic()
        rate = progress.compared / (now - self._started)
        done, total = progress.compared, max(progress.total, progress.compared)
        self._bar.update(self._task, completed=done, total=total, visible=True, rate=rate)
        if not self._console.is_terminal and now - self._printed >= PRINT_EVERY_S:
            self._printed = now
            self._console.print(f"compared {done:,} of {total:,} records, {rate:,.0f}/s")


def _print_result(console: Console, done: RepairProgress) -> None:
    found = "event_log has all of them"
    if done.repaired:
        found = (
            f"{done.missing:,} were missing in event_log, {done.altered:,} were altered; all of"
            " them were copied again"
        )
    console.print(f"{done.compared:,} records of the log compared: {found}", soft_wrap=True)
    if done.unknown:
        console.print(
            f"{done.unknown:,} rows of event_log are not in the log; they were left as they are",
            style="yellow",
            soft_wrap=True,
        )
    if done.dropped_aside:
        console.print(
            "The rebuilt version that was aside was folded from the damaged rows: it is dropped",
            style="yellow",
            soft_wrap=True,
        )
    if done.repaired:
        console.print(
            "If the views may have been folded from the damaged rows, run `offhook rebuild`",
            soft_wrap=True,
        )
