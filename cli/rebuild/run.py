"""What `offhook rebuild …` does: build, show the progress, report what differs, swap."""

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from offhook.cli.counted import counted
from offhook.errors import OperatorFault, PassingFault
from offhook.position import position_text
from offhook.projections import maintenance
from offhook.projections.maintenance import Compared, Example, Parity, RebuildProgress
from offhook.projections.standby import Process
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.settings import Settings
from offhook.wording.durations import duration

FAULTS: tuple[type[Exception], ...] = (PassingFault, *DATABASE_ERRORS)

PRINT_EVERY_S = 2.0
"""Pause between progress lines when the output is not a terminal."""

Result = TypeVar("Result")


def run_start(
    console: Console,
    settings: Settings,
    *,
    cutover: bool | None,
    workers: Sequence[Process],
    grace_hours: float,
    despite_missing: bool,
    only_resume: bool,
) -> None:
    """Build a version, report how it differs, and put it in use if that is wanted.

    `workers` are those that stand by: this process is one too.
    """
    url = settings.postgres_url
    build = _run(maintenance.read_rebuild(url)).build
    is_begun = build is not None and build.state in ("folding", "following")
    if only_resume and not is_begun:
        raise OperatorFault("there is no rebuild to resume: run `offhook rebuild start`")
    if build is not None and build.state == "live":
        console.print("The views from before the last cutover are dropped: a new rebuild begins.")
    started = time.monotonic()
    with _Showing(console).shown() as showing:
        found = _run(
            maintenance.build_version(
                url, workers=len(workers) + 1, ready=workers, on_progress=showing
            ),
            interrupted="interrupted: `offhook rebuild resume` continues",
        )
    if found is None:
        console.print("paused, or cancelled: see `offhook rebuild status`", style="yellow")
        raise SystemExit(3)
    console.print(
        f"{showing.records:,} records folded in {duration(showing.folded_s)}, {showing.rate:,.0f}"
        f" records/s; {duration(time.monotonic() - started)} in all"
    )
    _print_parity(console, found)
    if cutover is None:
        cutover = console.is_terminal and typer.confirm("Put the rebuilt views in use?")
    if cutover:
        run_cutover(console, settings, grace_hours=grace_hours, despite_missing=despite_missing)
    else:
        console.print("The rebuilt views are aside; `offhook rebuild cutover` puts them in use.")


def run_cutover(
    console: Console, settings: Settings, *, grace_hours: float, despite_missing: bool
) -> None:
    """Put the version aside in use."""
    reached = _run(
        maintenance.cut_over(
            settings.postgres_url, grace_s=grace_hours * 3600, despite_missing=despite_missing
        )
    )
    console.print(
        f"The rebuilt views are in use, {_positions(reached)}. For {grace_hours:g} h"
        " `offhook rebuild rollback` returns to those before.",
        style="green",
    )


def run_rollback(console: Console, settings: Settings) -> None:
    """Put the version before in use again."""
    reached = _run(maintenance.roll_back(settings.postgres_url))
    console.print(f"The views from before are in use again, {_positions(reached)}.", style="green")


def run_pause(console: Console, settings: Settings) -> None:
    """Have the rebuild at work stop."""
    build = _run(maintenance.pause_rebuild(settings.postgres_url))
    console.print(
        f"paused after {build.folded:,} of {counted(build.total, 'record')}:"
        " `offhook rebuild resume` continues"
    )


def run_cancel(console: Console, settings: Settings) -> None:
    """Drop what is aside."""
    was_there = _run(maintenance.cancel_rebuild(settings.postgres_url))
    console.print("dropped what was aside" if was_there else "there was nothing aside")


def run_status(console: Console, settings: Settings, *, as_json: bool) -> None:
    """Print what is aside."""
    status = _run(maintenance.read_rebuild(settings.postgres_url))
    build = status.build
    if as_json:
        console.print_json(msgspec.json.encode(status).decode())
    elif build is None:
        console.print("nothing aside: no rebuild is under way, and none can be rolled back")
    elif build.state == "live":
        console.print(
            f"rebuilt views in use since {build.cut_over_at:%Y-%m-%d %H:%M:%S} UTC;"
            f" `offhook rebuild rollback` works until {build.grace_until:%Y-%m-%d %H:%M:%S} UTC"
        )
    elif build.state == "rejected":
        console.print("rolled back; the rejected version is yet to be dropped")
    else:
        if status.is_at_work:
            at_work = ", at work"
        elif build.state == "following":  # nobody need be: the cutover folds what is new
            at_work = ""
        else:
            at_work = ", not at work: `offhook rebuild resume`"
        console.print(f"begun {build.started_at:%Y-%m-%d %H:%M:%S} UTC{at_work}")
        console.print(f"{build.folded:,} of {counted(build.total, 'record')} folded")
        if build.state == "following":
            behind = f" but for {counted(status.behind, 'position')}" if status.behind else ""
            console.print(f"ready{behind}: `offhook rebuild cutover`")
        if not status.is_of_this_code:
            console.print(
                "built by another version of Offhook: `start` begins again", style="yellow"
            )


