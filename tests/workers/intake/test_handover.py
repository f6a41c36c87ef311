"""One worker asks another on a real server: who is there, and whose a delivery is afterwards."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.consuming.handed_over import HandedOverDelivery, Handover
from offhook.jetstream.consuming.pull import Pull
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import STREAM, WORKER, consumer_configs
from offhook.jetstream.subjects import subject_of, wake_subject
from offhook.workers.intake import handover
from offhook.workers.intake.delivery import Delivery
from offhook.workers.intake.handover import RECONNECTING_S, HandoverAnswer, OtherWorkers

TIMEOUT_S = 60.0


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    with NatsServer() as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url])
        # On a busy machine what is not acknowledged yet is not delivered again.
        patient = consumer_configs()[0].evolve(ack_wait=TIMEOUT_S)
        await client.jetstream().add_consumer(STREAM, patient)
        await close(client)
        yield server


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(server.url, "test")
    yield client
    await close(client)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is there has all the time to answer that a busy machine needs."""
    monkeypatch.setattr(handover, "ANSWER_S", TIMEOUT_S)


async def listening(client: Client, is_room: bool) -> list[Delivery]:
    """A worker `w2`, and the deliveries that it takes."""
    taken: list[Delivery] = []
    others = OtherWorkers(client)

    def take_over(session_id: str, deliveries: Sequence[Delivery]) -> bool:
        taken.extend(deliveries if is_room else [])
        return is_room

    async def on_wake(message: Msg) -> None:
        await others.answer(message, take_over)

    await client.subscribe(wake_subject("w2"), cb=on_wake)
    return taken


async def sent(client: Client) -> None:
    """Wait until the server has taken in all that the client has queued.

    `Client.flush` of nats-py writes its PING ahead of what is queued, so it does not show that.
    """
    await client.jetstream().account_info()


async def test_a_worker_that_is_gone_is_told_apart_from_one_that_is_frozen(
    server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = OtherWorkers(client)
    with monkeypatch.context() as patched:
        patched.setattr(handover, "ANSWER_S", TIMEOUT_S)
        assert await others.hand_over("w2", "s", []) is HandoverAnswer.GONE

    async def frozen(message: Msg) -> None: ...

    other = await connect(server.url, "other")
    await other.subscribe(wake_subject("w2"), cb=frozen)
    await sent(other)
    assert await others.hand_over("w2", "s", []) is HandoverAnswer.SILENT
    await other.close()
    async with asyncio.timeout(TIMEOUT_S):  # the server may see the end a moment later
        while await others.hand_over("w2", "s", []) is not HandoverAnswer.GONE:
            pass


@pytest.mark.usefixtures("unhurried")
async def test_a_worker_without_the_session_and_without_room_leaves_it_to_who_asks(
    client: Client,
) -> None:
    assert await listening(client, is_room=False) == []
    assert await OtherWorkers(client).hand_over("w2", "s", []) is HandoverAnswer.GONE


async def test_after_a_reconnection_a_worker_that_is_missing_may_be_reconnecting(
    server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    others = OtherWorkers(client, clock=lambda: now)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(TIMEOUT_S):
        while await others.hand_over("w2", "s", []) is HandoverAnswer.GONE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        while not client.is_connected or others._reconnected_at != now:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    monkeypatch.setattr(handover, "ANSWER_S", TIMEOUT_S)
    assert await others.hand_over("w2", "s", []) is HandoverAnswer.SILENT
    now += RECONNECTING_S
    assert await others.hand_over("w2", "s", []) is HandoverAnswer.GONE


@pytest.mark.usefixtures("unhurried")
async def test_a_delivery_is_answered_by_the_worker_that_took_it(
    server: NatsServer, client: Client
) -> None:
    other = await connect(server.url, "other")
    taken = await listening(other, is_room=True)
    await sent(other)
    await client.jetstream().publish(subject_of("s", "in"), b"")
    pull = await Pull.open(client, STREAM, WORKER, batch_max=8)
    (message,) = await pull.next(TIMEOUT_S)
    mine = HandedOverDelivery(client, Handover(session_id="s", reply=message.reply, seq=1, count=1))
    assert await OtherWorkers(client).hand_over("w2", "s", [mine]) is HandoverAnswer.TAKEN
    (theirs,) = taken
    assert (theirs.session_id, theirs.seq, theirs.count) == ("s", 1, 1)
    await theirs.in_progress()
    await theirs.nak(0)
    (again,) = await pull.next(TIMEOUT_S)
    assert again.metadata.num_delivered == 2
    mine = HandedOverDelivery(client, Handover(session_id="s", reply=again.reply, seq=1, count=2))
    assert await OtherWorkers(client).hand_over("w2", "s", [mine]) is HandoverAnswer.TAKEN
    await taken[-1].ack()
    await sent(other)
    async with asyncio.timeout(TIMEOUT_S):
        js = client.jetstream()
        while (await js.consumer_info(STREAM, WORKER)).num_ack_pending:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await pull.close()
    await close(other)


@pytest.mark.usefixtures("unhurried")
async def test_a_request_of_another_version_is_left_alone(client: Client) -> None:
    taken = await listening(client, is_room=True)
    await client.publish(wake_subject("w2"), b"a-session")
    await sent(client)
    assert await OtherWorkers(client).hand_over("w2", "s", []) is HandoverAnswer.TAKEN
    assert taken == []
