"""Requests to the carrier over HTTP, and what happens when there is no answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest

from offhook.errors import SettingInvalid
from offhook.events import IssuedCommand
from offhook.telnyx import client
from offhook.telnyx.client import Carrier
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused
from tests.offhook.telnyx.answers import OK, errors, summary

TIMEOUT_S = 60.0

# ------------------------------------------------------------------ over HTTP

Handler = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]
HANG_UP = IssuedCommand(
    command_id="c-1",
    operation="hangup",
    call_control_id="v3:a/b",
    parameters={"client_state": "YQ=="},
)
DIAL = IssuedCommand(
    command_id="c-2",
    operation="dial",
    parameters={"to": "+12025550123", "from": "+12025550199", "connection_id": "1"},
)


def carrier(handler: Handler, timeout_s: float = 5.0) -> Carrier:
    return Carrier(
        base_url="https://carrier.example/v2",
        key="KEY1",
        timeout_s=timeout_s,
        transport=httpx.MockTransport(handler),
    )


def answering(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Handler:
    async def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body, headers=headers)

    return handler


def raising(error: Exception) -> Handler:
    async def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


async def test_a_command_is_sent_as_the_documents_say() -> None:
    seen: list[httpx.Request] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=OK)

    async with carrier(handler) as telnyx:
        assert await telnyx.send(HANG_UP) == Accepted(status=200, answer=json.loads(OK))
        await telnyx.send(DIAL)
    hang_up, dial = seen
    assert hang_up.method == "POST"
    assert str(hang_up.url) == "https://carrier.example/v2/calls/v3:a%2Fb/actions/hangup"
    assert json.loads(hang_up.content) == {"client_state": "YQ==", "command_id": "c-1"}
    assert hang_up.headers["authorization"] == "Bearer KEY1"
    assert hang_up.headers["content-type"] == "application/json"
    assert str(dial.url) == "https://carrier.example/v2/calls"
    assert json.loads(dial.content) == {**DIAL.parameters, "command_id": "c-2"}


@pytest.mark.parametrize("key", ["", "KEY 1", "KEY1\n", "KEYé"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(SettingInvalid, match=r"^OFFHOOK_CARRIER_KEY is ") as raised:
        Carrier(base_url="https://carrier.example/v2", key=key, timeout_s=1.0)
    assert "KEY1" not in str(raised.value)


async def test_sending_is_one_try() -> None:
    tries = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal tries
        tries += 1
        return httpx.Response(503)

    async with carrier(handler) as telnyx:
        assert await telnyx.send(DIAL) == NoAnswer(detail="503")
    assert tries == 1


async def test_a_repeated_command_is_judged_as_one() -> None:
    async with carrier(answering(422, errors("10012"))) as telnyx:
        assert isinstance(await telnyx.send(DIAL), Refused)
        assert isinstance(await telnyx.send(DIAL, repeated=True), Accepted)


async def test_the_wait_of_a_busy_carrier_is_read_from_its_headers() -> None:
    headers = {"X-RateLimit-Reset": "4"}
    async with carrier(answering(429, errors("10011"), headers)) as telnyx:
        assert summary(await telnyx.send(DIAL)) == ("busy", 4.0, "429 10011 T10011")


@pytest.mark.parametrize(
    ("error", "maybe_taken", "detail"),
    [
        (httpx.ConnectError("refused"), False, "ConnectError: refused"),
        (httpx.ConnectTimeout("slow"), False, "ConnectTimeout: slow"),
        (httpx.PoolTimeout("full"), False, "PoolTimeout: full"),
        (httpx.ReadTimeout(""), True, "ReadTimeout"),
        (httpx.WriteError("broken pipe"), True, "WriteError: broken pipe"),
        (httpx.RemoteProtocolError("gone"), True, "RemoteProtocolError: gone"),
    ],
)
async def test_no_answer_says_whether_the_carrier_may_have_it(
    error: Exception, maybe_taken: bool, detail: str
) -> None:
    async with carrier(raising(error)) as telnyx:
        assert await telnyx.send(DIAL) == NoAnswer(detail=detail, maybe_taken=maybe_taken)


async def test_a_slow_carrier_is_given_up_after_the_time_out() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    async with carrier(handler, timeout_s=0.05) as telnyx, asyncio.timeout(TIMEOUT_S):
        assert await telnyx.send(DIAL) == NoAnswer(detail="TimeoutError")


async def test_being_cancelled_is_no_answer_to_swallow() -> None:
    started = asyncio.Event()

    async def handler(request: httpx.Request) -> httpx.Response:
        started.set()
        await asyncio.sleep(60)
        return httpx.Response(200)

    async with carrier(handler) as telnyx:
        sending = asyncio.create_task(telnyx.send(DIAL))
        await started.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


@pytest.mark.parametrize(
    "url", ["", "carrier.example/v2", "ftp://carrier.example/v2", "http:///v2"]
)
def test_an_address_that_no_request_can_have_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid, match=r"^OFFHOOK_CARRIER_URL is '.*'; expected http://"):
        Carrier(base_url=url, key="K", timeout_s=1.0)


# A body that breaks off after the status line, on a real socket.


@asynccontextmanager
async def served(head: bytes, *, hangs_up: bool = True) -> AsyncIterator[str]:
    """The address of a server that answers one request with `head`, and may leave it at that."""
    connections: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        if not hangs_up:
            await reader.read()  # until the other side has had enough
        writer.close()
        await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield f"http://{host}:{port}/v2"
    await asyncio.gather(*connections, return_exceptions=True)


CUT = b"\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n" + b'{"data":{"call'


CUT_OFF: list[tuple[bytes, Outcome]] = [
    (b"HTTP/1.1 200 OK", Accepted(status=200, note="its answer could not be read")),
    (
        b"HTTP/1.1 422 Unprocessable",
        NoAnswer(detail="422, but the answer's body was lost", maybe_taken=False),
    ),
    (
        b"HTTP/1.1 401 Unauthorized",
        NoAnswer(detail="401, but the answer's body was lost", maybe_taken=False),
    ),
    (b"HTTP/1.1 429 Busy", Busy(retry_after_s=1.0, detail="429")),
    (b"HTTP/1.1 503 Unavailable", NoAnswer(detail="503")),
]


@pytest.mark.parametrize("hangs_up", [True, False], ids=["cut off", "too late"])
async def test_the_status_line_counts_although_the_body_breaks_off(hangs_up: bool) -> None:
    """All at once: what comes too late is waited for until the time of the try is over."""

    async def outcome_of(status_line: bytes) -> Outcome:
        timeout_s = TIMEOUT_S if hangs_up else 5.0
        async with (
            served(status_line + CUT, hangs_up=hangs_up) as address,
            Carrier(base_url=address, key="K", timeout_s=timeout_s) as telnyx,
        ):
            return await telnyx.send(DIAL)

    found = await asyncio.gather(*(outcome_of(line) for line, _ in CUT_OFF))
    assert list(found) == [outcome for _, outcome in CUT_OFF]


async def test_a_port_where_nobody_listens_certainly_took_nothing() -> None:
    async with served(b"") as address:
        pass
    async with Carrier(base_url=address, key="K", timeout_s=TIMEOUT_S) as telnyx:
        outcome = await telnyx.send(DIAL)
    assert isinstance(outcome, NoAnswer)
    assert not outcome.maybe_taken


async def test_a_try_that_is_cut_off_at_any_moment_takes_no_connection_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "CONNECTIONS_MAX", 1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with (
        server,
        Carrier(base_url=f"http://{host}:{port}/v2", key="K", timeout_s=TIMEOUT_S) as telnyx,
    ):
        for turns in range(40):
            sending = asyncio.create_task(telnyx.send(DIAL))
            for _ in range(turns):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            outcome = await telnyx.send(DIAL)
            assert isinstance(outcome, Accepted), f"{outcome}, cut off in turn {turns}"
