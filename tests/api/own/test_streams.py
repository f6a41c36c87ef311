"""Following the log over server-sent events: nothing is lost and nothing is repeated."""

import asyncio
import json
import os
import random
import re
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest
from telnyx import AsyncTelnyx

from offhook.api.errors import ErrorAnswer
from offhook.api.own import live as live_module
from offhook.api.own.live import Following, Live
from offhook.api.own.streams import begun, id_of, positions_in
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.position import partition_of, position_of
from offhook.projections.views.database import Engine, open_database
from offhook.projections.views.waiting import PositionWatch
from offhook.settings import environment_from
from tests.api.stack import READER, Stack
from tests.projections.partitioned import PartitionedLog, project
from tests.projections.story import call, interleaved

DEADLINE_S = 60.0
CALLS = 12
"""That all are in one of four partitions is as good as impossible."""

BEGIN = [position_of(partition, 0) for partition in range(4)]
EVERYTHING = Following(wants=lambda record: True, id_of=id_of)


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
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4) as live,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(write())
        while len(found) < total:
            count = min(chance.randrange(1, 30), total - len(found))
            try:
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


async def test_a_client_that_is_too_slow_is_ended_with_the_reason_and_resumes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "RING_RECORDS_MAX", 4)
    monkeypatch.setattr(live_module, "CHUNK_BYTES_MAX", 1)
    log = PartitionedLog()
    async with (
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4) as live,
    ):
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
    async with (
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4) as live,
    ):
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
    async with (
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4) as live,
    ):
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


def _refused(_: Engine) -> None:
    raise ConnectionRefusedError(111, "Connection refused")


async def test_a_filter_and_a_session_see_only_theirs(engine: Engine) -> None:
    log = PartitionedLog(of={"a": 1, "b": 1, "c": 2})
    log.append(*interleaved([call("a"), call("b"), call("c")]))
    async with (
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4) as live,
    ):
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
    async with (
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4) as live,
    ):
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
    async with (
        asyncio.timeout(DEADLINE_S),
        PositionWatch(engine) as watch,
        Live(engine, watch, partitions=4, heartbeat_s=0.05) as live,
    ):
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


async def events_of(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, str]]:
    event: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        else:
            yield event
            event = {}


