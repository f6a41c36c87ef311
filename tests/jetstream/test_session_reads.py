"""What is read of a session: all of it, its tail, a few records, one, or how many there are."""

import asyncio
from datetime import timedelta

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.events import (
    CommandRequested,
    Decided,
    IssuedCommand,
    Record,
    WebhookReceived,
)
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import EventLog, JetStreamLog, pages
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.reads import Counted
from tests.jetstream.event_logs import answered, decided, log, new_session, server

__all__ = ["log", "server"]


async def test_a_session_without_records_reads_empty(log: EventLog) -> None:
    assert list(await log.read(new_session())) == []


async def test_both_sides_read_in_the_order_of_the_log(log: EventLog) -> None:
    session = new_session()
    first = await log.append(
        session, "in", encoded_webhook(answered(f"{session}-1"), f"{session}-1")
    )
    second = await log.append(session, "out", encode(decided(session, first.seq), session))
    third = await log.append(
        session, "in", encoded_webhook(answered(f"{session}-2"), f"{session}-2")
    )

    records = await log.read(session)

    assert [record.seq for record in records] == [first.seq, second.seq, third.seq]
    kinds = [type(record.fact) for record in records]
    assert kinds == [WebhookReceived, Decided, WebhookReceived]
    assert {record.session_id for record in records} == {session}
    assert records[0].fact_id == f"{session}-1"
    assert all(record.stored_at.tzinfo is not None for record in records)


async def test_a_read_after_a_sequence_gives_the_rest(log: EventLog) -> None:
    session = new_session()
    ids = [f"{session}-{number}" for number in range(4)]
    placed = [await log.append(session, "in", encoded_webhook(answered(i), i)) for i in ids]

    tail = await log.read(session, in_after=placed[1].seq)

    assert [record.fact_id for record in tail] == ids[2:]


async def test_a_few_records_of_each_side_are_read_after_a_position(log: EventLog) -> None:
    session, other = new_session(), new_session()
    for number in range(4):
        for name in (session, other):
            event_id = f"{name}-{number}"
            webhook = await log.append(name, "in", encoded_webhook(answered(event_id), event_id))
            await log.append(name, "out", encode(decided(name, webhook.seq), name))
    records = await log.read(session)

    async def few(in_after: int, out_after: int, in_count: int, out_count: int) -> list[int]:
        found = await log.read_few(
            session,
            in_after=in_after,
            out_after=out_after,
            in_count=in_count,
            out_count=out_count,
        )
        return [records.index(each) for each in found]

    assert await few(0, 0, 1, 0) == [0]
    assert await few(0, 0, 2, 3) == [0, 1, 2, 3, 5]
    assert await few(records[2].seq, records[1].seq, 1, 2) == [3, 4, 5]
    assert await few(records[4].seq, records[5].seq, 5, 5) == [6, 7]
    assert await few(records[6].seq, records[7].seq, 1, 1) == []


async def test_one_record_is_read_by_its_position(log: EventLog) -> None:
    session, other = new_session(), new_session()
    encoded = encode(
        CommandRequested(command=IssuedCommand(command_id="c", operation="x")), session
    )
    positions = [
        (await log.append(session, "in", encoded_webhook(answered("at"), "at"))).seq,
        (await log.append(session, "in", encoded)).seq,
    ]
    found = [await log.record_at(session, each) for each in positions]
    assert found == await log.read(session)
    assert await log.record_at(other, positions[0]) is None
    assert await log.record_at(session, positions[1] + 100_000) is None


@pytest.mark.usefixtures("patient_reads")
async def test_a_session_began_with_its_first_record(log: EventLog) -> None:
    session, other = new_session(), new_session()
    for name, number in ((other, 0), (session, 1), (session, 2)):
        webhook = await log.append(
            name, "in", encoded_webhook(answered(f"{name}-{number}"), f"{name}-{number}")
        )
        await log.append(name, "out", encode(decided(name, webhook.seq), name))
    began_at = await log.began_at(session)
    assert began_at is not None
    # NATS says it to the nanosecond.
    assert abs(began_at - (await log.read(session))[0].stored_at) <= timedelta(microseconds=1)
    assert await log.began_at(new_session()) is None


@pytest.mark.usefixtures("patient_reads")
async def test_records_are_counted_by_side(log: EventLog) -> None:
    session, other, unknown = new_session(), new_session(), new_session()
    for name, events in ((session, 3), (other, 2)):
        for number in range(events):
            event_id = f"{name}-{number}"
            webhook = await log.append(name, "in", encoded_webhook(answered(event_id), event_id))
    last = await log.append(other, "out", encode(decided(other, webhook.seq), other))
    for name, of_in, of_out in ((session, 3, 0), (other, 2, 1), (unknown, 0, 0)):
        counted = Counted(in_count=of_in, out_count=of_out, until=last.seq)
        assert await log.counted(name) == counted


