"""A rebuild that is killed, paused, cancelled or run twice leaves nothing wrong, and goes on."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.rebuild import claim, cold, tail
from offhook.projections.rebuild.claim import claimed
from offhook.projections.rebuild.control import cancel, pause, read_status
from offhook.projections.rebuild.cutover import roll_back
from offhook.projections.rebuild.run import RebuildProgress, build_version, cut_over_version
from offhook.projections.retention.alone import alone
from offhook.projections.views.schema.versions import read_rebuild_progress
from tests.projections.rebuild.versions import (
    NAMES,
    RECORDS,
    built,
    projected,
    run_sql,
    schemas_aside,
    value,
)
from tests.projections.retention.settled_calls import late
from tests.projections.story import (
    TIMEOUT_S,
    call,
    caught_up,
    cold_views,
    projecting,
    publish,
    stored_views,
)


class Killed(Exception):
    """Stands for kill -9: the connections go, what they had not committed is rolled back."""


async def test_killed_at_random_and_run_again_it_is_identical(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    monkeypatch.setattr(cold, "CHUNK_RECORDS", 30)
    monkeypatch.setattr(tail, "BATCH_RECORDS", 20)
    await projected(client, log, engine)
    before = await stored_views(engine)
    wanted = await built(engine)
    await cancel(engine)
    resumed = [0]
    for number in range(6):
        if number == 3:
            await publish(log, call("late"))
            async with projecting(Projector(client, engine)):
                await caught_up(client, engine)
            before = await stored_views(engine)
        with (
            _killed_after(monkeypatch, chance.randrange(number == 0, 4), chance),
            pytest.raises(Killed),
        ):
            await built(engine, on_progress=lambda progress: resumed.append(progress.resumed_at))
        assert await stored_views(engine) == before
    assert resumed == sorted(resumed)
    found = await built(engine, on_progress=lambda progress: resumed.append(progress.resumed_at))
    assert resumed[-1] > 0
    assert found.identical
    assert [each.rows for each in found.compared] == [
        each.rows + more for each, more in zip(wanted.compared, (1, 2, 2, 0), strict=True)
    ]
    await cut_over_version(engine)
    assert await stored_views(engine) == await cold_views(log, ["late", *NAMES])


async def test_half_a_fold_by_other_code_is_not_gone_on_with(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await projected(client, log, engine)
    with pytest.raises(Killed):
        await built(engine, on_progress=_kill_when("indexing"))
    for module in ("run", "build"):
        monkeypatch.setattr(f"offhook.projections.rebuild.{module}.fingerprint", lambda: "other")
    shown: list[RebuildProgress] = []
    assert (await built(engine, on_progress=shown.append)).identical
    assert shown[0].resumed_at == 0
    monkeypatch.undo()
    with pytest.raises(OperatorFault, match="another version of Offhook"):
        await cut_over_version(engine)


async def test_a_version_aside_from_before_archived_records_were_counted_is_read(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    """After an upgrade within the grace period the version before is still there."""
    await projected(client, log, engine)
    await built(engine)
    await cut_over_version(engine)
    await run_sql(
        engine,
        "alter table public_rebuild.build drop archived, drop run_began_s, drop run_began_with",
    )
    await run_sql(engine, "alter table public_rebuild.later drop archived, drop unreadable")
    status = await read_status(engine)
    assert status.build is not None
    assert (status.build.state, status.build.rate, status.build.unreadable) == ("live", 0, 0)
    async with engine.connect() as connection:
        view = await read_rebuild_progress(connection, {})
        assert view is not None
        assert (view.state, view.unreadable) == ("live", 0)
    await roll_back(engine)


async def test_paused_it_is_resumed_where_it_was(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "CHUNK_RECORDS", 30)
    await projected(client, log, engine)
    building, claimed = await _paused_after(engine, monkeypatch, chunks=3)
    assert await building is None
    status = await read_status(engine)
    assert status.build is not None
    assert (status.build.folded, status.is_at_work) == (claimed, False)
    assert 0 < claimed < status.build.total
    assert status.build.rate == 0
    await run_sql(engine, "update public_rebuild.build set wanted = null")  # as if it were at work
    status = await read_status(engine)
    assert status.build is not None
    assert status.build.rate > 0
    with pytest.raises(OperatorFault, match="no rebuilt version is ready"):
        await cut_over_version(engine)
    shown: list[RebuildProgress] = []
    assert (await built(engine, on_progress=shown.append)).identical
    assert shown[0].resumed_at == claimed


async def test_it_is_not_at_work_because_an_archive_run_is(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    with pytest.raises(Killed):
        await built(engine, on_progress=_kill_when("indexing"))
    async with alone(engine):
        assert not (await read_status(engine)).is_at_work
    async with claimed(engine):
        assert (await read_status(engine)).is_at_work


async def test_whoever_looks_at_it_keeps_nobody_out(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    with pytest.raises(Killed):
        await built(engine, on_progress=_kill_when("indexing"))

    async def look() -> None:
        for _ in range(10):
            assert not (await read_status(engine)).is_at_work

    await asyncio.gather(*(look() for _ in range(4)))


async def test_cancelled_at_work_it_leaves_nothing(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "CHUNK_RECORDS", 30)
    await projected(client, log, engine)
    before = await stored_views(engine)
    cancelling: list[asyncio.Task[bool]] = []
    claim = cold.ColdWorker._claim

    async def once_wanted(worker: cold.ColdWorker) -> cold.Chunk | None:
        if not cancelling:
            cancelling.append(asyncio.create_task(cancel(engine)))
            await _wish(engine, "cancel")
        return await claim(worker)

    monkeypatch.setattr(cold.ColdWorker, "_claim", once_wanted)
    assert (
        await build_version(engine, engine.url.render_as_string(hide_password=False), workers=1)
        is None
    )
    assert await cancelling[0]
    assert await schemas_aside(engine) == 0
    assert await stored_views(engine) == before


async def test_records_that_come_meanwhile_are_not_counted_as_folded(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    """`status` counted past its total under live traffic."""
    await projected(client, log, engine)
    with pytest.raises(Killed):
        await built(engine, on_progress=_kill_when("folding"))
    await publish(log, [*call(NAMES[0]), *call("s0-later"), late(NAMES[0])])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    assert (await built(engine)).identical
    status = await read_status(engine)
    assert status.build is not None
    assert status.build.folded == status.build.total == RECORDS * len(NAMES)


async def test_of_two_rebuilds_one_is_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await projected(client, log, engine, ["s"])
    async with engine.connect() as holding:
        await holding.execute(text("select pg_advisory_lock(hashtextextended('rebuild', 0))"))
        with monkeypatch.context() as patched:
            patched.setattr(claim, "CLAIM_TIMEOUT_S", 0.3)
            with pytest.raises(OperatorFault, match="another rebuild"):
                await built(engine)
        await holding.invalidate()
    assert (await built(engine)).identical


@pytest.mark.parametrize(("ask", "wish"), [(pause, "pause"), (cancel, "cancel")])
async def test_a_rebuild_that_does_not_stop_soon_is_not_called_another(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[AsyncEngine], Awaitable[object]],
    wish: str,
) -> None:
    await projected(client, log, engine, ["s"])
    await built(engine)
    async with engine.connect() as building:
        await building.execute(text("select pg_advisory_lock(hashtextextended('rebuild', 0))"))
        with monkeypatch.context() as patched:
            patched.setattr(claim, "CLAIM_TIMEOUT_S", 0.3)
            with pytest.raises(OperatorFault, match=f"the {wish} is noted, but"):
                await ask(engine)
        await building.invalidate()
    status = await read_status(engine)
    assert status.build is not None
    assert status.build.wanted == wish


async def test_a_worker_of_a_run_that_was_given_up_commits_nothing(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds a chunk that another run has taken over: its rows would be there twice."""
    await projected(client, log, engine)
    made = cold.ColdWorker._made
    taken = False

    async def take_over(worker: cold.ColdWorker, chunk: cold.Chunk) -> object:
        nonlocal taken
        found = await made(worker, chunk)
        if not taken:
            taken = True
            await run_sql(engine, "update public_rebuild.chunk set owner = 'another'")
        return found

    monkeypatch.setattr(cold.ColdWorker, "_made", take_over)
    with pytest.raises(cold.ChunkTaken):
        await built(engine)
    assert await value(engine, "select count(*) from public_rebuild.sessions") == 0
    assert (await built(engine)).identical


