"""What leaves the log may have left it before, wherever it was, and leaves no bytes behind."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encoded_webhook
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.retention import (
    BLOCK_BYTES_MAX,
    PURGED_SPAN_MAX,
    Retention,
    near_others,
)
from offhook.jetstream.subjects import Side
from tests.projections.story import call


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(server.url, "test")
    await provision(client, [server.monitor_url], partitions=1)
    yield client
    await close(client)


async def test_deleting_again_finds_nothing_to_delete(client: Client) -> None:
    log, retention = JetStreamLog(client), Retention(client)
    for entry in call("s1"):
        await log.append("s1", entry.side, entry.encoded)
    positions = [each.seq for each in await retention.read("s1")]
    first, middle, last = min(positions), sorted(positions)[5], max(positions)
    assert await retention.delete([first, middle, last]) == 3
    assert await retention.delete([first, middle, last, last + 100]) == 0
    assert await retention.delete(positions) == len(positions) - 3
    assert await retention.delete(positions) == 0


async def test_what_is_not_overwritten_is_gone_with_its_file(
    server: NatsServer, client: Client
) -> None:
    log, retention = JetStreamLog(client), Retention(client)
    size = BLOCK_BYTES_MAX // 32
    sizes: dict[int, int] = {}
    for number in range(160):
        word = b"private" if 0 < number < 159 else b"to stay"
        body = b'{"here": "%s"}' % (word * (size // 7 + 1))
        appended = await log.append("s1", "in", encoded_webhook(body, f"event-{number}"))
        sizes[appended.seq] = size
    first, *others, last = sorted(sizes)
    # One left the log before, and must not divide the others.
    await retention.delete([others.pop(60)], overwritten=())
    overwritten = await retention.to_overwrite({each: sizes[each] for each in others})
    assert overwritten == {*others[:32], *others[-32:]}
    assert await retention.delete(others, overwritten=overwritten) == len(others)
    assert [each.seq for each in await retention.read("s1")] == [first, last]
    files = [*server.directory.rglob("*.blk")]
    assert files
    assert not any(b"private" in file.read_bytes() for file in files)


async def test_what_is_purged_is_gone_with_its_file(server: NatsServer, client: Client) -> None:
    log, retention = JetStreamLog(client), Retention(client)
    body = b'{"here": "%s"}' % (b"private" * (BLOCK_BYTES_MAX // 32 // 7))
    await log.append("first", "in", encoded_webhook(b'{"here": "to stay"}', "event"))
    positions: dict[str, list[int]] = {"s1": [], "s2": []}
    for number in range(80):
        for session_id, found in positions.items():
            side: Side = "out" if number % 4 == 0 else "in"
            encoded = encoded_webhook(body, f"{session_id}-{number}")
            found.append((await log.append(session_id, side, encoded)).seq)
    for number in range(64):
        stays = encoded_webhook(body.replace(b"private", b"to stay"), f"stays-{number}")
        await log.append("last", "in", stays)
    for session_id, found in positions.items():
        await retention.delete_session(session_id, found, overwritten=())
        assert await retention.read(session_id) == []
    assert len(await retention.read("last")) == 64
    files = [*server.directory.rglob("*.blk")]
    assert files
    # What was before and after them shares a file with some, and was not asked to be overwritten.
    assert sum(b"private" in file.read_bytes() for file in files) <= 2


@pytest.mark.parametrize("span_max", [0, PURGED_SPAN_MAX])
@pytest.mark.parametrize("overwritten", [(), range(3, 12)])
async def test_of_a_session_that_is_deleted_what_came_later_stays(
    client: Client, monkeypatch: pytest.MonkeyPatch, span_max: int, overwritten: Sequence[int]
) -> None:
    monkeypatch.setattr("offhook.jetstream.retention.PURGED_SPAN_MAX", span_max)
    log, retention = JetStreamLog(client), Retention(client)
    positions: list[int] = []
    for number in range(24):
        encoded = encoded_webhook(b'{"here": "one"}', f"event-{number}")
        positions.append((await log.append("s1", "out" if number % 3 else "in", encoded)).seq)
        await log.append("s2", "in", encoded_webhook(b'{"here": "another"}', f"other-{number}"))
    gone, kept = positions[:16], positions[16:]
    other = await retention.read("s2")
    await retention.delete_session("s1", gone, overwritten=overwritten)
    assert sorted(each.seq for each in await retention.read("s1")) == kept
    await retention.delete_session("s1", gone, overwritten=overwritten)
    assert sorted(each.seq for each in await retention.read("s1")) == kept
    assert await retention.read("s2") == other


@pytest.mark.parametrize("backlog_max", [2, 3])
async def test_nothing_is_purged_while_a_consumer_is_far_behind(
    client: Client, monkeypatch: pytest.MonkeyPatch, backlog_max: int
) -> None:
    """After each purge nats-server counted all that the consumer had still to deliver."""
    monkeypatch.setattr("offhook.jetstream.retention.BACKLOG_MAX", backlog_max)
    log, retention = JetStreamLog(client), Retention(client)
    for number in range(3):  # nobody consumes them
        await log.append("s1", "in", encoded_webhook(b'{"here": "one"}', f"event-{number}"))
    positions = [each.seq for each in await retention.read("s1")]
    asked: list[str] = []
    ask = Retention._ask

    async def noted(self: Retention, subject: str, words: Mapping[str, Any]) -> object:
        asked.append(subject.split(".")[3])
        return await ask(self, subject, words)

    monkeypatch.setattr(Retention, "_ask", noted)
    await retention.delete_session("s1", positions, overwritten=())
    assert await retention.read("s1") == []
    ways = {each for each in asked if each in ("PURGE", "MSG")}
    assert ways == ({"MSG"} if backlog_max < len(positions) else {"PURGE"})


def test_records_that_may_share_a_block_with_others_are_those_near_them() -> None:
    half = BLOCK_BYTES_MAX // 2
    sizes = dict.fromkeys(range(10, 20), half)
    assert near_others(range(10, 20), sizes) == {10, 11, 18, 19}
    assert near_others(range(10, 20), sizes, is_first=True) == {18, 19}
    assert near_others(range(10, 14), sizes) == {10, 11, 12, 13}
    assert near_others([], sizes) == set()
