"""`offhook rebuild` as an operator runs it, and as a machine room kills it."""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.main import app
from offhook.errors import OperatorFault
from offhook.history.segments import segment_url, write_segment
from offhook.projections import maintenance
from offhook.projections.maintenance import Build, RebuildStatus
from offhook.projections.retention.segment_rows import segment_values, session_values
from offhook.projections.retention.settled import archived_from
from offhook.projections.views.database.bulk import insert_new
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.fold import folded_from
from offhook.projections.views.registry import VIEWS, rows_of
from offhook.projections.views.stored.archive import archive_segments, archived_sessions
from offhook.projections.views.stored.event_log import (
    StoredRecord,
    event_log,
    read_stored,
    read_with_headers,
)
from offhook.projections.views.view import columns_of
from offhook.settings import Settings, environment_from
from tests.projections.story import NOON, call, interleaved, stored_views

TIMEOUT_S = 180
ROOT = Path(__file__).parents[3]
KILLS = int(os.environ.get("REBUILD_KILLS", "2"))
"""How often a rebuild is killed; set it higher for a long run."""

CALLS = 800
KILLED_AFTER_S = (1.0, 4.0)
"""From its start, which takes a second, to its end or beyond."""


@pytest.fixture
def settings(postgres_server: PostgresServer, migrated: str) -> Settings:
    url = postgres_server.create_database(f"rebuild_{uuid4().hex}", template=migrated)
    nowhere = "nats://127.0.0.1:9"  # a rebuild needs no log
    return Settings(nats_url=nowhere, postgres_url=url)


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = open_database(settings.postgres_url)
    yield engine
    await engine.dispose()


async def test_killed_at_random_it_goes_on_and_the_views_are_what_the_log_says(
    engine: AsyncEngine, settings: Settings
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    records = await _stored(engine, calls=CALLS)
    for _ in range(KILLS):
        with _rebuild(settings, "start", "--cutover", "--workers", "2") as process:
            took_s = chance.uniform(*KILLED_AFTER_S)
            await asyncio.sleep(took_s)
            _kill_one_of(process, chance)
            await asyncio.to_thread(process.wait, TIMEOUT_S)
        assert await _rows(engine) in (0, CALLS)  # nothing, or all of it
    with _rebuild(settings, "start", "--cutover", "--workers", "2") as process:
        output = await _output_of(process)
    assert process.returncode == 0, output
    assert "records folded in" in output
    assert "The rebuilt views are in use" in output
    assert await stored_views(engine) == _cold(records)


def test_each_command_says_what_it_did(settings: Settings) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["rebuild", *words], env=environment)
        failed = result.exception if result.exit_code == 1 else None
        printed = result.output if "--json" in words else _unwrapped(result.output)
        return result.exit_code, printed + str(failed or "")

    environment = environment_from(settings)
    assert "the views are empty: start `offhook projector`" in run("start")[1]
    assert "there is no rebuild to resume" in run("resume")[1]
    assert "no rebuild is at work" in run("pause")[1]
    assert run("cancel") == (0, "there was nothing aside")
    assert "nothing aside" in run("status")[1]
    asyncio.run(_filled(settings.postgres_url))

    status, output = run("start")  # not on a terminal: nobody is asked
    assert status == 0, output
    assert "of 130 records" in output
    assert "rebuilt views, at 0:130: they differ" in output
    assert "sessions s0: only in the rebuilt views" in output
    assert "`offhook rebuild cutover` puts them in use" in output
    output = run("status")[1]
    assert "folded ready: `offhook rebuild cutover`" in output
    assert "not at work" not in output
    assert json.loads(run("status", "--json")[1])["build"]["state"] == "following"
    status, output = run("resume", "--no-cutover")
    assert "A rebuilt version is aside: it is compared again." in output, output
    assert "The rebuilt views are in use, at 0:130." in run("cutover", "--grace-hours", "2")[1]
    assert "`offhook rebuild rollback` works until" in run("status")[1]
    assert "no rebuilt version is ready" in run("cutover")[1]
    assert "The views from before are in use again, at 0:130." in run("rollback")[1]
    assert "there is no version before" in run("rollback")[1]
    status, output = run()
    assert status == 0, output
    assert "The rebuilt views are in use, at 0:130." in output
    assert "rebuilt views, at 0:130: identical" in run("start", "--no-cutover")[1]
    assert run("cancel") == (0, "dropped what was aside")


def test_a_rebuild_at_work_shows_its_rate_and_what_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_work(url: str) -> RebuildStatus:
        return RebuildStatus(build=build, is_at_work=True, is_of_this_code=True, behind=0)

    async def paused(url: str) -> Build:
        return build

    build = Build(
        fingerprint="", state="folding", wanted=None, limits={}, positions={}, total=50_000,
        folded=20_000, archived=8_000, archived_folded=0, unreadable=0, rate=200.0,
        started_at=NOON, cut_over_at=None, grace_until=None,
    )  # fmt: skip
    monkeypatch.setattr(maintenance, "read_rebuild", at_work)
    monkeypatch.setattr(maintenance, "pause_rebuild", paused)

    def status(word: str = "status") -> str:
        return CliRunner().invoke(app, ["rebuild", word], env=environment_from(settings)).output

    assert "20,000 of 50,000 records folded, 200 records/s, ETA 2:30\n" in status()
    assert "0 of 8,000 archived records folded\n" in status()
    build = replace(build, state="finishing", folded=50_000, archived_folded=1_000)
    assert "50,000 of 50,000 records folded\n" in status()
    assert "1,000 of 8,000 archived records folded, 200 records/s, ETA 0:35\n" in status()
    assert "paused after 51,000 of 58,000 records:" in status("pause")


