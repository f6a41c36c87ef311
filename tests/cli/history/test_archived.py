"""The commands of history read archived sessions, and say which file they miss."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from sqlalchemy import text

from offhook.cli.show import follow
from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallEvent, CallHangup, CallInitiated
from offhook.jetstream.retention import Retention
from offhook.projections.retention.archive import Archiver
from tests.cli.history.conftest import Installation, settle_failures, take_calls
from tests.cli.history.test_replay import Endpoint, serving
from tests.cli.terminal import Printed
from tests.projections.story import events_of, stored_views

NAMES = FIRST, SECOND, THIRD = "call-no-1", "call-no-2", "call-no-3"
NUMBER = "+12025550100"
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
FLOW = "tests.cli.whatif.flows:greet"


async def test_everything_reads_the_same_before_and_after_an_archive_run(
    here: Installation, tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await take_calls(here, *NAMES)
    await settle_failures(here, *NAMES)
    async with serving(free_port, Endpoint()) as endpoint:
        before = await _read(here, endpoint)
        assert len(before["export"].output.splitlines()) == 22 * len(NAMES)
        assert before["whatif"]["sessions"]["different"] == len(NAMES)
        views = await stored_views(here.engine)

        archiver = Archiver(here.client, here.engine, str(tmp_path), segment_sessions_max=2)
        done = await archiver.run(timedelta(days=30), datetime.now(UTC) + timedelta(days=40))
        assert done.sessions == len(NAMES)
        async with here.engine.connect() as connection:
            assert await connection.scalar(text("select count(*) from event_log")) == 0
        assert await _read(here, endpoint) == before
        await _show_with_a_late_webhook(here, before["show"])
        await _follow_a_leg_that_came_late(here, monkeypatch)

    async with here.engine.begin() as connection:
        await connection.execute(text("update legs set from_number = 'wrong'"))
    printed = await _typed(here, "replay", "--to", "projection:legs")
    assert (printed.status, "6 rows of 3 sessions" in printed.errors) == (0, True), printed.errors
    assert await stored_views(here.engine) == views
    await _finish_an_erasure(here, tmp_path)
    await _change_a_segment(here, tmp_path)
    await _cut_a_segment_off(here, tmp_path)
    await _miss_a_segment(here, tmp_path)


async def _show_with_a_late_webhook(here: Installation, before: Printed) -> None:
    """The log has no other record of the session."""
    late = replace(events_of(SECOND)[-1], event_id=f"{SECOND}-later")
    appended = await here.log.append(SECOND, "in", encoded_webhook(wire_body(late), late.event_id))
    seqs = [each["seq"] for each in before.json["records"]]
    for more in ((), ("--as-of", "2200-01-01T00:00:00Z")):
        printed = await _typed(here, "show", SECOND, "--json", *more)
        assert [each["seq"] for each in printed.json["records"]] == [*seqs, appended.seq]
    variables = here.terminal.variables
    here.terminal.variables = variables | {"OFFHOOK_POSTGRES_URL": NOWHERE}
    printed = await _typed(here, "show", SECOND, "--json")
    here.terminal.variables = variables
    assert [each["seq"] for each in printed.json["records"]] == [appended.seq]
    assert "warning: only what is in the log, as the archive cannot be read: " in printed.errors
    await Retention(here.client).delete([appended.seq])


async def _follow_a_leg_that_came_late(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session was over, and is not until this leg ends too."""
    leg: dict[str, Any] = {"call_control_id": "v3:late", "call_session_id": SECOND}
    appended: list[int] = []

    async def append(event: CallEvent) -> None:
        encoded = encoded_webhook(wire_body(event), event.event_id)
        appended.append((await here.log.append(SECOND, "in", encoded)).seq)

    loop = asyncio.get_running_loop()

    async def events(*_: object) -> AsyncIterator[str]:
        ended = CallHangup(event_id=f"{SECOND}-new-leg-ended", **leg)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(append(ended), loop))
        yield "{}"
        pytest.fail("it goes on after the end of the session")

    monkeypatch.setattr(follow, "events", events)
    await append(CallInitiated(event_id=f"{SECOND}-new-leg", **leg))
    printed = await _typed(here, "show", SECOND, "--follow", "--last", "1")
    assert (printed.status, printed.errors) == (0, "")
    assert re.findall(r"^ *0:(\d+)  ", printed.output, re.MULTILINE) == [*map(str, appended)]
    await Retention(here.client).delete(appended)


async def _finish_an_erasure(here: Installation, root: Path) -> None:
    """Which `archive` does too."""
    printed = await _typed(here, "erase", SECOND, "--yes")
    assert printed.status == 0, printed.errors
    late = replace(events_of(SECOND)[-1], event_id=f"{SECOND}-late")
    await here.log.append(SECOND, "in", encoded_webhook(wire_body(late), late.event_id))
    await here.project()
    assert len(await here.log.read(SECOND)) == 1
    printed = await _typed(here, "archive", "--to", str(root))
    assert printed.status == 0, printed.errors
    assert "finished: 0 records, 1 message of the streams; found 0 times" in printed.output
    assert await here.log.read(SECOND) == []
    assert "finished" not in (await _typed(here, "archive", "--to", str(root))).output
    async with here.engine.connect() as connection:
        erased = await connection.scalar(
            text("select session_id from sessions where session_id like 'erased:%'")
        )
    printed = await _typed(here, "show", str(erased))
    assert f"session {erased} was erased: no record of it is kept" in printed.errors


