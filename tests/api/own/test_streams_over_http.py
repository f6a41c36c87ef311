"""Following sessions over HTTP, as a client of the running API and in a terminal."""

import asyncio
import json
import os
import random
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
from telnyx import AsyncTelnyx

from offhook.api.own.streams import id_of
from offhook.position import partition_of, position_of
from offhook.settings import environment_from
from tests.api.stack import DEADLINE_S, READER, Stack

CALLS = 4


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
    async with stack.http(READER) as http, asyncio.timeout(3 * DEADLINE_S):
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
        # Nor is one that the log does not have yet: what comes until then would be left out.
        partition, later = partition_of(session["first_seq"]), position_of(0, 1_000_000)
        for where, after in (
            (path, str(position_of(partition, 1_000_000))),
            ("/sessions/stream", id_of([later, *heads[1:]])),
        ):
            beyond = await http.get(where, headers={"last-event-id": after})
            assert beyond.status_code == 422
            assert ":1000000, but the log ends at " in beyond.text
        openapi = (await http.get("/openapi.json")).json()
        described = openapi["paths"]["/sessions/stream"]["get"]["responses"]["200"]["content"]
        assert list(described) == ["text/event-stream"]
    async with stack.http(None) as http:
        assert (await http.get("/sessions/stream")).status_code == 401


async def test_a_client_that_reconnects_over_http_reads_each_record_once(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    """Calls in several partitions, from webhook to stream; also one session by itself."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    async with stack.http(READER) as http:
        last_id = id_of((await http.get("/sessions")).json()["meta"]["checkpoints"])
        timelines: dict[str, list[int]] = {}
        wanted: set[int] = set()

        async def call() -> None:
            while len({partition_of(each[0]) for each in timelines.values()}) < 2:
                for each in await asyncio.gather(*(_ended_call(stack, sdk) for _ in range(CALLS))):
                    timelines[each] = await _timeline(http, each)
            wanted.update(seq for each in timelines.values() for seq in each)
            while True:  # or the stream would have nothing more to wait for
                ids = await stack.ring()
                await stack.hung_up(ids["call_control_id"])
                await stack.session(ids["call_session_id"], "ended")

        calling = asyncio.create_task(call())
        found: list[int] = []
        while not (wanted and wanted <= set(found)):
            read, last_id = await _records(http, "/sessions/stream", last_id, chance.randint(1, 9))
            found += read
            assert not calling.done(), calling.exception()
        calling.cancel()
        await asyncio.wait([calling])
        assert len(set(found)) == len(found)
        (session_id, one), own, last_id = next(iter(timelines.items())), list[int](), "0"
        while own != one:
            read, last_id = await _records(http, f"/sessions/{session_id}/stream", last_id, 1)
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
    async with (
        asyncio.timeout(DEADLINE_S),
        http.stream("GET", path, headers={"last-event-id": last_id}) as response,
    ):
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
    seqs = [int(each) for each in re.findall(r"^ *\d+:(\d+)  \d\d:", said, re.MULTILINE)]
    assert seqs
    assert seqs == sorted(set(seqs))
    assert "call.hangup" in said
    assert said.count("L1  v3:") == 1
