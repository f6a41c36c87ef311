"""A lingering pull on a real server: handed on as it arrives, bounded, and asked again if lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import _Reconnected, close, connect, when_reconnected
from offhook.jetstream.consuming import pull as pull_module
from offhook.jetstream.consuming.pull import EXPIRES_S, LOST_AFTER_S, Pull
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import STREAM, WORKER, consumer_configs
from offhook.jetstream.subjects import subject_of

TIMEOUT_S = 60.0
BATCH = 8
PATIENT = consumer_configs()[0].evolve(ack_wait=TIMEOUT_S)


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    with NatsServer() as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url])
        # A busy machine must not have what it has not acknowledged yet delivered again.
        await client.jetstream().add_consumer(STREAM, PATIENT)
        await close(client)
        yield server


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(server.url, "test")
    yield client
    await close(client)


async def opened(client: Client, room: Callable[[], int] | None = None) -> Pull:
    pull = await Pull.open(client, STREAM, WORKER, batch_max=BATCH, room=room)
    assert await pull.next(0.01) == []  # asks
    return pull


async def publish(client: Client, *names: str) -> None:
    for name in names:
        await client.jetstream().publish(subject_of(name, "in"), name.encode())


async def taken(pull: Pull, count: int) -> list[str]:
    """The next so many messages' bodies, acknowledged."""
    messages: list[Msg] = []
    async with asyncio.timeout(TIMEOUT_S):
        while len(messages) < count:
            messages += await pull.next(EXPIRES_S)
    for message in messages:
        await message.ack()
    return [message.data.decode() for message in messages]


async def test_a_message_is_handed_on_at_once_though_more_were_asked_for(client: Client) -> None:
    pulls = [await opened(client), await opened(client)]
    for name in ("a", "b", "c", "d"):
        nexts = [asyncio.create_task(pull.next(TIMEOUT_S)) for pull in pulls]
        await publish(client, name)
        await asyncio.wait(nexts, return_when=asyncio.FIRST_COMPLETED)
        (done,) = (each for each in nexts if each.done())
        assert [message.data for message in done.result()] == [name.encode()]
        for each in nexts:
            each.cancel()
    for pull in pulls:
        await pull.close()


async def test_a_burst_is_shared_out_and_nobody_gets_more_than_there_is_room_for(
    client: Client,
) -> None:
    rooms = [4, 2]
    pulls = [await opened(client, lambda: rooms[0]), await opened(client, lambda: rooms[1])]
    await publish(client, *(f"s{number}" for number in range(10)))
    async with asyncio.timeout(TIMEOUT_S):
        while [pull.waiting for pull in pulls] != rooms:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    rooms[:] = [0, 0]
    first = await taken(pulls[0], 4) + await taken(pulls[1], 2)
    await asyncio.sleep(EXPIRES_S / 2)
    assert [pull.waiting for pull in pulls] == [0, 0]
    rooms[1] = 4
    pulls[1].look()
    assert sorted(first + await taken(pulls[1], 4)) == [f"s{number}" for number in range(10)]
    for pull in pulls:
        await pull.close()


async def test_what_arrives_at_once_has_a_bound_in_bytes(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pull_module, "REQUEST_BYTES_MAX", 100_000)
    names = [str(number) * 40_000 for number in range(BATCH)]
    pull = await opened(client)
    await publish_bodies(client, *names)
    async with asyncio.timeout(TIMEOUT_S):
        while pull.waiting < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(EXPIRES_S / 2)  # for what should not come
    assert 3 <= pull.waiting <= 5  # two in a request, and another one is sent below the bound
    assert await taken(pull, BATCH) == names
    assert caplog.records == []
    await pull.close()


async def test_a_request_that_was_served_in_full_is_no_refusal(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    pull = await opened(client)
    names = [f"s{number}" for number in range(10 * BATCH)]
    await publish(client, *names)
    assert await taken(pull, len(names)) == names
    assert caplog.records == []
    assert pull._pause_until == 0, "the next request was put off"
    await pull.close()


async def publish_bodies(client: Client, *bodies: str) -> None:
    for body in bodies:
        await client.jetstream().publish(subject_of("s", "in"), body.encode())


async def test_requests_go_on_when_they_expire(client: Client) -> None:
    pull = await opened(client)
    await asyncio.sleep(2.5 * EXPIRES_S)
    await publish(client, "a")
    assert await taken(pull, 1) == ["a"]
    await pull.close()


async def test_after_a_restart_of_the_server_the_next_request_is_sent_at_once(
    server: NatsServer, client: Client
) -> None:
    pull = await opened(client)
    reconnected = asyncio.Event()
    forget = when_reconnected(client, reconnected.set)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(TIMEOUT_S):
        await reconnected.wait()
    await publish(client, "a")
    assert await taken(pull, 1) == ["a"]
    forget()
    await pull.close()


async def test_a_deleted_consumer_is_asked_again_until_it_is_back(client: Client) -> None:
    pull = await opened(client)
    await client.jetstream().delete_consumer(STREAM, WORKER)
    assert await pull.next(2 * EXPIRES_S) == []
    await client.jetstream().add_consumer(STREAM, PATIENT)
    await publish(client, "a")
    assert await taken(pull, 1) == ["a"]
    await pull.close()


async def test_a_request_that_gets_lost_is_sent_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    async def lose(subject: str, *args: Any, **more: Any) -> None:
        lost.append(subject)

    started = time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(client, "publish", lose)
        pull = await opened(client)
    await publish(client, "a")
    assert await taken(pull, 1) == ["a"]
    assert lost
    assert time.monotonic() - started > LOST_AFTER_S / 2, "the first request was not lost"
    await pull.close()


async def test_a_stopped_pull_hands_on_what_has_arrived_and_leaves_the_rest_to_others(
    client: Client,
) -> None:
    pull = await opened(client)
    await publish(client, "a")
    async with asyncio.timeout(TIMEOUT_S):
        while not pull.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    pull.stop()
    resting = asyncio.create_task(pull.rest())
    (message,) = await pull.next(TIMEOUT_S)
    assert not resting.done()
    async with asyncio.timeout(TIMEOUT_S):
        while not resting.done():
            assert await pull.next(EXPIRES_S) == []
    await message.nak()
    await publish(client, "b")
    assert await pull.next(EXPIRES_S) == []
    other = await Pull.open(client, STREAM, WORKER, batch_max=BATCH)
    assert sorted(await taken(other, 2)) == ["a", "b"]
    await pull.close()
    await other.close()


async def test_on_a_closed_connection_waiting_lets_other_work_run(client: Client) -> None:
    pull = await opened(client)
    await client.close()
    started = time.monotonic()
    assert await pull.next(0.1) == []
    assert time.monotonic() - started >= 0.1
    await pull.close()


async def test_a_closed_pull_is_no_longer_called_when_the_client_reconnects(
    client: Client,
) -> None:
    pull = await opened(client)
    reconnected = client._reconnected_cb
    assert isinstance(reconnected, _Reconnected)
    assert len(reconnected.calls) == 1
    await pull.close()
    assert not reconnected.calls
