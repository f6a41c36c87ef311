"""Marks of sessions that left the log: found however many there are, and never lost."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig, StreamInfo
from nats.js.client import JetStreamContext

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import LogUnavailable
from offhook.jetstream import archived
from offhook.jetstream.archived import ARCHIVED, ArchivedMarks, archived_config
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.provisioning.provision import provision

NAMES = [f"session-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def client(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(archived, "BUCKETS", 4)
    monkeypatch.setattr(archived, "ABSENT_S", 0.01)
    monkeypatch.setattr(archived, "PAUSE_S", 0.01)
    client = await connect(server.url, "test")
    await provision(client, [server.monitor_url], partitions=1)
    yield client
    if await ArchivedMarks(client)._exists():
        await client.jetstream().delete_stream(ARCHIVED)
    await close(client)


async def found(client: Client) -> set[str]:
    marks = ArchivedMarks(client)
    return {each for each in [*NAMES, "another"] if await marks.contains(each)}


async def messages(client: Client) -> int:
    return (await client.jetstream().stream_info(ARCHIVED)).state.messages


async def last_seq(client: Client) -> int:
    return (await client.jetstream().stream_info(ARCHIVED)).state.last_seq


async def test_a_bucket_has_one_message_however_many_sessions_are_marked(client: Client) -> None:
    marks = ArchivedMarks(client)
    assert await found(client) == set()
    for some in (NAMES[:1], NAMES[:20], NAMES):
        await marks.add(some)
        assert await found(client) == set(some)
    assert await messages(client) == 4
    before = await last_seq(client)
    await marks.add(NAMES[5:])
    assert await last_seq(client) == before, "they were there"


async def test_two_runs_at_once_lose_no_mark(client: Client) -> None:
    await ArchivedMarks(client).add([])
    await asyncio.gather(*(ArchivedMarks(client).add(NAMES[at::4]) for at in range(4)))
    assert await found(client) == set(NAMES)
    assert await messages(client) == 4


async def test_a_bucket_that_others_change_all_the_time_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taken(*_: object) -> int:
        return 0

    monkeypatch.setattr(ArchivedMarks, "_replaced", taken)
    with pytest.raises(LogUnavailable, match="is changed by others all the time"):
        await ArchivedMarks(client).add(NAMES[:1])


class Killed(Exception):
    pass


async def earlier_version(client: Client, names: list[str]) -> None:
    """A message for each mark."""
    config = archived_config(1).evolve(max_msgs_per_subject=-1)
    await client.jetstream().add_stream(config)
    for name in names:
        await client.jetstream().publish(archived._subject(name), archived._digest(name))


async def test_marks_of_an_earlier_version_are_found_and_put_together(client: Client) -> None:
    await earlier_version(client, NAMES[:30])
    assert await found(client) == set(NAMES[:30])
    await ArchivedMarks(client).add(NAMES[25:35])
    assert await found(client) == set(NAMES[:35])
    assert await messages(client) == 4
    assert (await client.jetstream().stream_info(ARCHIVED)).config.max_msgs_per_subject == 1


@pytest.mark.parametrize("fault", ["a read that ends early", "a mark that comes meanwhile"])
async def test_marks_that_were_not_read_are_not_removed(
    fault: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await earlier_version(client, NAMES[:30])
    marks = ArchivedMarks(client)
    read, replaced = marks._messages, marks._replaced

    async def too_few(subject: str) -> AsyncIterator[Msg]:
        async for message in read(subject):
            if subject != ">" or int((message.headers or {})["Nats-Sequence"]) < 5:
                yield message

    async def beside_another(subject: str, digests: Collection[bytes], last_seq: int) -> int:
        seq = await replaced(subject, digests, last_seq)
        await client.jetstream().publish(subject, archived._digest(NAMES[35]))
        return seq

    with monkeypatch.context() as patched:
        if fault == "a read that ends early":
            patched.setattr(marks, "_messages", too_few)
        else:
            patched.setattr(marks, "_replaced", beside_another)
        with pytest.raises(LogUnavailable, match="was changed while its marks were put together"):
            await marks.add(NAMES[30:31])
    assert await found(client) >= set(NAMES[:30])
    await marks.add(NAMES[30:])
    assert await found(client) == set(NAMES)


async def test_a_stream_that_is_gone_is_a_log_that_does_not_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = ArchivedMarks(client)
    await marks.add(NAMES[:1])
    made = await marks._stream()
    await client.jetstream().delete_stream(ARCHIVED)

    async def stream() -> StreamInfo:
        return made

    monkeypatch.setattr(marks, "_stream", stream)
    with pytest.raises(LogUnavailable, match="does not answer a read"):
        await marks.add(NAMES[1:2])


async def test_to_be_killed_while_they_are_put_together_loses_none(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await earlier_version(client, NAMES[:30])

    async def killed(self: JetStreamContext, config: StreamConfig) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(JetStreamContext, "update_stream", killed)
        with pytest.raises(Killed):
            await ArchivedMarks(client).add(NAMES[30:])
    assert await messages(client) == 34
    assert await found(client) == set(NAMES[:30])
    await ArchivedMarks(client).add(NAMES[30:])
    assert await found(client) == set(NAMES)
    assert await messages(client) == 4