async def _change_a_segment(here: Installation, root: Path) -> None:
    """Into one that reads well: only its hash shows it."""
    file = root / f"{await _segment_of(here, THIRD)}.jsonl.zst"
    content = file.read_bytes()
    where = await _block_of(here, THIRD)
    lines = zstandard.ZstdDecompressor().decompress(content[where])
    altered = lines.replace(b"+12025550100", b"+12025550199")
    assert altered != lines
    smaller = zstandard.ZstdCompressor(level=19, write_checksum=True).compress(altered)
    changed = smaller.ljust(where.stop - where.start, b"\0")  # bytes after a frame are not read
    assert len(changed) == where.stop - where.start
    file.write_bytes(content[: where.start] + changed + content[where.stop :])
    assert (await _typed(here, "export", "-o", "-")).status == 0
    printed = await _typed(here, "verify")
    found, expected = (hashlib.sha256(each).hexdigest() for each in (file.read_bytes(), content))
    assert printed.status == 1
    wrong = f"{file} has SHA-256 {found}; expected {expected}"
    assert f"changed since it was archived: {wrong}; restore it from a backup" in printed.output
    assert re.search(r"^[1-9]\d* altered$", printed.output, re.MULTILINE)
    printed = await _typed(here, "verify", "--json")
    assert (printed.status, printed.json["changed_segments"]) == (1, [wrong])
    assert (await _typed(here, "verify", "--session", FIRST)).status == 0
    file.write_bytes(content)
    assert (await _typed(here, "verify")).status == 0


async def _cut_a_segment_off(here: Installation, root: Path) -> None:
    name = await _segment_of(here, THIRD)
    file = root / f"{name}.jsonl.zst"
    content = file.read_bytes()
    where = await _block_of(here, THIRD)
    for left in (100, 0):
        file.write_bytes(content[: where.start + left])
        printed = await _typed(here, "export", "-o", "-", "--session", THIRD)
        assert printed.status == 1
        assert (
            f"segment {name} is cut off: {left} of the {where.stop - where.start:,} bytes of"
            f" session {THIRD} are there, from byte {where.start:,} of the file on"
        ) in " ".join(printed.errors.split())
    file.write_bytes(content)


async def _segment_of(here: Installation, session_id: str) -> str:
    async with here.engine.connect() as connection:
        query = text("select segment from archived_sessions where session_id = :id")
        return str(await connection.scalar(query, {"id": session_id}))


async def _block_of(here: Installation, session_id: str) -> slice:
    async with here.engine.connect() as connection:
        query = text(
            "select byte_offset, byte_length from archived_sessions where session_id = :id"
        )
        row = (await connection.execute(query, {"id": session_id})).one()
    return slice(row.byte_offset, row.byte_offset + row.byte_length)


async def _miss_a_segment(here: Installation, root: Path) -> None:
    name = await _segment_of(here, THIRD)
    (root / f"{name}.jsonl.zst").unlink()
    target = root / "calls.jsonl"
    for arguments in (
        ("export", "-o", str(target)),
        ("replay", "--to", "stdout"),
        ("verify",),
        ("whatif", FLOW, "--all"),
    ):
        printed = await _typed(here, *arguments)
        assert printed.status == 1, arguments
        assert f"session {THIRD} is archived in" in printed.errors
        assert f"{name}.jsonl.zst" in printed.errors
    assert not target.exists()
    printed = await _typed(here, "export", "-o", str(target), "--session", FIRST)
    assert printed.status == 0, printed.errors


async def _read(here: Installation, endpoint: Endpoint) -> dict[str, Any]:
    """What each command gives, without what differs by the hour."""
    endpoint.taken.clear()
    found: dict[str, Any] = {}
    for name, arguments in {
        "export": ("export", "-o", "-"),
        "export by time": ("export", "-o", "-", "--order", "time"),
        "of a number": ("export", "-o", "-", "--number", NUMBER, "--type", "call.answered"),
        "of a session": ("export", "-o", "-", "--session", SECOND, "--since", "1d"),
        "of positions": ("export", "-o", "-", "--from-position", "20", "--to-position", "50"),
        "replay": ("replay", "--to", "stdout"),
        "verify": ("verify", "--json"),
        "show": ("show", SECOND, "--json"),
    }.items():
        printed = await _typed(here, *arguments)
        assert printed.status == 0, printed.errors
        assert printed.output
        found[name] = Printed(status=0, output=printed.output, errors="")
    printed = await _typed(here, "replay", "--to", endpoint.url, "--rate", "0")
    assert "27 webhooks sent" in printed.errors
    found["posted"] = sorted(
        (headers["offhook-replay"], headers["telnyx-signature-ed25519"], body)
        for headers, body in endpoint.taken
    )
    printed = await _typed(here, "whatif", FLOW, "--all", "--json", "--processes", "1")
    found["whatif"] = {
        name: value for name, value in printed.json.items() if name not in ("finished_at", "took_s")
    }
    return found


async def _typed(here: Installation, *arguments: str) -> Printed:
    return await asyncio.to_thread(here.terminal, *arguments)
