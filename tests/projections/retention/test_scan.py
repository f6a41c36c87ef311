"""What the proof of an erasure reads, and what it says of what it cannot read."""

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.history.files import names_in, replacing
from offhook.history.segments import manifest_url, read_manifest, remove_segment
from offhook.jetstream.log import JetStreamLog
from offhook.projections.retention.scan import scan, wait_for_streams
from offhook.projections.retention.targets import Target
from tests.projections.retention.erasing import HERS, scanned, target_of
from tests.projections.retention.settled_calls import archive, settled_calls


async def test_the_proof_waits_until_the_server_has_looked_after_its_files(tmp_path: Path) -> None:
    target = Target(session_ids=("erased-call",))
    index, block = tmp_path / "streams" / "CALLS" / "index.db", tmp_path / "msgs" / "5.blk"
    for path in (index, block):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"calls.17.erased-call.in")
    waits_for = {count: asyncio.Event() for count in (1, 2)}

    def doing(what: str) -> None:
        for count, event in waits_for.items():
            if f"from {count} of its files" in what:
                event.set()

    waiting = asyncio.create_task(wait_for_streams(target, [tmp_path], pause_s=0.01, doing=doing))
    await asyncio.wait_for(waits_for[2].wait(), 60)
    index.write_bytes(b"calls.17.another-call.in")
    await asyncio.wait_for(waits_for[1].wait(), 60)
    assert not waiting.done()
    block.unlink()
    await asyncio.wait_for(waiting, 60)
    index.write_bytes(b"calls.17.erased-call.in")
    await wait_for_streams(target, [tmp_path], wait_s=0)  # the proof then says that it is there