async def test_sessions_are_followed_over_http(stack: Stack, sdk: AsyncTelnyx) -> None:
    session_id = (await stack.ring())["call_session_id"]
    session = (await stack.session(session_id))["data"]["session"]
    path = f"/sessions/{session_id}/stream"
    async with stack.http(READER) as http, asyncio.timeout(DEADLINE_S):
        async with http.stream("GET", path, params={"last_event_id": 0}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            events = events_of(response.aiter_lines())
            assert (await anext(events))["retry"].isdigit()
            first = await anext(events)
        assert (first["event"], first["id"]) == ("record", str(session["first_seq"]))
        timeline = (await http.get(f"/sessions/{session_id}/timeline")).json()["data"]
        assert json.loads(first["data"]) == timeline[0]
        # From everywhere, what is new only; the header says where to resume.
        heads = (await http.get("/sessions")).json()["meta"]["checkpoints"]
        resumed = {"last-event-id": id_of(heads)}
        async with http.stream("GET", "/sessions/stream", headers=resumed) as response:
            events = events_of(response.aiter_lines())
            other = (await stack.ring())["call_session_id"]
            async for event in events:
                if "data" in event and json.loads(event["data"])["session_id"] == other:
                    break
        assert (await http.get("/sessions/nobody/stream")).status_code == 404
        wrong = await http.get("/sessions/stream", headers={"last-event-id": "x"})
        assert wrong.status_code == 422
        for query in ("status=alive", "as_of=10"):
            assert (await http.get(f"/sessions/stream?{query}")).status_code == 422
        # Of an active session nothing is sent to who wants those that ended.
        async with http.stream("GET", "/sessions/stream?status=ended") as response:
            events = events_of(response.aiter_lines())
            await anext(events)
            waiting = (await stack.ring())["call_session_id"]
            await stack.session(waiting)
            over = (await stack.ring())["call_session_id"]
            leg = (await stack.session(over))["data"]["legs"][0]["call_control_id"]
            await sdk.calls.actions.hangup(leg)
            async for event in events:
                if "data" in event:
                    assert json.loads(event["data"])["session_id"] != waiting
                    if json.loads(event["data"])["session_id"] == over:
                        break
        # A position of a partition that the log does not have is not taken for the beginning.
        nowhere = await http.get(path, params={"last_event_id": position_of(10, 30)})
        assert "is in partition 10; expected a position of this log" in nowhere.text
        openapi = (await http.get("/openapi.json")).json()
        described = openapi["paths"]["/sessions/stream"]["get"]["responses"]["200"]["content"]
        assert list(described) == ["text/event-stream"]
    async with stack.http(None) as http:
        assert (await http.get("/sessions/stream")).status_code == 401


async def test_a_client_that_reconnects_over_http_reads_each_record_once(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    """Calls in all partitions, from their webhooks to the stream; also one session by itself."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    async with stack.http(READER) as http, asyncio.timeout(DEADLINE_S):
        last_id = id_of((await http.get("/sessions")).json()["meta"]["checkpoints"])
        placed: list[str] = []
        enough = asyncio.Event()

        async def call() -> None:
            placed.extend(await asyncio.gather(*(_ended_call(stack, sdk) for _ in range(CALLS))))
            while not enough.is_set():  # or the stream would have nothing more to wait for
                await _ended_call(stack, sdk)

        calling = asyncio.create_task(call())
        found: list[int] = []
        wanted: set[int] = set()
        while not (wanted and wanted <= set(found)):
            read, last_id = await _records(http, "/sessions/stream", last_id, chance.randint(1, 9))
            found += read
            if placed and not wanted:
                timelines = [await _timeline(http, each) for each in placed]
                wanted = {seq for timeline in timelines for seq in timeline}
        enough.set()
        await calling
        assert len(set(found)) == len(found)
        assert len({partition_of(seq) for seq in wanted}) > 1
        one, own, last_id = timelines[0], list[int](), "0"
        while own != one:
            path = f"/sessions/{placed[0]}/stream"
            read, last_id = await _records(http, path, last_id, 1)
            own += read
            assert own == one[: len(own)]


async def _ended_call(stack: Stack, sdk: AsyncTelnyx) -> str:
    """The session of a call that was answered and has ended in the views."""
    ids = await stack.ring()
    await stack.session(ids["call_session_id"])
    await sdk.calls.actions.answer(ids["call_control_id"])
    await sdk.calls.actions.hangup(ids["call_control_id"])
    await stack.session(ids["call_session_id"], "ended")
    return ids["call_session_id"]


async def _timeline(http: httpx.AsyncClient, session_id: str) -> list[int]:
    rows = (await http.get(f"/sessions/{session_id}/timeline")).json()["data"]
    return [row["seq"] for row in rows]


async def _records(
    http: httpx.AsyncClient, path: str, last_id: str, count: int
) -> tuple[list[int], str]:
    """The positions of the next records, and the id to go on from; then it leaves."""
    positions: list[int] = []
    async with http.stream("GET", path, headers={"last-event-id": last_id}) as response:
        async for event in events_of(response.aiter_lines()):
            last_id = event.get("id", last_id)
            if event.get("event") == "record":
                positions.append(json.loads(event["data"])["seq"])
            if len(positions) == count:
                break
    return positions, last_id


async def test_a_session_is_followed_in_a_terminal_until_it_ends(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    ids = await stack.ring()
    session_id = ids["call_session_id"]
    await stack.session(session_id)
    settings = replace(stack.settings, api_url=stack.api_url, api_token=READER)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    following = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "offhook", "show", session_id, "--follow",
        stdout=asyncio.subprocess.PIPE,
        env={**kept, **environment_from(settings), "COLUMNS": "120"},
    )  # fmt: skip
    assert following.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        said = ""
        while "call.initiated" not in said:
            said += (await following.stdout.readline()).decode()
        await sdk.calls.actions.answer(ids["call_control_id"])
        while "call.answered" not in said:
            said += (await following.stdout.readline()).decode()
        await sdk.calls.actions.hangup(ids["call_control_id"])
        said += (await following.stdout.read()).decode()
        assert await following.wait() == 0
    seqs = [int(each) for each in re.findall(r"^ *(\d+)  \d\d:\d\d:", said, re.MULTILINE)]
    assert seqs == sorted(set(seqs))
    assert "call.hangup" in said
    assert said.count("L1  v3:") == 1
