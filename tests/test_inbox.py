"""The reply inbox on a real server: answers find their request, and nothing is left behind."""

import asyncio

import pytest
from nats.aio.msg import Msg

from cli.servers import NatsServer
from offhook.jetstream.connection import close, connect
from offhook.jetstream.inbox import Inbox

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
