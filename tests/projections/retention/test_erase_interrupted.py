"""An erasure that is killed, or interrupted by what arrives meanwhile, is finished by the next."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.retention import erase_segments, vacuum
from offhook.projections.retention.erase import Erased, Eraser
from offhook.projections.retention.scan import Proof, scan
from offhook.projections.retention.targets import Target
from tests.projections.retention.erasing import (
    HERS,
    NAMES,
    Killed,
    calls,
    kill_at,
    scanned,
    target_of,
    timeline_of,
)
from tests.projections.retention.settled_calls import (
    archive,
    late,
    project,
    rows_in,
    settled_calls,
)
from tests.projections.story import (
    publish,
)


@pytest.mark.parametrize(
    ("module", "during"), [(erase_segments, "remove_unused"), (vacuum, "open_transactions")]
)
async def test_what_arrives_during_an_erasure_does_not_stay_in_the_streams(
    module: ModuleType,
    during: str,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While its segment is replaced, and once its rows are gone."""
    await calls(client, log, engine)
    await archive(client, engine, tmp_path)
    target = await target_of(engine, [NAMES[0]])
    does = getattr(module, during)

    async def does_as_it_arrives(*args: Any, **options: Any) -> Any:
        await publish(log, [late(NAMES[0])])
        await project(client, engine)
        return await does(*args, **options)

    monkeypatch.setattr(module, during, does_as_it_arrives)
    erased = await Eraser(client, engine).erase(target)
    assert erased.unfinished == (1 if during == "open_transactions" else 0)
    monkeypatch.undo()
    await Eraser(client, engine).finish()
    assert await log.read(NAMES[0]) == []


STEPS = (
    "noted",
    "a segment was begun",
    "a segment was written",
    "a segment was replaced",
    "a segment was removed",
    "the rows were erased",
    "a session left the streams",
    "done",  # but for the proof
)


