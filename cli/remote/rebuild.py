"""What `offhook rebuild` does: rebuild the views, show the progress, report what differed."""

import asyncio
import time

import uvloop
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from offhook.errors import OperatorFault, PassingFault
from offhook.projections.maintenance import Compared, RebuildProgress, Rebuilt, rebuild_views
from offhook.projections.views.database import DATABASE_ERRORS
from offhook.settings import Settings

FAULTS: tuple[type[Exception], ...] = (PassingFault, *DATABASE_ERRORS)

PRINT_EVERY_S = 2.0
"""Pause between progress lines when the output is not a terminal."""


def run_rebuild(console: Console, settings: Settings) -> None:
    """Rebuild the views and print both checksums of every table. Raises OffhookError."""
    showing = _Showing(console)
    started = time.monotonic()
    try:
        with showing.bar, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(
                rebuild_views(
                    nats_url=settings.nats_url,
                    postgres_url=settings.postgres_url,
                    on_progress=showing,
                )
            )
    except KeyboardInterrupt:
        console.print(f"interrupted: `offhook rebuild` continues after seq {showing.seq:,}")
        raise SystemExit(130) from None
    except FAULTS as error:
        raise OperatorFault(
            f"{getattr(error, 'orig', None) or error}. The views are unchanged;"
            " run `offhook rebuild` again to continue"
        ) from error
    _print_result(console, found, showing, time.monotonic() - started)


class _Showing:
    """Draws the progress bar, or prints a line now and then; measures the rate."""

    def __init__(self, console: Console) -> None:
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[rate]:,.0f} events/s"),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self.seq = 0
        self.records = 0
        self.folded_s = 0.0
        self._console = console
        self._started = 0.0
        self._printed = 0.0
        self._task = self.bar.add_task("folding", total=None, visible=False, rate=0.0)

    @property
    def rate(self) -> float:
        """Events folded per second, in this run."""
        return self.records / self.folded_s if self.folded_s else 0.0

    def __call__(self, progress: RebuildProgress) -> None:
        now = time.monotonic()
        if not self._started:
            self._started = self._printed = now
            self._begin(progress)
        if progress.records > self.records:
            self.folded_s = now - self._started
        self.seq, self.records = progress.seq, progress.records
        self.bar.update(
            self._task,
            completed=progress.seq,
            total=progress.target_seq,
            rate=self.rate,
            visible=True,
        )
        if not self._console.is_terminal and now - self._printed >= PRINT_EVERY_S:
            self._printed = now
            self._console.print(
                f"folded {progress.seq:,} of {progress.target_seq:,}, {self.rate:,.0f} events/s"
            )

    def _begin(self, progress: RebuildProgress) -> None:
        self._console.print(
            f"The views are at seq {progress.target_seq:,}. They are rebuilt beside the live ones,"
            " which stay in use."
        )
        if progress.started_seq:
            self._console.print(f"Resumed after seq {progress.started_seq:,}.")


def _print_result(console: Console, found: Rebuilt, showing: _Showing, took_s: float) -> None:
    console.print(
        f"{showing.records:,} events folded in {showing.folded_s:.1f} s,"
        f" {showing.rate:,.0f} events/s; {took_s:.1f} s in all"
    )
    table = Table()
    for column in ("table", "rows", "checksum before", "checksum after", ""):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for each in found.compared:
        table.add_row(
            each.table,
            _rows(each),
            each.before.checksum[:_SHOWN],
            each.after.checksum[:_SHOWN],
            "identical" if each.identical else _difference(each),
            style=None if each.identical else "yellow",
        )
    console.print(table)
    if found.parked:
        console.print(
            f"{found.parked:,} sessions cannot be folded and keep their rows;"
            " see `offhook parked list`",
            style="yellow",
        )
    if found.identical:
        console.print(f"views at seq {found.seq:,}: identical before and after", style="green")
    else:
        console.print(
            f"views at seq {found.seq:,}: they differed and were repaired", style="yellow"
        )


_SHOWN = 16
"""Characters shown of the 32 that are compared."""


def _rows(each: Compared) -> str:
    if each.before.rows == each.after.rows:
        return f"{each.after.rows:,}"
    return f"{each.before.rows:,} → {each.after.rows:,}"


def _difference(each: Compared) -> str:
    return f"differed: {each.removed:,} rows removed, {each.written:,} written"
