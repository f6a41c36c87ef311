"""What clients may take of a server, by real sockets: few connections here, and short times."""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from offhook.process import connections
from offhook.process.asgi import Message, Receive, Scope, Send, respond
from offhook.process.connections import (
    BACKLOG,
    BESIDE_BODY_BYTES_MAX,
    FILES_BESIDE,
    connections_max,
)
from offhook.process.serve import serve
from tests.free_ports import free_port

ROOM = 8
BESIDE = BACKLOG + FILES_BESIDE
PATIENCE_S = 60.0
HALF_HEADER = b"POST /whole HTTP/1.1\r\nhost: h\r\nx-more: "
HALF_BODY = b"POST /whole HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc"
GET = b"GET /quick HTTP/1.1\r\nhost: h\r\n\r\n"
LARGE = b"x" * 20_000_000


class Application:
    """/whole reads the body, /quick does not, /held answers once it is let, /large sends much."""

    def __init__(self) -> None:
        self.letting = asyncio.Event()
        self.held = 0
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        match scope["path"]:
            case "/whole":
                message: Message = {"more_body": True}
                while message.get("more_body"):
                    message = await receive()
                if message["type"] == "http.disconnect":
                    self.left += 1
                    return
            case "/held":
                self.held += 1
                await self.letting.wait()
        await respond(send, 200, LARGE if scope["path"] == "/large" else b"ok")


Raw = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    def __init__(self, port: int, application: Application) -> None:
        self.port = port
        self.application = application

    async def connect(self, sent: bytes = b"") -> Raw:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        await writer.drain()
        return reader, writer

    async def get(self) -> int:
        """The status of a request over a new connection."""
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S, verify=False) as http:
            return (await http.get(f"http://127.0.0.1:{self.port}/quick")).status_code


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    application, port = Application(), free_port()
    task = asyncio.create_task(serve(application, host="127.0.0.1", port=port))
    server = Server(port, application)
    try:
        await until(lambda: _answers(server))
        yield server
    finally:
        application.letting.set()
        if not task.done():  # or the signal would end the run of the tests
            os.kill(os.getpid(), signal.SIGTERM)  # as it always ends
        await asyncio.wait_for(task, PATIENCE_S)


async def _answers(server: Server) -> bool:
    try:
        return await server.get() == 200
    except httpx.TransportError:
        return False


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await look():  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.02)


