"""What `offhook erase` does: find, ask, erase, and print the proof."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console

from offhook.cli.counted import counted
from offhook.cli.history.erase.options import ErasureOptions
from offhook.cli.history.progress import showing
from offhook.cli.listing import print_listing
from offhook.cli.options import UsageWrong
from offhook.errors import HistoryUnreadable, OperatorFault, PassingFault, shown_url
from offhook.history.files import NamedFile, replacing
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.retention import has_streams, store_directories
from offhook.position import position_text
from offhook.projections.retention.erase import Erased, Eraser
from offhook.projections.retention.give_up import Lost, find_lost
from offhook.projections.retention.targets import Target, find_target
from offhook.projections.views.database.engine import Engine, open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.projections.views.schema.migrate import require_migrated
from offhook.settings import Settings

FAULTS: tuple[type[Exception], ...] = (PassingFault, *DATABASE_ERRORS)

SHOWN_MAX = 20
"""Sessions that are listed before it is asked."""

OUT_OF_REACH = (
    "not scanned: Postgres' own files and its write-ahead log, backups, exports, and the memory of"
    " running workers and projectors until they restart"
)


def run_erase(console: Console, settings: Settings, wanted: ErasureOptions) -> bool:
    """Whether nothing was found afterwards. Raises OffhookError."""
    if not (wanted.session_ids or wanted.numbers or wanted.resumes):
        raise UsageWrong("nothing to erase; expected SESSION, --number or --resume")
    if wanted.resumes and (wanted.session_ids or wanted.numbers):
        raise UsageWrong("--resume takes no SESSION and no --number")
    if wanted.given_up and not wanted.resumes:
        raise UsageWrong("--give-up needs --resume; nothing was erased")
    for option, texts in (("SESSION", wanted.session_ids), ("--name", wanted.names)):
        if not all(each.strip() for each in texts or ()):  # it would be found everywhere
            raise UsageWrong(f"{option} is empty; expected a text, nothing was erased")
    for store in wanted.stores or ():
        if not has_streams(store):
            raise UsageWrong(
                f"--store {store} has no streams of the log; expected the store directory of a"
                " NATS server, nothing was erased"
            )
    steps: list[str] = []

    def at_step(step: str) -> None:
        steps.append(step)
        _say_if_done(console, step)

    kept: list[Erased] = []

    def then() -> str:
        if kept:
            return "Run `offhook erase --resume`, in case it is not finished"
        is_noted = bool(steps or wanted.resumes)
        return "Run `offhook erase --resume` to finish" if is_noted else "Nothing was erased"

    with ExitStack() as files:
        report: NamedFile | None = None
        if wanted.report is not None:  # opened before anything is erased
            report = files.enter_context(replacing(str(wanted.report)))

        def keep(proved: Sequence[Erased]) -> None:
            if report is not None:
                report.write(msgspec.json.format(msgspec.json.encode(_report(proved))) + b"\n")
            files.close()
            kept.extend(proved)
            for each in proved:
                _print(console, each)

        try:
            asyncio.run(_erase(console, settings, wanted, at_step, keep))
        except KeyboardInterrupt:
            console.print(f"interrupted. {then()}", soft_wrap=True)
            raise SystemExit(130) from None
        except FAULTS as error:
            raise OperatorFault(f"{getattr(error, 'orig', None) or error}. {then()}") from error
        except (OperatorFault, HistoryUnreadable) as error:
            if not steps or kept or "--resume" in str(error):
                raise
            raise OperatorFault(
                f"{error}. Once that is mended, run `offhook erase --resume` to finish"
            ) from error
        if wanted.resumes and not kept:
            keep([])
            console.print("nothing was left to erase")
    return not any(each.proof.found for each in kept)


async def _erase(
    console: Console,
    settings: Settings,
    wanted: ErasureOptions,
    at_step: Callable[[str], None],
    keep: Callable[[Sequence[Erased]], None],
) -> None:
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-erase", statement_timeout_s=None)
    try:
        client = await connect(settings.nats_url, "erase")
        try:
            stores: Sequence[Path] = wanted.stores or ()
            if not stores:
                stores = await asyncio.to_thread(store_directories, settings.nats_monitor_urls)
            if wanted.given_up:
                _show_lost(console, await find_lost(engine, wanted.given_up))
                if not wanted.is_agreed:
                    typer.confirm("Give up what is lost?", abort=True)
            if not wanted.resumes:
                skipped: set[str] = set()
                async with showing(console) as doing:
                    target = await _target(engine, wanted, doing, skipped.add)
                _show(console, target)
                for each in sorted(skipped):
                    console.print(
                        f"not searched for a number: {each}, which was given up",
                        style="yellow", soft_wrap=True,
                    )  # fmt: skip
                if not wanted.is_agreed:
                    typer.confirm("Erase them for good?", abort=True)
            async with showing(console) as doing:
                eraser = Eraser(
                    client,
                    engine,
                    stores=stores,
                    at_step=at_step,
                    doing=doing,
                    at_proof=keep,
                    full_vacuum=wanted.full_vacuum,
                )
                if wanted.resumes:
                    await eraser.finish(wanted.given_up or ())
                else:
                    await eraser.erase(target)
        finally:
            await close(client)
    finally:
        await engine.dispose()


async def _target(
    engine: Engine,
    wanted: ErasureOptions,
    doing: Callable[[str], None],
    at_skipped: Callable[[str], None],
) -> Target:
    async with engine.connect() as connection:
        return await find_target(
            connection,
            wanted.session_ids or (),
            wanted.numbers or (),
            wanted.names or (),
            datetime.now(UTC),
            doing,
            at_skipped,
        )


def _show(console: Console, target: Target) -> None:
    console.print(
        f"{counted(len(target.session_ids), 'session')}, with those that are linked by a dial:"
    )
    _list(console, target.session_ids)


def _show_lost(console: Console, lost: Sequence[Lost]) -> None:
    for each in lost:
        said = f"{each.name} in {shown_url(each.root)}: no other records are lost with it"
        if each.first_position is not None and each.last_position is not None:
            said = (
                f"{each.name} in {shown_url(each.root)}: with it"
                f" {counted(each.records, 'record')} of"
                f" {counted(len(each.session_ids), 'other session')} are lost, from position"
                f" {position_text(each.first_position)} to {position_text(each.last_position)}"
            )
            if each.in_log:
                said += f" (of {each.in_log:,} the log may still have all or some)"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        _list(console, each.session_ids)
    console.print(
        "The views keep the rows of these sessions, and their records can be read again if the"
        " files are restored. What is erased is then erased from the files too, by `offhook erase"
        " --resume` or the next `offhook archive`.",
        soft_wrap=True,
    )


def _list(console: Console, session_ids: Sequence[str]) -> None:
    for session_id in session_ids[:SHOWN_MAX]:
        console.print(f"  {session_id}", markup=False, highlight=False)
    if len(session_ids) > SHOWN_MAX:
        console.print(f"  and {len(session_ids) - SHOWN_MAX:,} more")


def _say_if_done(console: Console, step: str) -> None:
    if step == "done":
        console.print(
            "erased; looking for what is left. The NATS server writes its index, and removes what"
            " was deleted, about every two minutes: this waits for it",
            soft_wrap=True,
        )


def _print(console: Console, erased: Erased) -> None:
    console.print(
        f"erasure {erased.erasure_id}: {counted(erased.sessions, 'session')},"
        f" {counted(erased.records, 'record')},"
        f" {counted(erased.messages, 'message')} of the streams;"
        f" {counted(erased.segments, 'segment')} written again"
    )
    rows = [
        (f"{each.found:,}", f"{each.bytes:,}" if each.bytes else "", each.where)
        for each in erased.proof.scanned
    ]
    print_listing(console, ("found", "bytes", "scanned"), rows)
    for place in erased.proof.unreachable:
        console.print(f"not scanned: {place}", style="yellow", markup=False, soft_wrap=True)
    console.print(OUT_OF_REACH, soft_wrap=True)
    if erased.proof.found:
        console.print(f"found {counted(erased.proof.found, 'time')}: not erased", style="red")
    else:
        console.print("nothing was found", style="green")
    if erased.unfinished:
        console.print(
            f"{counted(erased.unfinished, 'erasure')} not finished, such as of records that arrived"
            " meanwhile: run `offhook erase --resume`",
            style="yellow",
            soft_wrap=True,
        )


def _report(erased: Sequence[Erased]) -> list[dict[str, Any]]:
    """Without what was looked for: the report may be kept."""
    return [
        {
            **asdict(each),
            "found": each.proof.found,
            "written_at": datetime.now(UTC),
            "out_of_reach": OUT_OF_REACH,
        }
        for each in erased
    ]
