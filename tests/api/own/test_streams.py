"""Following the log over server-sent events: nothing is lost and nothing is repeated."""

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import text

from offhook.api.errors import ErrorAnswer
from offhook.api.own import live as live_module
from offhook.api.own.live import Following, Live
from offhook.api.own.streams import begun, id_of, positions_in
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.errors import ArchiveUnreadable
from offhook.position import partition_of, position_of
from offhook.projections.views.database.engine import Engine, open_database
from offhook.projections.views.progress.checkpoint import CHANNEL, ERASED_NOTICE
from offhook.projections.views.progress.waiting import PositionWatch
from tests.api.stack import DEADLINE_S
from tests.projections.partitioned import PartitionedLog, project
from tests.projections.story import call, interleaved

BEGIN = [position_of(partition, 0) for partition in range(4)]
EVERYTHING = Following(wants=lambda record: True, id_of=id_of)


ARCHIVED = """
insert into archived_sessions
    (session_id, segment, byte_offset, byte_length, records, first_seq, last_seq, repeated)
values ('s', 'segment', 0, 1, 1, :last, :last, '{}')
"""


class Ended(Exception):
    """The server ended the stream; `positions` were read by then."""

    def __init__(self, positions: list[int], last_id: str) -> None:
        super().__init__(last_id)
        self.positions = positions
        self.last_id = last_id


@pytest.fixture
async def engine(postgres_server: PostgresServer, migrated: str) -> AsyncIterator[Engine]:
    url = postgres_server.create_database(f"api_{secrets.token_hex(4)}", template=migrated)
    engine = open_database(url)
    yield engine
    await engine.dispose()


@asynccontextmanager
async def streaming(engine: Engine, heartbeat_s: float = DEADLINE_S) -> AsyncIterator[Live]:
    """The streams of an API, which must be done by DEADLINE_S: without heartbeats in between."""
    async with (
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4, heartbeat_s=heartbeat_s) as live,
    ):
        yield live


def parsed(chunk: bytes) -> list[dict[str, str]]:
    """The events of a chunk, as EventSource reads them; those with only an id too."""
    found = []
    for block in chunk.decode().split("\n\n"):
        lines = [line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")]
        if lines:
            found.append({name: value for name, value in lines})
    return found


async def taken(
    live: Live, wanted: Following, after: Sequence[int], count: int
) -> tuple[list[int], str]:
    """The positions of the first events, so many, and the last one's id; then it leaves."""
    positions: list[int] = []
    last_id = wanted.id_of(after)
    with live.client():
        async with aclosing(cast(Any, live.follow(wanted, after))) as following:
            async for chunk in following:
                for event in parsed(chunk):
                    if event.get("event") == "record":
                        positions.append(json.loads(event["data"])["seq"])
                    last_id = event.get("id", last_id)
                    if len(positions) == count:
                        return positions, last_id
    raise Ended(positions, last_id)


@pytest.mark.parametrize("ring", [10_000, 20], ids=["in the ring", "overtaken by the ring"])
async def test_a_client_that_reconnects_loses_nothing_and_repeats_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, ring: int
) -> None:
    monkeypatch.setattr(live_module, "RING_RECORDS_MAX", ring)
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(12)]
    log = PartitionedLog(of={name: number % 4 for number, name in enumerate(names)})
    entries = interleaved([call(name) for name in names])
    total = len(entries)

    async def write() -> None:
        async with engine.connect() as connection:
            while entries:
                log.append(*(entries.pop(0) for _ in range(min(len(entries), 5))))
                await project(connection, log)
                await asyncio.sleep(chance.choice((0, 0, 0.02)))

    found: list[int] = []
    after: Sequence[int] = BEGIN
    async with (
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4) as live,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(write())
        while len(found) < total:
            count = min(chance.randrange(1, 30), total - len(found))
            try:
                async with asyncio.timeout(DEADLINE_S):
                    positions, last_id = await taken(live, EVERYTHING, after, count)
            except Ended as ended:
                positions, last_id = ended.positions, ended.last_id
            found += positions
            after = positions_in(last_id, 4)
    assert len(set(found)) == len(found)
    assert sorted(found) == sorted(each.seq for each in log.records)
    for partition in range(4):
        own = [each for each in found if partition_of(each) == partition]
        assert own == sorted(own)