@pytest.mark.parametrize("step", STEPS)
async def test_an_erasure_that_is_killed_is_finished_by_the_next(
    step: str,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    await calls(client, log, engine)
    await archive(client, engine, tmp_path)
    target = await target_of(engine, numbers=[HERS])
    timeline = await timeline_of(engine, NAMES[1])
    stores = [own_nats_server.directory / "store"]
    with pytest.raises(Killed):
        await Eraser(client, engine, stores=stores, at_step=kill_at(step)).erase(target)
    [erased] = await Eraser(client, engine, stores=stores).finish()
    assert erased.proof.found == 0
    assert (await scanned(engine, target, stores, tmp_path)).found == 0
    assert await timeline_of(engine, NAMES[1]) == timeline
    assert len(_segments(tmp_path)) == 1
    assert await rows_in(engine, "archive_segments") == 1
    assert erased.records == 2 * len(timeline)


async def test_the_place_of_a_last_segment_that_a_killed_erasure_removed_is_scanned(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    await settled_calls(client, log, engine, NAMES)
    await archive(client, engine, tmp_path)
    target = await target_of(engine, NAMES)
    stores = [own_nats_server.directory / "store"]
    with pytest.raises(Killed):
        await Eraser(client, engine, stores=stores, at_step=kill_at("a segment was removed")).erase(
            target
        )
    assert await rows_in(engine, "archive_segments") == 0
    (tmp_path / "segment-1.json").write_text(NAMES[0])
    [erased] = await Eraser(client, engine, stores=stores).finish()
    found = {each.where: each.found for each in erased.proof.scanned}
    assert found[f"segments in {tmp_path}"] == erased.proof.found == 1


@pytest.mark.parametrize("run", ["resume", "archive"])
@pytest.mark.parametrize(
    ("names", "step"),
    [
        (NAMES, "a segment was replaced"),
        (NAMES[:1], "a segment was written"),
        (NAMES[:1], "a segment was replaced"),
    ],
)
async def test_a_segment_that_is_not_there_to_be_removed_is_named_and_removed_later(
    names: Sequence[str],
    step: str,
    run: str,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    """Its disk is not mounted when the erasure is finished."""
    root, elsewhere = tmp_path / "archive", tmp_path / "unmounted"
    await settled_calls(client, log, engine, NAMES)
    await archive(client, engine, root)
    target = await target_of(engine, names)
    stores = [own_nats_server.directory / "store"]
    with pytest.raises(Killed):
        await Eraser(client, engine, stores=stores, at_step=kill_at(step)).erase(target)
    there = len(_segments(root))
    root.rename(elsewhere)
    if step == "a segment was written":  # the one before it cannot be read
        with pytest.raises(OperatorFault, match="cannot be opened"):
            await Eraser(client, engine, stores=stores).finish()
    else:
        [erased] = await Eraser(client, engine, stores=stores).finish()
        [said] = erased.proof.unreachable
        assert said.startswith(f"some of the segments in {root}: segment-")
        assert " is not there, and " in said
    assert len(_segments(elsewhere)) == there
    elsewhere.rename(root)
    if run == "archive":
        await archive(client, engine, root)
    await Eraser(client, engine, stores=stores).finish()
    assert (await scanned(engine, target, stores, root)).found == 0
    assert len(_segments(root)) == await rows_in(engine, "archive_segments")


async def test_a_proof_that_fails_loses_none_of_the_others(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await calls(client, log, engine)
    stores = [own_nats_server.directory / "store"]
    for name in NAMES[:2]:
        target = await target_of(engine, [name])
        with pytest.raises(Killed):
            await Eraser(client, engine, stores=stores, at_step=kill_at("done")).erase(target)
    # Of the first there is another erasure pending then.
    await publish(log, [late(NAMES[0])])
    await project(client, engine)
    scanned: list[Target] = []

    async def interrupted(connection: Any, target: Target, **options: Any) -> Proof:
        scanned.append(target)
        if len(scanned) == 2:
            raise Killed
        return await scan(connection, target, **options)

    monkeypatch.setattr("offhook.projections.retention.erase.scan", interrupted)
    with pytest.raises(Killed):
        await Eraser(client, engine, stores=stores).finish()
    erased = await Eraser(client, engine, stores=stores).finish()
    assert [each.proof.found for each in erased] == [0, 0, 0]
    assert await Eraser(client, engine, stores=stores).finish() == []


@pytest.mark.parametrize(
    ("ends", "raised"),
    [
        (ConnectionResetError("connection lost"), OperatorFault),
        (asyncio.CancelledError(), asyncio.CancelledError),  # Ctrl-C
    ],
)
async def test_a_proof_is_not_lost_with_the_connection_after_it(
    ends: BaseException,
    raised: type[BaseException],
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
) -> None:
    await calls(client, log, engine)
    vacuumed: list[str] = []
    kept: list[Erased] = []

    def doing(what: str) -> None:
        if what == "vacuuming table erasures":
            vacuumed.append(what)
            if len(vacuumed) == 2:
                raise ends

    eraser = Eraser(client, engine, doing=doing, at_proof=kept.extend)
    with pytest.raises(raised) as found:
        await eraser.erase(await target_of(engine, [NAMES[0]]))
    assert [each.proof.found for each in kept] == [0]
    if raised is OperatorFault:
        assert str(found.value).endswith("vacuumed: ConnectionResetError('connection lost')")


async def test_it_is_not_forgotten_whom_a_proof_is_about_until_that_is_kept(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await calls(client, log, engine)

    def at_proof(proved: Sequence[Erased]) -> None:
        raise Killed

    with pytest.raises(Killed):
        await Eraser(client, engine, at_proof=at_proof).erase(await target_of(engine, NAMES[:1]))
    [erased] = await Eraser(client, engine).finish()
    assert (erased.sessions, erased.proof.found) == (1, 0)


def _segments(root: Path) -> list[Path]:
    return [*root.glob("*.jsonl.zst")]