def test_a_missing_segment_is_a_failure_until_it_is_restored(
    settings: Settings, tmp_path: Path
) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["rebuild", *words], env=environment_from(settings))
        printed = result.exception if isinstance(result.exception, OperatorFault) else ""
        return result.exit_code, _unwrapped(result.output) + str(printed)

    file = asyncio.run(_archived(settings.postgres_url, tmp_path, "s1"))
    content = file.read_bytes()
    file.unlink()
    status, output = run("start")
    assert status == 1, output
    assert "folding archived: 0 of 13 records" in output
    assert "not folded: 1 archived session." in output
    assert re.search(r"1 session: .*s1-segment\.jsonl\.zst cannot be opened: No such file", output)
    assert "they differ, 1 session not compared" in output
    assert "aside, and incomplete. Restore the archived files. Then run `offhook" in output
    status, output = run("status")
    assert "117 of 117 records folded 0 of 13 archived records folded" in output
    assert "1 archived session cannot be read: restore the files and run" in output
    assert "ready" not in output
    status, output = run("cutover")
    assert status == 1
    assert "or use --despite-unreadable" in output
    assert run()[0] == 1

    file.write_bytes(content)
    status, output = run("start")
    assert status == 0, output
    assert "1 archived session that could not be read is tried again" in output
    assert "`offhook rebuild cancel` drops it, to begin anew" in output
    assert "not compared" not in output
    assert "13 of 13 archived records folded ready" in run("status")[1]
    file.unlink()
    assert "A rebuilt version is aside: it is compared again" in run("start")[1]
    assert run("cancel") == (0, "dropped what was aside")
    status, output = run("start", "--cutover", "--despite-unreadable")
    assert status == 0, output
    assert "The rebuilt views are in use" in output


def _unwrapped(output: str) -> str:
    """On one line: how wide the terminal is taken to be depends on where the tests run."""
    return " ".join(output.split())


async def test_it_finds_the_views_by_the_ready_file(
    engine: AsyncEngine, settings: Settings, tmp_path: Path
) -> None:
    await _stored(engine, calls=2)
    path = tmp_path / "ready.json"
    path.write_text(json.dumps({"nats": settings.nats_url, "postgres": settings.postgres_url}))
    with _rebuild(
        Settings(nats_url=settings.nats_url, postgres_url="postgresql://h:9/d"),
        OFFHOOK_READY_FILE=str(path),
    ) as process:
        output = await _output_of(process)
    assert process.returncode == 0, output
    assert "legs" in output


@contextmanager
def _rebuild(
    settings: Settings, *words: str, **variables: str
) -> Iterator["subprocess.Popen[str]"]:
    """The command; kill -9 if it still runs at the end of the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "offhook", "rebuild", *words],
        cwd=ROOT,
        env={**kept, **environment_from(settings), "COLUMNS": "110", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _kill_one_of(process: "subprocess.Popen[str]", chance: random.Random) -> None:
    """kill -9 of the command, or of one of its workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = children.read_text().split() if children.exists() else []
    victim = int(chance.choice([str(process.pid), *workers]))
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


async def _output_of(process: "subprocess.Popen[str]") -> str:
    output, _ = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_S)
    return output


async def _rows(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("select count(*) from sessions"))).scalar_one())


async def _filled(url: str) -> None:
    engine = open_database(url)
    await _stored(engine, calls=10)
    await engine.dispose()


async def _archived(url: str, root: Path, session_id: str) -> Path:
    """Ten calls in event_log, one of them in a segment: its file."""
    engine = open_database(url)
    await _stored(engine, calls=10)
    async with engine.begin() as connection:
        rows = (await read_with_headers(connection, [session_id]))[session_id]
        name = f"{session_id}-segment"
        manifest = write_segment(str(root), name, [archived_from(rows, [])])
        await connection.execute(
            insert(archive_segments).values(
                name=name, root=str(root), begun_at=NOON, archived_at=NOON,
                **segment_values(manifest),
            )
        )  # fmt: skip
        await connection.execute(
            insert(archived_sessions), [session_values(name, each) for each in manifest.blocks]
        )
        await connection.execute(delete(event_log).where(event_log.c.session_id == session_id))
    await engine.dispose()
    return Path(segment_url(str(root), name))


async def _stored(engine: AsyncEngine, *, calls: int) -> list[StoredRecord]:
    """Calls in event_log, and a checkpoint behind them; the views are empty."""
    entries = interleaved([call(f"s{number}") for number in range(calls)])
    records = [
        read_stored(
            seq=seq,
            session_id=entry.session_id,
            side=entry.side,
            type=entry.encoded.type,
            version=entry.encoded.version,
            stored_at=NOON + timedelta(milliseconds=seq),
            body=entry.encoded.body,
        )
        for seq, entry in enumerate(entries, start=1)
    ]
    async with engine.begin() as connection:
        await insert_new(connection, event_log, [record.row() for record in records])
        await connection.execute(
            text(
                "insert into checkpoint (name, stream_created_at, seq, updated_at)"
                " values ('projector', now(), :seq, now())"
            ),
            {"seq": len(records)},
        )
    return records


def _cold(records: list[StoredRecord]) -> dict[str, list[dict[str, Any]]]:
    by_session: dict[str, list[Any]] = {}
    for record in records:
        by_session.setdefault(record.session_id, []).append(record.record)
    found: dict[str, list[dict[str, Any]]] = {view.name: [] for view in VIEWS}
    for session_id, several in by_session.items():
        rows = rows_of(folded_from(session_id, several))
        for view in VIEWS:
            found[view.name] += [columns_of(view.table, row) for row in rows[view.name]]
    for view in VIEWS:
        keys = [column.name for column in view.table.primary_key.columns]
        found[view.name].sort(key=lambda row, keys=keys: [row[key] for key in keys])  # type: ignore[misc]
    return found