def _run(work: Coroutine[Any, Any, Result], *, interrupted: str = "interrupted") -> Result:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        typer.echo(interrupted)
        raise SystemExit(130) from None
    except FAULTS as error:
        raise OperatorFault(
            f"{getattr(error, 'orig', None) or error}. The views are unchanged;"
            " run the command again to continue"
        ) from error


class _Showing:
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
        self._started = 0.0
        self._printed = 0.0
        self._phase = ""
        self._task = self.bar.add_task("folding", total=None, visible=False, more="")

    @property
    def rate(self) -> float:
        """Records folded per second, in this run."""
        return self.records / self.folded_s if self.folded_s else 0.0

    @contextmanager
    def shown(self) -> "Iterator[_Showing]":
        """The bar is on the terminal for as long as the block lasts."""
        with self.bar:
            yield self

    def __call__(self, progress: RebuildProgress) -> None:
        now = time.monotonic()
        if not self._started:
            self._started = self._printed = now
            self._begin(progress)
        if progress.phase == "folding":
            self.records = progress.folded - progress.resumed_at
            self.folded_s = now - self._started
        line = self._line(progress)
        self.bar.update(
            self._task,
            description=progress.phase,
            completed=progress.folded,
            total=progress.total,
            more=line,
            visible=True,
        )
        if self._console.is_terminal:
            return
        if progress.phase != self._phase or now - self._printed >= PRINT_EVERY_S:
            self._phase, self._printed = progress.phase, now
            self._console.print(
                f"{progress.phase}: {progress.folded:,} of"
                f" {counted(progress.total, 'record')}, {line}"
            )

    def _line(self, progress: RebuildProgress) -> str:
        if progress.phase == "following":
            return f"{progress.behind:,} behind the live views"
        left_s = (progress.total - progress.folded) / self.rate if self.rate else 0.0
        return f"{self.rate:,.0f} records/s, ETA {int(left_s // 60)}:{int(left_s % 60):02}"

    def _begin(self, progress: RebuildProgress) -> None:
        self._console.print(
            "The views are rebuilt from event_log beside the live ones, which stay in use."
        )
        if progress.resumed_at:
            self._console.print(f"Resumed after {counted(progress.resumed_at, 'record')}.")


def _print_parity(console: Console, found: Parity) -> None:
    table = Table()
    for column in ("table", "rows", "checksum", "compared with the live one"):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for each in found.compared:
        table.add_row(
            each.table,
            f"{each.rows:,}",
            each.checksum[:_SHOWN],
            "identical" if each.identical else _difference(each),
            style=None if each.identical else "yellow",
        )
    console.print(table)
    for each in found.compared:
        for example in each.examples:
            console.print(Text(f"  {each.table} {_example(example)}"), soft_wrap=True)
    if found.sessions_left_out:
        console.print(f"not compared: {counted(found.sessions_left_out, 'session')} in motion")
    if found.parked:
        console.print(
            f"not folded, with the rows of before: {counted(found.parked, 'session')};"
            " see `offhook parked list`",
            style="yellow",
        )
    if found.unrecorded:
        console.print(
            f"without records in event_log: {counted(found.unrecorded, 'session')} of"
            " the live views",
            style="yellow",
        )
    if found.identical:
        console.print(f"rebuilt views, {_positions(found.positions)}: identical", style="green")
    else:
        console.print(f"rebuilt views, {_positions(found.positions)}: they differ", style="yellow")


_SHOWN = 16
"""Characters shown of the 32 that are compared."""


def _positions(positions: maintenance.Positions) -> str:
    """In each partition: `at 0:9, 1:12, 2:7`."""
    return f"at {', '.join(position_text(position) for _, position in sorted(positions.items()))}"


def _difference(each: Compared) -> str:
    return f"{counted(each.changed, 'row')} changed, {each.added:,} added, {each.removed:,} removed"


def _example(example: Example) -> str:
    key = " ".join(example.key.values())
    if example.only_in:
        return f"{key}: only in the {example.only_in} views"
    changes = (f"{name} {old} → {new}" for name, (old, new) in example.columns.items())
    return f"{key}: {'; '.join(changes)}"
