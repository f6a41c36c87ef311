"""`offhook archive` and `offhook erase`, killed with SIGKILL at random points and run again."""

import asyncio
import os
import random
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.history.files import records_in
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.subjects import partition_for
from offhook.projections.retention.scan import scan
from offhook.projections.retention.targets import find_target
from offhook.settings import Settings, environment_from
from tests.forked import Forked
from tests.projections.rebuild.versions import built
from tests.projections.retention.run_archive import archive_later, run_offhook
from tests.projections.retention.settled_calls import late, rows_in, settle
from tests.projections.retention.test_partitions import (
    PARTITIONS,
    _messages,
    _project,
    _timeline,
    partitions,
)
from tests.projections.story import TIMEOUT_S, call, stored_views

__all__ = ["partitions"]

ROOT = Path(__file__).parents[3]

KILLS = int(os.environ.get("OFFHOOK_TEST_KILLS", "1"))
"""How often each command is killed; 25 for a longer look."""

SESSIONS = 8
"""Of each round."""


async def test_killed_at_random_nothing_is_lost_or_doubled(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    database_url: str,
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    runs = _Runs(own_nats_server, database_url, engine, random.Random(seed), tmp_path / "log")
    root = tmp_path / "archive"
    archive = ("archive", "--to", str(root))
    names: list[str] = []
    before: dict[str, object] = {}
    for number in range(KILLS):
        new = [f"call-{number}-{each}" for each in range(SESSIONS)]
        for name in new:
            await settle(log, call(name))
        await _project(client, engine)
        before |= {name: await _timeline(engine, name) for name in new}
        names += new
        await runs.killed(*archive)
        for name in random.Random(seed).sample(names, SESSIONS):
            assert await _timeline(engine, name) == before[name]
    assert {partition_for(name, PARTITIONS) for name in names} == set(range(PARTITIONS))
    views = await stored_views(engine)
    await runs.finished(*archive)
    assert await stored_views(engine) == views
    assert await rows_in(engine, "event_log") == 0
    assert await _messages(client) == [0] * PARTITIONS
    positions = [each.seq for name in names for each in before[name]]  # type: ignore[attr-defined]
    found = [each.position for file in root.glob("*.zst") for each in records_in(str(file))]
    assert sorted(found) == sorted(positions)
    assert {name: await _timeline(engine, name) for name in names} == before
    assert (await built(engine)).identical
    await _run(engine, "drop schema public_rebuild cascade")

    erased, kept = names[::2], names[1::2]
    # Of some there is something in the log again, or only there.
    await settle(log, [late(name) for name in erased[::2]])
    await _project(client, engine)
    async with engine.connect() as connection:
        target = await find_target(connection, erased, [], [], datetime(2027, 1, 31, tzinfo=UTC))
        records = len(found) // 2 + await rows_in(engine, "event_log")
    size = SESSIONS // 2
    for number in range(KILLS):
        those = erased[number * size : (number + 1) * size]
        # Killed before it has begun, it has to be typed again.
        words = ("erase", *those, "--yes")
        await runs.killed(*words)
        if await _are_known(engine, those):
            await runs.killed(*words)
        if await _are_known(engine, those):
            await runs.begun(*words)
        await runs.killed("erase", "--resume")
    await runs.finished("erase", "--resume")
    await client.flush()  # connected again: the server was restarted
    async with engine.connect() as connection:
        stores = [own_nats_server.directory / "store"]
        proof = await scan(connection, target, stores=stores, roots=[str(root)])
    assert (proof.found, proof.unreachable) == (0, []), proof
    assert await _messages(client) == [0] * PARTITIONS
    assert await _value(engine, "select sum(records) from erasures") == records
    pending = "select count(*) from erasures where jsonb_typeof(pending) = 'object'"
    assert await _value(engine, pending) == 0
    assert {name: await _timeline(engine, name) for name in kept} == {n: before[n] for n in kept}
    assert await rows_in(engine, "sessions") == len(names)
    found = [each.position for file in root.glob("*.zst") for each in records_in(str(file))]
    assert len(found) == len({*found}) == len(positions) // 2
    assert [*root.glob("*.part")] == []
    assert (await built(engine)).identical
    print(f"kills at: {dict(runs.states)}")  # noqa: T201


class _Runs:
    """Runs commands with the servers' addresses; `states` counts what kills found."""

    def __init__(
        self,
        server: NatsServer,
        database_url: str,
        engine: AsyncEngine,
        chance: random.Random,
        log: Path,
    ) -> None:
        settings = Settings(
            nats_url=server.url,
            nats_monitor_urls=(server.monitor_url,),
            postgres_url=database_url,
        )
        clean = {key: value for key, value in os.environ.items() if not key.startswith("OFFHOOK_")}
        self._environment = clean | environment_from(settings) | {"PYTHONPATH": str(ROOT)}
        self._server = server
        self._engine = engine
        self._chance = chance
        self._log = log
        self.states: Counter[str] = Counter()

    async def killed(self, *words: str) -> None:
        """Start it, and kill it up to a second after it has connected to Postgres.

        Of four, three are killed only after they have changed something.
        """
        before, is_waited_for = await self._state(), self._chance.random() < 0.75
        process = self._start(*words)
        try:
            while process.poll() is None and not await _value(self._engine, _CONNECTED):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            while is_waited_for and process.poll() is None and await self._state() == before:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            with suppress(subprocess.TimeoutExpired):
                delay_s = self._chance.choice((0.02, 0.2, 1.0)) * self._chance.random()
                await asyncio.to_thread(process.wait, delay_s)
        finally:
            process.kill()
        status = await asyncio.to_thread(process.wait)
        assert status in (0, -9), self._log.read_text()
        await self._disconnected()
        ended = "ended before" if status == 0 else await self._state()
        command = f"{words[0]} --resume" if "--resume" in words else words[0]
        self.states[f"{command}: {ended}"] += 1

    async def begun(self, *words: str) -> None:
        """Start it, and kill it once it has noted what is to be done."""
        count = "select count(*) from erasures"
        before, process = await _value(self._engine, count), self._start(*words)
        async with asyncio.timeout(TIMEOUT_S):
            while await _value(self._engine, count) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        process.kill()
        await asyncio.to_thread(process.wait)
        await self._disconnected()

    async def finished(self, *words: str) -> None:
        before = self._log.stat().st_size
        process = self._start(*words)
        if words[0] == "erase":
            while process.poll() is None and _WAITING not in self._log.read_bytes()[before:]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            # A server that stops writes the index, which the proof waits for: it takes two minutes
            # otherwise.
            await asyncio.to_thread(self._server.stop)
            await asyncio.to_thread(self._server.start)
        assert await asyncio.to_thread(process.wait) == 0, self._log.read_text()

    async def _disconnected(self) -> None:
        """Wait until Postgres has noticed that the process was killed."""
        async with asyncio.timeout(TIMEOUT_S):
            while await _value(self._engine, _CONNECTED):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def _start(self, *words: str) -> Forked:
        run = archive_later if words[0] == "archive" else run_offhook
        return Forked(run, words, self._environment, self._log)

    async def _state(self) -> str:
        """How far the run had come."""
        row = str(
            await _value(
                self._engine,
                "select concat_ws(', ', case when exists (select from archive_segments"
                " where archived_at is null) then 'segment begun' end,"
                " case when exists (select from archived_sessions where left_log_at is null)"
                " then 'registered' end, case when exists (select from erasures"
                " where jsonb_typeof(pending) = 'object') then 'erasure noted' end,"
                " case when exists (select from archive_segments where sessions = 0)"
                " then 'segment replaced' end)",
            )
        )
        return row or "nothing under way"


_WAITING = b"waiting until the NATS server has removed what was erased"
"""What an erasure says once everything has left the streams."""

_CONNECTED = (
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and application_name in ('offhook-archive', 'offhook-erase')"
)


async def _are_known(engine: AsyncEngine, session_ids: Sequence[str]) -> bool:
    """Whether no erasure of them was begun."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text(
                "select count(*) from sessions where session_id = any(:ids) and not exists"
                " (select from erasures where pending->'session_ids' ? session_id)"
            ),
            {"ids": list(session_ids)},
        )
        return bool(found.scalar_one())


async def _value(engine: AsyncEngine, statement: str) -> object:
    async with engine.connect() as connection:
        return (await connection.execute(text(statement))).scalar_one()


async def _run(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))
