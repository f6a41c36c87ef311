"""`offhook migrate`: each revision with how far it is, and a warning of running projectors."""

import asyncio
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from offhook.cli.embedded.prepare import migrate_database
from offhook.cli.embedded.revisions import RevisionLines
from offhook.cli.options import console
from offhook.projections.views.schema.migrate import Migrating
from offhook.settings import Settings
from offhook.wording.durations import duration


def migrate_and_show(settings: Settings) -> None:
    """Raises OffhookError."""
    began = time.monotonic()
    with Showing(console) as showing:
        asyncio.run(migrate_database(settings, report=showing, warn=showing.warn))
    took = f" in {duration(time.monotonic() - began)}" if showing.revision else ""
    console.print(f"database: migrated{took}", highlight=False)


class Showing:
    """A line for each revision, and how far a long one is: a bar on a terminal, else lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines = RevisionLines(self._say, with_parts=not console.is_terminal)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )

    @property
    def revision(self) -> str:
        """The last one that was reported; empty before the first."""
        return self._lines.revision

    def __enter__(self) -> "Showing":
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def __call__(self, at: Migrating) -> None:
        is_next = at.revision != self.revision
        self._lines(at)
        if is_next:
            # A new task: `reset` would keep the total of the revision before.
            for task_id in self.bar.task_ids:
                self.bar.remove_task(task_id)
            self.bar.add_task(at.revision, total=at.parts, completed=at.part)
        else:
            self.bar.update(self.bar.task_ids[0], completed=at.part, total=at.parts)

    def warn(self, warning: str) -> None:
        """Print it beside the bar."""
        self._say(f"warning: {warning}", style="yellow")

    def _say(self, line: str, style: str | None = None) -> None:
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