async def test_what_of_a_store_cannot_be_read_is_named(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By root everything can be read, so that it is refused here by name."""
    for name in ("open/kept.blk", "open/index.db", "refused/other.blk"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"erased-call")
    reads, lists = Path.open, os.scandir

    def open_(path: Path, *args: Any) -> Any:
        if path.name == "index.db":
            raise PermissionError(13, "Permission denied", str(path))
        return reads(path, *args)

    def scandir(path: Any) -> Any:
        if str(path).endswith("refused"):
            raise PermissionError(13, "Permission denied", str(path))
        return lists(path)

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(os, "scandir", scandir)
    target = Target(session_ids=("erased-call",))
    await wait_for_streams(target, [tmp_path], wait_s=0)
    async with engine.connect() as connection:
        proof = await scan(connection, target, stores=[tmp_path], roots=[])
        refused = await scan(connection, target, stores=[tmp_path / "refused"], roots=[])
    assert proof.found == 1
    [said] = proof.unreachable
    assert said.startswith(f"some of the stream files in {tmp_path}: [Errno 13] Permission denied")
    assert said.endswith(", and 1 more")
    assert [each.where for each in refused.scanned if "stream files" in each.where] == []
    assert len(refused.unreachable) == 1


async def test_the_files_of_a_segment_that_was_not_completed_are_scanned_and_removed(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    frames = zstandard.ZstdCompressor().compress(b"erased-call " * 3)
    (tmp_path / "segment-a.jsonl.zst.1f.part").write_bytes(frames)
    (tmp_path / "segment-a.json.2e.part").write_bytes(b"erased-call")
    (tmp_path / "segment-ab.json").write_bytes(b"kept")
    async with engine.connect() as connection:
        target = Target(session_ids=("erased-call",))
        proof = await scan(connection, target, stores=[], roots=[str(tmp_path)])
    assert proof.found == 4 + frames.count(b"erased-call")
    remove_segment(str(tmp_path), "segment-a")
    assert names_in(str(tmp_path)) == ["segment-ab.json"]


async def test_what_of_an_archive_cannot_be_read_is_named_beside_what_was_found(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    names = ["erased-call", "call-2", "call-3"]
    await settled_calls(client, log, engine, names)
    await archive(client, engine, tmp_path, segment_sessions_max=1)
    target = Target(session_ids=("erased-call",))
    whole = await _found_in(engine, target, tmp_path)
    segments = _by_session(tmp_path)
    segments["call-2"].write_bytes(b"no frame")
    segments["call-3"].unlink()
    found, unreachable = await _found_in(engine, target, tmp_path)
    assert (found, []) == whole
    assert found
    [said] = unreachable
    assert said == (
        f"some of the segments in {tmp_path}: {segments['call-3'].name} is not there, and 1 more"
    )
    shutil.rmtree(tmp_path)  # as of a disk that is not mounted
    found, [said] = await _found_in(engine, target, tmp_path)
    assert (found, said.endswith(" is not there, and 5 more")) == (None, True)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ('José "Pepe" Núñez', 'José \\"Pepe\\" Núñez'),
        ('José "Pepe" Núñez', 'Jos\\u00e9 \\"Pepe\\" N\\u00fa\\u00f1ez'),
        ("José Ö", "Jos\\u00E9 \\u00D6"),
        ("AT&T", "AT\\u0026T"),
        ("ann/42\\é", "ann\\/42\\\\é"),
        ("Ann 📞", "Ann \\ud83D\\uDCDE"),
        ("Ann 📞", "Ann 📞"),
    ],
)
async def test_a_name_is_found_however_it_is_written(
    name: str,
    written: str,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    assert json.loads(f'"{written}"') == name
    (tmp_path / "kept.blk").write_text(f'"{written}"')
    await settled_calls(client, log, engine, ["call-1"])
    async with engine.begin() as connection:
        await connection.execute(
            text("update event_log set body = :body"),
            {"body": f'"{written}"'.encode()},
        )
        rows = (await connection.execute(text("select count(*) from event_log"))).scalar_one()
        target = Target(session_ids=(), names=(name,))
        proof = await scan(connection, target, stores=[tmp_path], roots=[])
    found = {each.where: each.found for each in proof.scanned if each.found}
    assert found == {f"stream files in {tmp_path}": 1, "table public.event_log": rows}


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("before", ["é", "电话", "tel:%20"])
async def test_a_number_is_found_behind_a_character_that_is_written_with_digits(
    before: str,
    ascii_only: bool,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    number = json.dumps(before, ensure_ascii=ascii_only)[1:-1] + HERS.removeprefix("+")
    await settled_calls(client, log, engine, ["call-1"], number=number)
    stores = [own_nats_server.directory / "store"]
    found: set[str] = set()
    for _ in range(2):
        target = await target_of(engine, numbers=[HERS])
        assert target.session_ids == ("call-1",)
        proof = await scanned(engine, replace(target, session_ids=(), ids=()), stores, tmp_path)
        found |= {each.where for each in proof.scanned if each.found}
        await archive(client, engine, tmp_path)
    assert found >= {
        f"stream files in {stores[0]}",
        f"segments in {tmp_path}",
        "table public.event_log",
    }


@pytest.mark.parametrize("number", [f"+9{HERS[1:]}", f"{HERS}9", f"\\u00e99{HERS[1:]}"])
async def test_a_longer_number_is_another(
    number: str, client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, ["call-1"], number=number)
    (tmp_path / "kept.blk").write_text(number)
    with pytest.raises(OperatorFault, match="no session has number"):
        await target_of(engine, numbers=[HERS])
    target = Target(session_ids=(), numbers=(HERS.removeprefix("+"),))
    assert (await scanned(engine, target, [tmp_path], tmp_path)).found == 0


async def _found_in(
    engine: AsyncEngine, target: Target, root: Path
) -> tuple[int | None, Sequence[str]]:
    """In the segments, None if none was read; and what could not be read."""
    async with engine.connect() as connection:
        proof = await scan(connection, target, stores=[root], roots=[str(root)])
    found = {each.where: each.found for each in proof.scanned}
    unreachable = [each for each in proof.unreachable if "stream files" not in each]
    return found.get(f"segments in {root}"), unreachable


def _by_session(root: Path) -> dict[str, Path]:
    """Segments of one session each."""
    found: dict[str, Path] = {}
    for manifest in root.glob("*.json"):
        [block] = json.loads(manifest.read_bytes())["blocks"]
        found[block["session_id"]] = manifest.with_suffix(".jsonl.zst")
    return found


async def test_a_password_in_the_archives_url_is_in_no_proof(engine: AsyncEngine) -> None:
    roots = ["memory://operator:secret@store/archive", "unknown://operator:secret@store/archive"]
    said: list[str] = []
    async with engine.connect() as connection:
        target = Target(session_ids=("erased-call",))
        proof = await scan(connection, target, stores=[], roots=roots, doing=said.append)
    assert "segments in memory://store/archive" in [each.where for each in proof.scanned]
    assert any("segments in unknown://store/archive: " in each for each in proof.unreachable)
    assert "secret" not in f"{proof} {said}"


def test_a_password_in_the_archives_url_is_in_no_error_about_a_manifest() -> None:
    root = "memory://operator:secret@store/archive"
    with replacing(manifest_url(root, "segment-1")) as file:
        file.write(b"no manifest")
    with pytest.raises(HistoryUnreadable, match=r"^memory://store/archive/segment-1\.json is not"):
        read_manifest(root, "segment-1")
