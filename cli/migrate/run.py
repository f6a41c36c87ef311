"""`offhook migrate`: each revision with how far it is, and a warning of running projectors."""

import asyncio
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from offhook.cli.embedded.prepare import migrate_database
from offhook.cli.options import console
from offhook.projections.views.schema.migrate import Migrating
from offhook.settings import Settings
from offhook.wording.durations import duration

PRINT_EVERY_S = 2.0


def migrate_and_show(settings: Settings) -> None:
    """Raises OffhookError."""
    began = time.monotonic()
    with _Showing(console) as showing:
        asyncio.run(migrate_database(settings, report=showing, warn=showing.warn))
    took = f" in {duration(time.monotonic() - began)}" if showing.revision else ""
    console.print(f"database: migrated{took}", highlight=False)


class _Showing:
    """A line for each revision, and how far a long one is: a bar on a terminal, else lines."""

    def __init__(self, console: Console) -> None:
        self.revision = ""
        self._console = console
        self._began = self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> "_Showing":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, at: Migrating) -> None:
        if at.revision != self.revision:
            self.revision = at.revision
            self._began = self._printed = time.monotonic()
            self._say(f"{at.revision}: {at.title}")
            self._bar.reset(self._task, description=at.revision, total=None, visible=True)
        self._bar.update(self._task, completed=at.part, total=at.parts)
        now = time.monotonic()
        if not self._console.is_terminal and at.part and now - self._printed >= PRINT_EVERY_S:
            self._printed = now
            assert at.parts is not None
            left_s = (now - self._began) * (at.parts - at.part) / at.part
            self._say(f"{at.revision}: {at.part} of {at.parts} parts, {duration(left_s)} left")

    def warn(self, warning: str) -> None:
        """Print it beside the bar."""
        self._say(f"warning: {warning}", style="yellow")

    def _say(self, line: str, style: str | None = None) -> None:
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
