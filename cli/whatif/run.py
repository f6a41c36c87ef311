"""What `offhook whatif` does: read sessions, run them through the flow, report what differs."""

import os
import re
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from offhook.cli.options import UsageWrong
from offhook.cli.whatif.options import WhatifOptions
from offhook.cli.whatif.page import page_of
from offhook.cli.whatif.processes import run_parts
from offhook.cli.whatif.report import Report, json_of, print_report
from offhook.cli.whatif.sources import SESSIONS_MAX, WantedSessions, from_database, from_files
from offhook.cli.whatif.tally import Tally
from offhook.errors import SelectionInvalid
from offhook.events import session_id_from
from offhook.history.files import replacing
from offhook.history.selection import moment_from
from offhook.settings import Settings

PRINT_EVERY_S = 2.0
"""Pause between progress lines when the output is not a terminal."""


def run_whatif(
    console: Console,
    settings: Settings,
    asked: WhatifOptions,
    *,
    processes: int | None,
    html: Path | None,
    as_json: bool,
) -> bool:
    """Print the report. True if every decision was compared and is the same. Raises OffhookError.

    JSON goes to the console; progress then goes to standard error.
    """
    if asked.all_flows and asked.recorded:
        raise UsageWrong("--all and --flow cannot be used together")
    showing = _Showing(Console(stderr=True) if as_json else console)
    # Opened first: a path that is wrong is refused before thousands of sessions are compared.
    with nullcontext() if html is None else replacing(str(html)) as page:
        report = _compared(settings, asked, processes, showing)
        if as_json:
            print(json_of(report).decode())  # noqa: T201
        else:
            print_report(console, report)
        if page is not None:
            page.write(page_of(report).encode())
    if html is not None:
        showing.say(f"report: {html}")
    return report.tally.is_clean


def _compared(
    settings: Settings, asked: WhatifOptions, processes: int | None, showing: "_Showing"
) -> Report:
    names = None if asked.all_flows else (*(asked.recorded or ()),)
    wanted = _wanted(asked, datetime.now(UTC))
    opened = (
        from_files(asked.files, wanted)
        if asked.files
        else from_database(settings.postgres_url, wanted)
    )
    with opened as source:
        started = time.monotonic()
        with showing.until_done(source.sessions):
            loaded, tally = run_parts(
                asked.flow,
                names,
                source.parts,
                processes=min(processes or os.cpu_count() or 1, max(1, source.sessions)),
                on_tally=showing.add,
            )
        took_s = time.monotonic() - started
    return Report(
        flow=asked.flow,
        name=loaded.name,
        version=loaded.version,
        compared_with=None if names is None else names or (loaded.name,),
        history=", ".join(asked.files or ()) or "the database",
        since=wanted.since,
        until=wanted.until,
        finished_at=datetime.now(UTC),
        took_s=took_s,
        tally=tally,
    )


def _wanted(asked: WhatifOptions, now: datetime) -> WantedSessions:
    return WantedSessions(
        since=_time(asked.since, now, "--since"),
        until=_time(asked.until, now, "--until"),
        session_ids=None if asked.sessions is None else _ids(asked.sessions),
        limit=min(asked.limit or SESSIONS_MAX, SESSIONS_MAX),
    )


def _time(text: str | None, now: datetime, option: str) -> datetime | None:
    try:
        return None if text is None else moment_from(text, now)
    except SelectionInvalid as error:
        raise UsageWrong(f"{option}: {error}") from None


def _ids(text: str) -> frozenset[str]:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageWrong(f"--sessions: {text[1:]} cannot be read: {error}") from error
    if not (ids := frozenset(session_id_from(each) for each in re.split(r"[,\s]+", text) if each)):
        raise UsageWrong("--sessions names no session; expected their ids, separated by commas")
    return ids


class _Showing:
    """Draws the progress bar, or prints a line now and then; measures the rate."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[rate]:,.0f} sessions/s"),
            TextColumn("{task.fields[different]:,.0f} differ"),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._total = 0
        self._done = 0
        self._different = 0
        self._started = self._printed = 0.0
        self._task = self._bar.add_task(
            "comparing", total=None, visible=False, rate=0.0, different=0
        )

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def until_done(self, total: int) -> Bar:
        """The bar, to be entered; the clock starts."""
        self._total = total
        self._started = self._printed = time.monotonic()
        self._bar.update(self._task, total=total, visible=True)
        return self._bar

    def add(self, tally: Tally) -> None:
        """Count what a part has come to."""
        self._done += tally.read
        self._different += tally.sessions["different"]
        now = time.monotonic()
        rate = self._done / (now - self._started)
        self._bar.update(self._task, completed=self._done, rate=rate, different=self._different)
        if not self._console.is_terminal and now - self._printed >= PRINT_EVERY_S:
            self._printed = now
            left_s = (self._total - self._done) / rate if rate else 0.0
            self.say(
                f"compared {self._done:,} of {self._total:,} sessions, {rate:,.0f} sessions/s,"
                f" {self._different:,} differ, {left_s:,.0f} s left"
            )
