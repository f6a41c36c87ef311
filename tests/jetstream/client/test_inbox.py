"""The reply inbox on a real server: answers find their request, and nothing is left behind."""

import asyncio
from contextlib import suppress

import pytest
from nats.aio.msg import Msg
from nats.errors import BadSubjectError

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.stream import MESSAGE_BYTES_MAX
from tests.frozen import frozen

TIMEOUT_S = 60.0


async def test_many_requests_at_once_get_their_own_answers(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")
    inbox = Inbox(client)

    async def echo(message: Msg) -> None:
        await message.respond(message.data)

    await client.subscribe("echo", cb=echo)
    asked = [str(number).encode() for number in range(200)]

    answers = await asyncio.gather(*(inbox.request("echo", body, {}, TIMEOUT_S) for body in asked))

    assert [answer.data for answer in answers] == asked
    assert inbox.waiting == 0
    await close(client)


async def test_records_of_the_full_size_fit_side_by_side(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")
    inbox = Inbox(client)

    async def measure(message: Msg) -> None:
        await message.respond(str(len(message.data)).encode())

    await client.subscribe("measure", cb=measure)
    body = b"x" * MESSAGE_BYTES_MAX
    answers = await asyncio.gather(
        *(inbox.request("measure", body, {}, TIMEOUT_S) for _ in range(2))
    )
    assert [answer.data for answer in answers] == [str(len(body)).encode()] * 2
    await close(client)


async def test_a_request_without_an_answer_times_out_and_is_forgotten(
    nats_server: NatsServer,
) -> None:
    client = await connect(nats_server.url, "test")
    inbox = Inbox(client)

    async def silent(message: Msg) -> None: ...

    await client.subscribe("silent", cb=silent)

    with pytest.raises(TimeoutError):
        await inbox.request("silent", b"", {}, 0.05)

    assert inbox.waiting == 0
    await close(client)


async def test_a_server_that_reads_nothing_holds_up_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No unanswered ping ends the connection, and with it what waits for the server.
    monkeypatch.setattr("offhook.jetstream.client.connection.PING_INTERVAL_S", 3600)
    with NatsServer() as server:
        client = await connect(server.url, "test")
        inbox = Inbox(client)
        await inbox.request("nobody.listens", b"", {}, TIMEOUT_S)
        with frozen(server.pid):
            # 64 MB: more than socket and buffers take, so that a publish would wait for the server.
            async with asyncio.timeout(TIMEOUT_S):
                asked = []
                for _ in range(128):
                    request = inbox.request("silent", bytes(500_000), {}, 0.5)
                    asked.append(asyncio.create_task(request))
                    await asyncio.sleep(0.001)
                answers = await asyncio.gather(*asked, return_exceptions=True)
                with pytest.raises(TimeoutError):
                    async with inbox.answers("silent", bytes(500_000)):
                        pass

        assert [answer for answer in answers if not isinstance(answer, TimeoutError)] == []
        assert inbox.waiting == 0
        async with asyncio.timeout(TIMEOUT_S):
            while True:  # until what was sent is read
                with suppress(TimeoutError):
                    await inbox.request("nobody.listens", b"", {}, 1.0)
                    break
                await asyncio.sleep(0.05)
        await close(client)


async def test_a_request_that_is_cancelled_is_forgotten(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")
    inbox = Inbox(client)
    await client.subscribe("silent")
    task = asyncio.create_task(inbox.request("silent", b"", {}, TIMEOUT_S))
    async with asyncio.timeout(TIMEOUT_S):
        while inbox.waiting == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert inbox.waiting == 0
    await close(client)


async def test_a_server_that_nobody_listens_on_answers_without_data(
    nats_server: NatsServer,
) -> None:
    client = await connect(nats_server.url, "test")

    answer = await Inbox(client).request("nobody.listens", b"", {}, TIMEOUT_S)

    assert answer.data == b""
    assert (answer.headers or {}).get("Status") == "503"
    await close(client)


async def test_headers_arrive_as_nats_py_sends_them(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")
    arrived: list[Msg] = []

    async def keep(message: Msg) -> None:
        arrived.append(message)
        await message.respond(b"kept")

    await client.subscribe("headers", cb=keep)
    plain = {"Nats-Msg-Id": "id-1", "telnyx-timestamp": "1763784600", "Name": "Zoë"}
    for headers in (plain, {"Two-Lines": "one\r\nInjected: two"}):
        await Inbox(client).request("headers", b"body", headers, TIMEOUT_S)
        await client.publish("headers", b"body", reply="nobody", headers=dict(headers))
    await client.flush()
    while len(arrived) < 4:  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    assert [message.data for message in arrived] == [b"body"] * 4
    ours, theirs = arrived[::2], arrived[1::2]
    assert [message.headers for message in ours] == [message.headers for message in theirs]
    assert ours[0].headers == plain
    assert "Injected" not in (ours[1].headers or {})
    await close(client)


async def test_a_subject_that_would_be_two_words_is_refused(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")

    with pytest.raises(BadSubjectError):
        await Inbox(client).request("two words", b"", {}, TIMEOUT_S)

    await close(client)