class RestrictedServer(NatsServer):
    """Whose user `restricted` may not ask the API of JetStream, but for direct gets."""

    def _config(self) -> str:
        users = (
            "{user: all, password: all}, {user: restricted, password: restricted,"
            ' permissions: {publish: {deny: "$JS.API.STREAM.>"}}}'
        )
        return f"{super()._config()}authorization {{users: [{users}]}}\nno_auth_user: all\n"


async def test_a_record_is_read_although_the_api_may_not_be_asked() -> None:
    with RestrictedServer() as server:
        owner = await connect(server.url, "owner")
        await provision(owner, [server.monitor_url])
        session = new_session()
        appended = await JetStreamLog(owner).append(
            session, "in", encoded_webhook(answered("at"), "at")
        )
        client = await connect(server.url.replace("//", "//restricted:restricted@"), "restricted")
        log = JetStreamLog(client, partitions=1)
        for _ in range(2):
            assert await log.record_at(session, appended.seq) == (await log.read(session))[0]
            assert await log.counted(session) is None
            assert await log.began_at(session) is None
        await close(client)
        await close(owner)


async def test_an_unreadable_record_of_another_session_is_none_of_this_one(
    nats_server: NatsServer,
) -> None:
    client = await connect(nats_server.url, "test")
    await provision(client, [nats_server.monitor_url])
    log, session, other = JetStreamLog(client), new_session(), new_session()
    unknown = Encoded(type="FromTheFuture", version=1, fact_id="f", body=b"{}")
    position = (await log.append(other, "out", unknown)).seq
    assert await log.record_at(session, position) is None
    await close(client)


async def test_more_records_than_one_batch_are_all_read(log: EventLog) -> None:
    session = new_session()
    count = 2100
    for start in range(0, count, 300):
        await asyncio.gather(
            *(
                log.append(session, "in", encoded_webhook(answered(i), i))
                for i in (f"{session}-{number}" for number in range(start, start + 300))
            )
        )
    records = await log.read(session)
    assert len(records) == count
    assert [record.seq for record in records] == sorted({record.seq for record in records})


async def test_pages_are_all_that_a_read_returns(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_session()
    for number in range(10):
        await log.append(
            session, "in", encoded_webhook(answered(f"{session}-{number}"), f"{session}-{number}")
        )
    for number in range(4):
        await log.append(session, "out", encode(decided(session, number), session))
    whole = await log.read(session)
    for page_max in (3, 5, 100):
        monkeypatch.setattr("offhook.jetstream.log.READ_BATCH_MAX", page_max)
        read = [page async for page in pages(log, session)]
        assert sorted((each for page in read for each in page), key=seq_of) == list(whole)
        assert max(len(page) for page in read) <= 2 * page_max
        assert [list(page) for page in read] == [sorted(page, key=seq_of) for page in read]
    monkeypatch.setattr("offhook.jetstream.log.READ_BATCH_MAX", 3)
    rest = [each async for page in pages(log, session, in_after=whole[4].seq) for each in page]
    assert sorted(rest, key=seq_of) == list(whole)[5:]


def seq_of(record: Record) -> int:
    return record.seq


async def test_more_bytes_than_one_batch_are_all_read(log: EventLog) -> None:
    """The server ends a batch at 64 MB, whatever the number of records asked for."""
    session = new_session()
    count, body = 280, b" " * 250_000
    for start in range(0, count, 40):
        ids = [f"{session}-{number}" for number in range(start, start + 40)]
        await asyncio.gather(*(log.append(session, "in", encoded_webhook(body, i)) for i in ids))
    assert len(await log.read(session)) == count


async def test_sessions_are_read_over_the_connection_that_reads_least(
    server: tuple[int, NatsServer | None],
) -> None:
    partitions, nats = server
    if nats is None:
        return
    client, *readers = [await connect(nats.url, "test") for _ in range(3)]
    await provision(client, [nats.monitor_url], partitions=partitions)
    log, session = JetStreamLog(client, partitions=partitions, readers=readers), new_session()
    appended = await log.append(session, "in", encoded_webhook(answered("e"), "e"))
    await log.read(session)
    before = [each.stats["out_msgs"] for each in (client, *readers)]
    assert [each.seq for each in await log.read(session)] == [appended.seq]
    after = [each.stats["out_msgs"] for each in (client, *readers)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [0, 1, 1], "a side each"
    for reader in readers:
        await close(reader)
    assert [each.seq for each in await log.read(session)] == [appended.seq], "over the first"
    await close(client)
