"""The command `offhook replay`: a range of the log delivered again, somewhere else."""

import re
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from offhook.cli.counted import counted
from offhook.cli.history.options import SELECTION, selection_of
from offhook.cli.options import ReadyFile, UsageWrong, settings_of_command, with_options
from offhook.errors import shown, shown_url
from offhook.history.selection import Selection
from offhook.settings import Settings

PROJECTION = "projection:"

SESSIONS_AT_ONCE = 100
"""Folded in one transaction, for which projectors wait."""


_OF_INGRESS = frozenset({403, 408})
_TOO_OLD = (
    "An ingress of Offhook refuses webhooks whose signature is older than its"
    " OFFHOOK_SIGNATURE_TOLERANCE_S (300 s if unset), or by a key that it does not have. To add"
    " records to another log, use `offhook export` and `offhook import`."
)


@with_options(SELECTION)
def replay(
    *,
    to: Annotated[
        str,
        typer.Option(
            metavar="stdout|URL|projection:NAME",
            help="Print the records; post the webhooks to a URL; or fold a view's rows of the"
            " selected sessions again.",
        ),
    ],
    speed: Annotated[
        str,
        typer.Option(metavar="1x|10x|max", help="Speed, as a multiple of the original."),
    ] = "max",
    rate: Annotated[
        float, typer.Option(help="Maximum webhooks per second; 0 for no limit.", min=0, max=10_000)
    ] = 50.0,
    concurrency: Annotated[
        int, typer.Option(help="Maximum number of concurrent requests.", min=1, max=256)
    ] = 8,
    retries: Annotated[
        int,
        typer.Option(help="Retries after no response, 5xx, 408 or 429.", min=0, max=10),
    ] = 3,
    ready_file: ReadyFile = None,
    **chosen: Any,
) -> None:
    """Deliver records again. Nothing is appended to the log, and no command is sent.

    A session's records stay in order. A posted webhook has the header Offhook-Replay.
    """
    from offhook.cli.history.reading import run

    settings, selection = settings_of_command(ready_file), selection_of(**chosen)
    times = _speed(speed)
    if to == "stdout":
        run(_to_stdout(settings, selection, times))
    elif to.startswith(PROJECTION):
        run(_to_projection(settings, selection, to.removeprefix(PROJECTION)))
    elif urlsplit(to).scheme in ("http", "https") and urlsplit(to).hostname:
        run(_to_url(settings, selection, to, times, rate, concurrency, retries))
    else:
        raise UsageWrong(
            f"--to {shown_url(to)}: expected stdout, an http(s) URL, or {PROJECTION}NAME"
        )


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?x?", text) and (times := float(text.rstrip("x"))):
        return times
    raise UsageWrong(f"--speed is {shown(text)}; expected for example 1x, 10x or max")


async def _to_stdout(settings: Settings, selection: Selection, speed: float | None) -> None:
    from offhook.cli.history.reading import selected_records
    from offhook.cli.history.redelivery import paced
    from offhook.history.files import standard_output
    from offhook.history.lines import line_of

    output = standard_output()
    async with selected_records(settings, selection, "time", "replaying") as (records, progress):
        async for record in paced(records, speed):
            output.write(line_of(record))
            if speed is not None:
                output.flush()
        output.flush()
    progress.say(f"{counted(progress.count, 'record')} to standard output")


async def _to_url(
    settings: Settings,
    selection: Selection,
    url: str,
    speed: float | None,
    rate: float,
    concurrency: int,
    retries: int,
) -> None:
    from offhook.cli.history.reading import selected_records
    from offhook.cli.history.redelivery import Redelivery, paced

    async with selected_records(settings, selection, "time", "replaying") as (records, progress):
        redelivery = Redelivery(url, rate_per_s=rate, at_once=concurrency, retries=retries)
        async with redelivery:
            async for record in paced(records, speed):
                await redelivery.add(record)
            await redelivery.drain()
    counts = redelivery.counts
    progress.say(
        f"{counted(counts['sent'], 'webhook')} sent to {shown_url(url)},"
        f" {counts['failed']:,} failed, {counts['held back']:,} held back behind those;"
        f" {counted(counts['no webhook'], 'other record')}"
        " left out"
    )
    for failure in redelivery.failures:
        progress.say(f"  {failure}", style="red")
    if redelivery.statuses & _OF_INGRESS:
        progress.say(_TOO_OLD, style="yellow")
    if counts["failed"]:
        progress.say("to post them again, run the command with --session and their sessions")
        raise SystemExit(1)


def _require_usable(name: str, names: Sequence[str], selection: Selection) -> None:
    if name not in names:
        raise UsageWrong(
            f"there is no projection {shown(name)}; expected one of {', '.join(names)}"
        )
    if selection.types:
        raise UsageWrong("--type cannot be used with a projection: sessions are folded whole")


async def _to_projection(settings: Settings, selection: Selection, name: str) -> None:
    from offhook.cli.history.progress import Advance
    from offhook.projections.maintenance import fold_sessions_again, view_names
    from offhook.projections.views.database.engine import open_database
    from offhook.projections.views.past.selected_records import (
        require_partitions,
        require_sessions,
        select_session_ids,
    )
    from offhook.projections.views.schema.migrate import require_migrated

    _require_usable(name, view_names(), selection)
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-history", statement_timeout_s=None)
    rows = changed = sessions = 0
    failed: dict[str, str] = {}
    try:
        async with engine.connect() as connection:
            await require_partitions(connection, selection)
            await require_sessions(connection, selection)
            chosen = [each async for each in select_session_ids(connection, selection)]
        with Advance("folding", len(chosen)) as progress:
            for start in range(0, len(chosen), SESSIONS_AT_ONCE):
                some = chosen[start : start + SESSIONS_AT_ONCE]
                done = await fold_sessions_again(engine, name, some)
                rows, changed = rows + done.rows, changed + done.changed
                sessions, failed = sessions + done.sessions, failed | done.failed
                progress.add(len(some))
    finally:
        await engine.dispose()
    progress.say(
        f"{name}: {counted(rows, 'row')} of {counted(sessions, 'session')} folded again,"
        f" {changed:,} had differed"
    )
    for session_id, why in list(failed.items())[:SESSIONS_AT_ONCE]:
        progress.say(f"  session {session_id} keeps its rows: {why}", style="red")
    if failed:
        raise SystemExit(1)