def _kill_when(phase: str) -> Callable[[RebuildProgress], None]:
    def kill(progress: RebuildProgress) -> None:
        if progress.phase == phase:
            raise Killed

    return kill


class _killed_after:
    """Raises Killed in place of the commit of one of the next transactions of the rebuild."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, transactions: int, chance: random.Random
    ) -> None:
        self._patch = monkeypatch.context()
        self._left = transactions
        self._chance = chance

    def __enter__(self) -> None:
        patched = self._patch.__enter__()
        made, whole = cold.ColdWorker._made, tail.Tail._fold

        async def cold_made(worker: cold.ColdWorker, chunk: cold.Chunk) -> object:
            self._step()
            return await made(worker, chunk)

        async def tail_fold(follower: tail.Tail, *arguments: object) -> None:
            await whole(follower, *arguments)  # type: ignore[arg-type]
            self._step()

        async def last(*_: object, **__: object) -> object:
            raise Killed

        patched.setattr(cold.ColdWorker, "_made", cold_made)
        patched.setattr(tail.Tail, "_fold", tail_fold)
        patched.setattr("offhook.projections.rebuild.run.compare", last)

    def __exit__(self, *raised: object) -> None:
        self._patch.__exit__(*raised)  # type: ignore[arg-type]

    def _step(self) -> None:
        if not self._left:
            raise Killed
        self._left -= 1


async def _paused_after(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> "tuple[asyncio.Task[object], int]":
    """A build that is paused after so many chunks, and the records that are folded by then."""
    claim = cold.ColdWorker._claim
    claimed = 0

    async def claiming(worker: cold.ColdWorker) -> cold.Chunk | None:
        nonlocal claimed
        if claimed == chunks:
            pausing.append(asyncio.create_task(pause(engine)))
            await _wish(engine, "pause")
        claimed += 1
        return await claim(worker)

    pausing: list[asyncio.Task[object]] = []
    with monkeypatch.context() as patched:
        patched.setattr(cold.ColdWorker, "_claim", claiming)
        building = asyncio.create_task(
            build_version(engine, engine.url.render_as_string(hide_password=False), workers=1)
        )
        await building
        build = await pausing[0]
    return building, build.folded  # type: ignore[attr-defined]


async def _wish(engine: AsyncEngine, wanted: str) -> None:
    """Wait until another process wants this of the build."""
    async with asyncio.timeout(TIMEOUT_S):
        while await value(engine, "select wanted from public_rebuild.build") != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