async def test_what_was_erased_is_not_sent_to_a_client_that_resumes(engine: Engine) -> None:
    """It was in memory still, as long as anybody followed."""
    log = PartitionedLog(of={"kept": 1, "gone": 2})
    entries = [*call("kept"), *call("gone")]
    async with (
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4) as live,
    ):
        with live.client():
            await live.heads()
            log.append(*entries)
            async with engine.connect() as connection:
                await project(connection, log)
                before, _ = await taken(live, EVERYTHING, BEGIN, len(entries))
                assert set(before) == {each.seq for each in log.records}
                forgotten = asyncio.Event()
                with watch.erasures(forgotten.set):
                    await connection.execute(
                        text("delete from event_log where session_id = 'gone'")
                    )
                    await connection.execute(
                        text("select pg_notify(:channel, :notice)"),
                        {"channel": CHANNEL, "notice": ERASED_NOTICE},
                    )
                    await connection.commit()
                    await forgotten.wait()
                log.records = [each for each in log.records if each.session_id == "kept"]
                log.append(*call("kept")[-1:])
                await project(connection, log)
            positions, _ = await taken(live, EVERYTHING, BEGIN, len(log.records))
            assert positions == [each.seq for each in log.records]


async def test_a_stream_of_all_sessions_does_not_leave_out_what_was_archived(
    engine: Engine,
) -> None:
    async with streaming(engine) as live:
        await live.require_kept(BEGIN)
        async with engine.begin() as connection:
            await connection.execute(text(ARCHIVED), {"last": position_of(2, 9)})
        await live.require_kept([position_of(2, 9)])
        with pytest.raises(ErrorAnswer, match="read what was missed with `offhook export`"):
            await live.require_kept(BEGIN)


async def test_a_client_that_is_too_slow_is_ended_with_the_reason_and_resumes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "RING_RECORDS_MAX", 4)
    monkeypatch.setattr(live_module, "CHUNK_BYTES_MAX", 1)
    log = PartitionedLog()
    async with streaming(engine) as live:
        with live.client():
            after = await live.heads()
            following = cast(Any, live.follow(EVERYTHING, after))
            await anext(following)
            log.append(*call("s")[:1])
            async with engine.connect() as connection:
                await project(connection, log)
                [first] = parsed(await anext(following))
                log.append(*call("s")[1:])
                await project(connection, log)
            while live.ring_last < log.records[-1].seq:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            [last] = [each async for chunk in following for each in parsed(chunk)]
            assert last["event"] == "end"
            assert json.loads(last["data"])["reason"] == "slow"
        resumed = positions_in(first["id"], 4)
        positions, _ = await taken(live, EVERYTHING, resumed, len(log.records) - 1)
    assert positions == [each.seq for each in log.records[1:]]


async def test_a_client_is_ended_when_the_server_stops(engine: Engine) -> None:
    async with streaming(engine) as live:
        with live.client():
            following = cast(Any, live.follow(EVERYTHING, BEGIN))
            await anext(following)
            asyncio.get_running_loop().call_later(0.05, live.end)
            [last] = [each async for chunk in following for each in parsed(chunk)]
    assert json.loads(last["data"])["reason"] == "draining"


