"""`offhook erase --resume --give-up`: what is said of a lost segment, and afterwards."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

from rich.console import Console
from sqlalchemy import text

from offhook.cli.history.erase import run
from offhook.projections.retention.archive import Archiver
from offhook.projections.retention.give_up import Lost
from tests.cli.history.conftest import Installation, settle_failures, take_calls
from tests.cli.terminal import Printed

NAMES = FIRST, SECOND, THIRD = "call-no-1", "call-no-2", "call-no-3"
NUMBER = "+12025550100"


async def test_a_lost_segment_is_given_up_by_the_name_that_is_printed(
    here: Installation, tmp_path: Path
) -> None:
    root, report = tmp_path / "archive", tmp_path / "proof.json"
    await take_calls(here, *NAMES)
    await settle_failures(here, *NAMES)
    archiver = Archiver(here.client, here.engine, str(root))
    await archiver.run(timedelta(days=30), datetime.now(UTC) + timedelta(days=40))
    async with here.engine.connect() as connection:
        segment = str(await connection.scalar(text("select name from archive_segments")))
    refused = await _typed(here, "erase", "--resume", "--give-up", segment, "--yes")
    assert (refused.status, "can be read: run `offhook" in refused.errors) == (1, True)
    root.rename(tmp_path / "unmounted")

    printed = await _typed(here, "erase", FIRST, "--yes")
    assert printed.status == 1
    said = " ".join(printed.errors.split())
    assert f"everything is erased except in {segment}: " in said
    assert "run `offhook erase --resume`, with `--give-up SEGMENT` if a segment is lost" in said

    resume = ("erase", "--resume", "--give-up", segment, "--report", str(report))
    printed = await _typed(here, *resume, "--yes")
    assert printed.status == 0, printed.errors
    lines = printed.output.splitlines()
    assert lines[:3] == [
        f"{segment} in {root}: with it 44 records of 2 other sessions are lost, from position"
        " 0:22 to 0:66",
        f"  {SECOND}",
        f"  {THIRD}",
    ]
    assert any(each.startswith(f"not scanned: {segment} in {root}, which was") for each in lines)
    [proof] = json.loads(report.read_bytes())
    assert (proof["given_up"], proof["found"]) == ([segment], 0)
    assert any(each.startswith(f"{segment} in ") for each in proof["proof"]["unreachable"])

    # What was lost is named by whoever misses it.
    for arguments in (("export", "-o", "-"), ("replay", "--to", "stdout"), ("verify",)):
        missing = await _typed(here, *arguments)
        assert (missing.status, segment in missing.errors) == (1, True), arguments
    shown = await _typed(here, "show", SECOND)
    assert segment in shown.errors
    rebuilt = await _typed(here, "rebuild", "start", "--no-cutover")
    assert (rebuilt.status, segment in rebuilt.output) == (1, True)
    assert "not folded: 2 archived sessions." in rebuilt.output
    assert (await _typed(here, "rebuild", "cancel")).status == 0
    # Numbers can be looked for again.
    printed = await _typed(here, "erase", "--number", NUMBER, "--yes")
    assert printed.status == 0, printed.errors
    assert f"not searched for a number: {segment}, which was given up" in printed.output
    (tmp_path / "unmounted").rename(root)
    printed = await _typed(here, "erase", "--resume")
    assert printed.status == 0, printed.errors
    assert printed.output.splitlines()[0].startswith("erased; looking for what is left")
    assert [*root.iterdir()] == []


def test_it_is_said_of_how_many_sessions_the_log_still_has_records() -> None:
    console = Console(file=StringIO())
    lost = Lost(
        name="segment-1", root="/archive", session_ids=NAMES, records=66, in_log=2,
        first_position=1, last_position=66,
    )  # fmt: skip
    run._show_lost(console, [lost])
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().startswith(
        "segment-1 in /archive: with it 66 records of 3 other sessions are lost, from position 0:1"
        f" to 0:66 (of 2 the log may still have all or some)\n  {FIRST}\n"
    )


async def _typed(here: Installation, *arguments: str) -> Printed:
    return await asyncio.to_thread(here.terminal, *arguments)
