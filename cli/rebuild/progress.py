"""The progress of a rebuild: a bar on a terminal, else a line now and then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from offhook.cli.counted import counted
from offhook.projections.maintenance import RebuildProgress

PRINT_EVERY_S = 2.0
"""Pause between progress lines when the output is not a terminal."""


class Showing:
    """Draws the progress bar, or prints a line now and then; measures the rate."""

    def __init__(self, console: Console) -> None:
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[more]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.records = 0  # folded by this run
        self.folded_s = 0.0
        self._console = console
        self._before = (0, 0.0)  # records and seconds of the phases before
        self._began = 0.0
        self._printed = 0.0
        self._phase = ""
        self._task = self.bar.add_task("folding", total=None, visible=False, more="")

    @property
    def rate(self) -> float:
        """Records folded per second, in this run."""
        return self.records / self.folded_s if self.folded_s else 0.0

    @contextmanager
    def shown(self) -> "Iterator[Showing]":
        """The bar is on the terminal for as long as the block lasts."""
        with self.bar:
            yield self

    def __call__(self, progress: RebuildProgress) -> None:
        now = time.monotonic()
        is_new = progress.phase != self._phase
        if is_new:
            self._phase, self._began = progress.phase, now
            self._before = (self.records, self.folded_s)
        pace = ""
        if progress.phase in ("folding", "folding archived"):
            folded, took_s = progress.folded - progress.resumed_at, now - self._began
            self.records, self.folded_s = self._before[0] + folded, self._before[1] + took_s
            if folded and took_s:
                pace = pace_of(progress.folded, progress.total, folded / took_s)
        elif progress.phase == "following":
            pace = f"{progress.behind:,} behind the live views"
        self.bar.update(
            self._task,
            description=progress.phase,
            completed=progress.folded,
            total=progress.total,
            more=pace,
            visible=True,
        )
        if not self._console.is_terminal and (is_new or now - self._printed >= PRINT_EVERY_S):
            self._printed = now
            counts = f"{progress.folded:,} of {counted(progress.total, 'record')}"
            self._console.print(f"{progress.phase}: {counts}{pace and ', '}{pace}")


def pace_of(folded: int, total: int, rate: float) -> str:
    """`26,000 records/s, ETA 2:38`."""
    left_s = int((total - folded) / rate)
    return f"{rate:,.0f} records/s, ETA {left_s // 60}:{left_s % 60:02}"