async def test_without_postgres_a_stream_is_refused_or_ended_with_the_reason(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PartitionedLog()
    log.append(*call("s"))
    async with streaming(engine) as live:
        async with engine.connect() as connection:
            await project(connection, log)
        with monkeypatch.context() as away:
            away.setattr(Engine, "connect", _refused)
            with pytest.raises(ConnectionRefusedError):  # `errors` answers 503
                await begun(live, EVERYTHING, BEGIN)
        stream = await begun(live, EVERYTHING, BEGIN)  # reads what the ring does not have
        with monkeypatch.context() as away:
            away.setattr(Engine, "connect", _refused)
            chunks = cast(AsyncIterator[bytes], stream.body_iterator)
            sent = [each async for chunk in chunks for each in parsed(chunk)]
    assert sent[0] == {"retry": "2000", "id": "0.0.0.0"}
    assert sent[-1]["event"] == "end"
    assert json.loads(sent[-1]["data"])["reason"] == "unavailable"
    assert not any(each.get("event") == "record" for each in sent)


async def test_a_stream_whose_archived_records_cannot_be_read_ends_with_the_reason(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(*_: object) -> None:
        raise ArchiveUnreadable("session s is archived, and its file cannot be read: gone")

    log = PartitionedLog()
    log.append(*call("s"))
    monkeypatch.setattr(live_module, "read_changes", unreadable)
    async with streaming(engine) as live:
        async with engine.connect() as connection:
            await project(connection, log)
        stream = await begun(live, EVERYTHING, BEGIN)
        chunks = cast(AsyncIterator[bytes], stream.body_iterator)
        sent = [each async for chunk in chunks for each in parsed(chunk)]
    assert sent[-1]["event"] == "end"
    reason = json.loads(sent[-1]["data"])
    assert reason["reason"] == "unavailable"
    assert reason["detail"].endswith("its file cannot be read: gone")


def _refused(_: Engine) -> None:
    raise ConnectionRefusedError(111, "Connection refused")


async def test_a_filter_and_a_session_see_only_theirs(engine: Engine) -> None:
    log = PartitionedLog(of={"a": 1, "b": 1, "c": 2})
    log.append(*interleaved([call("a"), call("b"), call("c")]))
    async with streaming(engine) as live:
        async with engine.connect() as connection:
            await project(connection, log)
        own = [each.seq for each in log.records if each.session_id == "a"]
        one = Following(
            wants=lambda record: record.session_id == "a",
            id_of=lambda place: str(place[1]),
            session_id="a",
            partition=1,
        )
        positions, last_id = await taken(live, one, BEGIN, len(own))
        assert (positions, last_id) == (own, str(own[-1]))
        some = Following(wants=lambda record: record.connection_id == "connection-1", id_of=id_of)
        positions, _ = await taken(live, some, BEGIN, len(log.records))
        assert sorted(positions) == sorted(each.seq for each in log.records)


async def test_a_status_is_that_of_the_list_at_the_time(engine: Engine) -> None:
    """A call whose end was lost has ended once it must have; of a dial alone nothing is known."""
    log = PartitionedLog(of={"over": 1, "up": 1})
    log.append(*call("over"), *call("up")[:3])
    of = {name: [each.seq for each in log.records if each.session_id == name] for name in log.of}
    async with streaming(engine) as live:
        async with engine.connect() as connection:
            await project(connection, log)
        soon = log.records[-1].stored_at
        for status, at, expected in (
            ("active", soon, of["up"]),
            ("ended", soon, of["over"]),
            ("ended", soon + timedelta(days=1), of["over"] + of["up"]),
        ):
            chosen = Following(
                wants=lambda record, status=status, at=at: record.status_at(at) == status,  # type: ignore[misc]
                id_of=id_of,
            )
            positions, _ = await taken(live, chosen, BEGIN, len(expected))
            assert positions == expected, status


async def test_the_id_moves_on_with_what_a_client_does_not_want(engine: Engine) -> None:
    """Or it would read all that again whenever it reconnects."""
    log = PartitionedLog()
    nothing = Following(wants=lambda record: False, id_of=id_of)
    async with streaming(engine, heartbeat_s=0.05) as live:
        with live.client():
            async with aclosing(cast(Any, live.follow(nothing, BEGIN))) as following:
                await anext(following)
                log.append(*call("s"))
                async with engine.connect() as connection:
                    await project(connection, log)
                while parsed(await anext(following)) != [{"id": f"{len(log.records)}.0.0.0"}]:
                    pass


@pytest.mark.parametrize("text", ["", "1", "1.2.3", "1.2.3.x", "1.2.3.4.5", "1.2.3.-4"])
def test_an_id_of_another_stream_is_refused(text: str) -> None:
    with pytest.raises(ErrorAnswer, match="each of the log's 4 partitions"):
        positions_in(text, 4)
