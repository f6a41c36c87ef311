"""How far a command of history is: a bar on a terminal, a line now and then elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PRINT_EVERY_S = 2.0
SHOW_EVERY_S = 0.1
UPDATE_EVERY = 64
"""Records between two looks at the clock."""


class Advance:
    """Counts records on standard error, so that standard output is free for them."""

    def __init__(self, doing: str, total: int | None = None) -> None:
        """`doing` begins each line; `total` may not be known."""
        self.console = Console(stderr=True, log_path=False)
        self.count = 0
        self.note = ""  # behind the count
        self._doing = doing
        self._total = total
        self._began = self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} records/s{task.fields[note]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(doing, total=total, rate=0.0, note="")

    @property
    def took_s(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.count / self.took_s if self.took_s else 0.0

    def add(self, count: int = 1) -> None:
        """So many records more are done."""
        before, self.count = self.count, self.count + count
        if self.count // UPDATE_EVERY == before // UPDATE_EVERY:
            return
        self._bar.update(self._task, completed=self.count, rate=self.rate, note=self.note)
        now = time.monotonic()
        if not self.console.is_terminal and now - self._printed >= PRINT_EVERY_S:
            self._printed = now
            of = "" if self._total is None else f" of {self._total:,}"
            rate = f"{self.rate:,.0f} records/s{self.note}"
            self.say(f"{self._doing}: {self.count:,}{of} records, {rate}")

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line beside the bar."""
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


@asynccontextmanager
async def showing(console: Console) -> AsyncIterator[Callable[[str], None]]:
    """Show what a command is doing: beside a spinner on a terminal, a line now and then elsewhere.

    What it gives takes the text to show, in any thread; the text is shown if it lasts.
    """
    doing = ""

    def show(what: str) -> None:
        nonlocal doing
        doing = what

    async def repeat() -> None:
        shown = ""
        while True:
            await asyncio.sleep(SHOW_EVERY_S if console.is_terminal else PRINT_EVERY_S)
            if doing != shown:
                shown = doing
                if console.is_terminal:
                    status.update(escape(doing))
                else:
                    console.print(doing, markup=False, highlight=False, soft_wrap=True)

    with console.status("") as status:  # a status prints nothing if there is no terminal
        repeating = asyncio.create_task(repeat())
        try:
            yield show
        finally:
            repeating.cancel()
            with suppress(asyncio.CancelledError):
                await repeating
