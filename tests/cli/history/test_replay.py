"""`offhook replay`: to standard output, to an endpoint that is slow or ill, to a view."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import uvicorn
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from offhook.cli.history.redelivery import Redelivery, paced
from offhook.history.lines import HistoryRecord, record_from
from offhook.settings import environment_from
from offhook.telnyx.signature import verify
from tests.cli.history.conftest import KEY, SIGNED_AT, Installation, take_calls
from tests.cli.terminal import Printed
from tests.offhook.history.test_lines import RECORD
from tests.projections.story import stored_views


@dataclass(kw_only=True)
class Endpoint:
    """Answers with `status_of` each request; remembers what it took and how many at once."""

    status_of: Callable[[str, int], int] = lambda event_id, attempt: 200
    delay_s: float = 0.0
    words: str = ""
    url: str = ""
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    at_once: int = 0
    at_once_max: int = 0

    @property
    def event_ids(self) -> list[str]:
        return [json.loads(body)["data"]["id"] for _, body in self.taken]

    async def take(self, request: Request) -> Response:
        body = await request.body()
        event_id = json.loads(body)["data"]["id"]
        self.attempts[event_id] = self.attempts.get(event_id, 0) + 1
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(self.delay_s)
        self.at_once -= 1
        status = self.status_of(event_id, self.attempts[event_id])
        if status == 200:
            self.taken.append((dict(request.headers), body))
        return Response(self.words if status != 200 else "", status_code=status)


@asynccontextmanager
async def serving(port: int, endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    endpoint.url = f"http://127.0.0.1:{port}/hooks"
    routes = [Route("/hooks", endpoint.take, methods=["POST"])]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_config=None))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        yield endpoint
    finally:
        server.should_exit = True
        await task


async def replayed(here: Installation, *options: str) -> Printed:
    return await asyncio.to_thread(here.terminal, "replay", *options)


async def test_webhooks_are_posted_as_they_were_received_and_in_the_order_of_each_session(
    here: Installation, free_port: int
) -> None:
    names = [f"s{number}" for number in range(3)]
    await take_calls(here, *names)
    unlucky = "s1-event-4"
    endpoint = Endpoint(
        status_of=lambda event_id, attempt: 503 if event_id == unlucky and attempt < 2 else 200,
        delay_s=0.01,
    )
    async with serving(free_port, endpoint):
        printed = await replayed(
            here, "--to", endpoint.url, "--rate", "0", "--concurrency", "2", "--retries", "1"
        )
    assert printed.status == 0, printed.errors
    assert "27 webhooks sent to" in printed.errors
    assert "36 other records left out" in printed.errors
    assert endpoint.at_once_max <= 2
    assert endpoint.attempts[unlucky] == 2
    for name in names:
        mine = [each for each in endpoint.event_ids if each.startswith(name)]
        assert mine == [f"{name}-event-{number}" for number in range(1, 10)]
    stored = {record.fact_id: record for name in names for record in await here.log.read(name)}
    for headers, body in endpoint.taken:
        assert verify(body, headers, [KEY.verify_key], SIGNED_AT)
        record = stored[json.loads(body)["data"]["id"]]
        assert headers["offhook-replay"] == str(record.seq)
        assert headers["offhook-replay-session"] == record.session_id
        assert headers["offhook-replay-stored-at"] == record.stored_at.isoformat()


async def test_what_fails_in_the_end_keeps_the_rest_of_its_session_back(
    here: Installation, free_port: int
) -> None:
    await take_calls(here, "s1", "s2")
    endpoint = Endpoint(
        status_of=lambda event_id, attempt: 400 if event_id == "s1-event-3" else 200,
        words="no such leg\n",
    )
    async with serving(free_port, endpoint):
        printed = await replayed(here, "--to", endpoint.url, "--rate", "0")
    assert printed.status == 1
    assert "11 webhooks sent" in printed.errors
    assert "1 failed, 6 held back" in printed.errors
    said = "event s1-event-3 of session s1: it answered 400 Bad Request: 'no such leg'"
    assert said in printed.errors
    assert "run the command with --session" in printed.errors
    assert "OFFHOOK_SIGNATURE_TOLERANCE_S" not in printed.errors
    assert endpoint.attempts["s1-event-3"] == 1
    assert sorted(endpoint.event_ids)[:2] == ["s1-event-1", "s1-event-2"]


async def test_an_ingress_that_refuses_old_signatures_is_quoted(
    here: Installation, free_port: int
) -> None:
    await take_calls(here, "s1")
    words = "telnyx-timestamp 1795348800 is 9000 s old; the tolerance is 300 s"
    endpoint = Endpoint(status_of=lambda event_id, attempt: 408, words=words)
    async with serving(free_port, endpoint):
        printed = await replayed(here, "--to", endpoint.url, "--retries", "0")
    assert printed.status == 1
    assert f"0 webhooks sent to {endpoint.url}, 1 failed" in printed.errors
    assert f"it answered 408 Request Timeout: '{words}'" in printed.errors
    assert "OFFHOOK_SIGNATURE_TOLERANCE_S" in printed.errors
    assert "`offhook import`" in printed.errors


async def test_nothing_listens_there(here: Installation, free_port: int) -> None:
    await take_calls(here, "s1")
    url = f"http://127.0.0.1:{free_port}/"
    printed = await replayed(here, "--to", url, "--retries", "0", "--type", "call.hangup")
    assert printed.status == 1
    assert "0 webhooks sent" in printed.errors
    assert "ConnectError" in printed.errors


async def test_to_standard_output_in_order_of_time(here: Installation) -> None:
    await take_calls(here, "s1")
    printed = await replayed(here, "--to", "stdout", "--speed", "100000x")
    assert printed.status == 0, printed.errors
    found = [record_from(line.encode()) for line in printed.output.splitlines()]
    assert [each.position for each in found] == [each.seq for each in await here.log.read("s1")]


async def test_a_full_disk_behind_standard_output_is_named(here: Installation) -> None:
    await take_calls(here, "s1")
    env = os.environ | dict(environment_from(here.settings))
    command = f"{sys.executable} -m offhook replay --to stdout > /dev/full"
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", command], stderr=subprocess.PIPE, env=env, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "offhook: standard output cannot be written: No space left on device\n"


async def test_a_view_is_folded_again_for_the_chosen_sessions(here: Installation) -> None:
    await take_calls(here, "s1", "s2", "s3")
    right = await stored_views(here.engine)
    async with here.engine.begin() as connection:
        for statement in (
            "update legs set hangup_cause = 'wrong'",
            "delete from legs where session_id = 's2' and call_control_id like '%-2'",
        ):
            await connection.execute(text(statement))
    chosen = ("--session", "s1", "--session", "s2")
    printed = await replayed(here, "--to", "projection:legs", *chosen)
    assert printed.status == 0, printed.errors
    assert "legs: 4 rows of 2 sessions folded again, 4 had differed" in printed.errors
    found = await stored_views(here.engine)
    assert [row for row in found["legs"] if row["session_id"] != "s3"] == [
        row for row in right["legs"] if row["session_id"] != "s3"
    ]
    assert {row["hangup_cause"] for row in found["legs"] if row["session_id"] == "s3"} == {"wrong"}
    printed = await replayed(here, "--to", "projection:legs")
    assert "6 rows of 3 sessions folded again, 2 had differed" in printed.errors
    assert await stored_views(here.engine) == right


async def test_what_is_wrong_is_named(here: Installation) -> None:
    for options, named in (
        (("--to", "ftp://x"), "--to ftp://x: expected stdout, an http(s) URL"),
        (("--to", "projection:calls"), "no projection 'calls'; expected one of sessions, legs"),
        (("--to", "stdout", "--speed", "fast"), "--speed is 'fast'"),
        (("--to", "stdout", "--speed", "0x"), "--speed is '0x'"),
        (("--to", "projection:legs", "--type", "Decided"), "--type cannot be used"),
        (("--to", "projection:legs", "--session", "none"), "session 'none' has no records"),
    ):
        printed = await replayed(here, *options)
        assert printed.status == (1 if "has no records" in named else 2)
        assert named in printed.errors


async def _each(*records: HistoryRecord) -> AsyncIterator[HistoryRecord]:
    for record in records:
        yield record


async def test_a_speed_keeps_the_distance_between_records() -> None:
    second = replace(RECORD, stored_at=RECORD.stored_at + timedelta(seconds=30))
    began = time.monotonic()
    found = [each async for each in paced(_each(RECORD, second), 100.0)]
    assert found == [RECORD, second]
    assert time.monotonic() - began >= 0.3


async def test_a_rate_is_an_upper_bound(free_port: int) -> None:
    endpoint = Endpoint()
    body = b'{"data": {"id": "e"}}'
    async with (
        serving(free_port, endpoint),
        Redelivery(endpoint.url, rate_per_s=50, at_once=4, retries=0) as redelivery,
    ):
        began = time.monotonic()
        for number in range(11):
            await redelivery.add(replace(RECORD, session_id=f"s{number}", body=body))
        await redelivery.drain()
        assert time.monotonic() - began >= 10 / 50
        assert redelivery.counts["sent"] == 11