async def end_of(raw: Raw) -> bytes:
    """What comes until the server closes."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await raw[0].read()
    except ConnectionResetError:
        return b""
    finally:
        raw[1].close()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", ROOM)


@pytest.mark.parametrize("half", [b"", HALF_HEADER, HALF_BODY], ids=["silent", "header", "body"])
async def test_half_requests_do_not_keep_anybody_out(half: bytes) -> None:
    async with serving() as server:
        held = [await server.connect(half) for _ in range(ROOM * 5)]
        for _ in range(5):
            assert await server.get() == 200
        await asyncio.gather(*(_closed(each) for each in held))


async def _closed(raw: Raw) -> None:
    raw[1].close()
    with suppress(ConnectionResetError):
        await raw[1].wait_closed()


async def test_the_one_that_waits_longest_makes_room_and_whoever_asked_is_answered() -> None:
    async with serving() as server:
        working = [await server.connect(GET.replace(b"quick", b"held")) for _ in range(ROOM - 2)]
        await until(lambda: _is(server.application.held == ROOM - 2))
        first = await server.connect(HALF_HEADER)
        second = await server.connect(HALF_HEADER)
        third = await server.connect(GET)
        assert (await end_of(first)).startswith(b"HTTP/1.1 408 ")
        assert (await third[0].readline()) == b"HTTP/1.1 200 OK\r\n"
        fourth = await server.connect(GET)
        assert (await end_of(second)).startswith(b"HTTP/1.1 408 ")
        assert (await fourth[0].readline()) == b"HTTP/1.1 200 OK\r\n"
        fifth = await server.connect(GET)
        assert (await end_of(third)).endswith(b"ok")  # idle for longest, and its answer was sent
        assert (await fifth[0].readline()) == b"HTTP/1.1 200 OK\r\n"
        server.application.letting.set()
        for each in working:
            assert (await each[0].readline()) == b"HTTP/1.1 200 OK\r\n"
        for each in (*working, fourth, fifth):
            await _closed(each)


async def test_a_new_one_is_closed_where_all_are_working() -> None:
    async with serving() as server:
        working = [await server.connect(GET.replace(b"quick", b"held")) for _ in range(ROOM)]
        await until(lambda: _is(server.application.held == ROOM))
        assert await end_of(await server.connect(GET)) == b""
        server.application.letting.set()
        for each in working:
            assert (await each[0].readline()) == b"HTTP/1.1 200 OK\r\n"
            await _closed(each)
        assert await server.get() == 200


async def test_time_runs_out_for_half_a_request_and_for_an_answer_that_nobody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 2.0)
    monkeypatch.setattr(connections, "KEEP_ALIVE_S", 3.0)  # so that the silent one is the last
    async with serving() as server:
        in_header = await server.connect(HALF_HEADER)
        in_body = await server.connect(HALF_BODY)
        # What it is answered before its body is complete frees nobody of the rest.
        unread = await server.connect(HALF_BODY.replace(b"whole", b"quick"))
        behind = await server.connect(GET + HALF_HEADER)
        deaf = await server.connect(GET.replace(b"quick", b"large"))
        silent = await server.connect()
        assert (await end_of(in_header)).startswith(b"HTTP/1.1 408 ")
        assert await end_of(in_body) == b""
        assert server.application.left == 1
        for raw, said in ((unread, b"ok"), (behind, b"ok")):
            told = await end_of(raw)
            assert told.startswith(b"HTTP/1.1 200 ")
            assert said in told
        assert await end_of(silent) == b""
        assert len(await end_of(deaf)) < len(LARGE)
        assert await server.get() == 200


async def test_an_answer_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.3)
    monkeypatch.setattr(connections, "KEEP_ALIVE_S", 1.0)
    async with serving() as server:
        raw = await server.connect(GET.replace(b"quick", b"held"))
        await asyncio.sleep(2.5)  # past every limit, and two looks at them
        server.application.letting.set()
        assert (await raw[0].readline()) == b"HTTP/1.1 200 OK\r\n"
        await _closed(raw)


async def test_a_kept_connection_serves_request_after_request() -> None:
    async with serving() as server:
        reader, writer = raw = await server.connect()
        for _ in range(20):
            for part in (GET[:9], GET[9:], HALF_BODY, b"defghij", GET + GET):
                writer.write(part)
                await writer.drain()
            for _ in range(4):
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
                assert (await reader.readuntil(b"\r\n\r\nok")).endswith(b"ok")
        await _closed(raw)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /", b"a"),
        (HALF_HEADER, b"a"),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
        (b"POST /whole HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"a"),
    ],
    ids=["target", "value", "headers", "trailer"],
)
async def test_headers_without_end_are_refused(start: bytes, more: bytes) -> None:
    async with serving() as server:
        reader, writer = await server.connect(start)
        written = 0
        try:
            while written < 100 * BESIDE_BODY_BYTES_MAX and not reader.at_eof():
                writer.write(more * 1000)
                await writer.drain()
                written += len(more) * 1000
            told = await end_of((reader, writer))
        except ConnectionError:
            told = b""
        assert written < 100 * BESIDE_BODY_BYTES_MAX
        assert told == b"" or told.startswith(b"HTTP/1.1 431 ")
        assert await server.get() == 200


async def test_a_body_in_chunks_of_one_byte_is_taken() -> None:
    async with serving() as server:
        raw = await server.connect(
            b"POST /whole HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"1\r\nx\r\n" * 100_000
            + b"0\r\n\r\n"
        )
        assert (await end_of(raw)).endswith(b"ok")


async def test_what_is_no_http_is_counted_rather_than_logged_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving() as server:
        for _ in range(20):
            assert b"400 Bad Request" in await end_of(await server.connect(b"\x16\x03\x01\r\n\r\n"))
        upgrade = GET[:-2] + b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n"
        for _ in range(20):
            assert b" 200 OK" in await end_of(await server.connect(upgrade))
    said = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
    assert said == ["Invalid HTTP request received."]


def test_the_limit_on_files_is_raised_and_leaves_room_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 4096)
    no_limit = resource.RLIM_INFINITY
    cases = [
        ((1024, 524_288), 4096, (4096 + BESIDE, 524_288)),
        ((1024, no_limit), 4096, (4096 + BESIDE, no_limit)),
        ((1024, 1024), 1024 - BESIDE, (1024, 1024)),
        ((256, 256), 64, (256, 256)),
        ((1_000_000, 1_000_000), 4096, (1_000_000, 1_000_000)),
        ((no_limit, no_limit), 4096, (no_limit, no_limit)),
    ]
    for before, expected, after in cases:
        limits = [before]
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits[-1])
        monkeypatch.setattr(resource, "setrlimit", lambda _, new, limits=limits: limits.append(new))
        assert connections_max() == expected
        assert limits[-1] == after


async def _is(true: bool) -> bool:
    return true
