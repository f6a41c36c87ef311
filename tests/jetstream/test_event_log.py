"""One suite for the log: the stand-in and the real JetStream give the same answers."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import PositionTaken
from offhook.events import (
    CallAnswered,
    CommandRequested,
    Decided,
    IssuedCommand,
    Record,
    WebhookReceived,
)
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import EventLog, JetStreamLog, pages
from offhook.jetstream.message import (
    imported_from,
    imported_headers,
    stored_elsewhere_at,
    trace_headers,
)
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.reads import Counted
from offhook.jetstream.subjects import partition_for
from tests.frozen import frozen
from tests.memory_log import MemoryLog


@pytest.fixture(scope="module", params=[0, 1, 4], ids=["memory", "jetstream", "partitions"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, NatsServer | None]]:
    if not request.param:
        yield 0, None
        return
    with NatsServer() as server:
        yield request.param, server


@pytest.fixture
async def log(server: tuple[int, NatsServer | None]) -> AsyncIterator[EventLog]:
    partitions, nats = server
    if nats is None:
        yield MemoryLog()
        return
    client = await connect(nats.url, "test")
    await provision(client, [nats.monitor_url], partitions=partitions)
    yield JetStreamLog(client)
    await close(client)


def new_session() -> str:
    """In the last of four partitions, where a position is not the stream sequence."""
    while partition_for(session := str(uuid.uuid4()), 4) != 3:
        pass
    return session


def answered(event_id: str) -> bytes:
    return wire_body(CallAnswered(event_id=event_id, call_control_id="v3:a"))


def decided(session: str, cause_seq: int, worker: str = "w1") -> Decided:
    return Decided(
        cause_seq=cause_seq, cause_id="e", flow="f", flow_version="1", worker=worker, lease_s=3
    )


def test_only_a_valid_trace_is_handed_on() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert trace_headers(trace) == {"traceparent": trace}
    for other in ("", "00-nonsense", trace.upper(), f"{trace}\n", f"{trace}\r\nNats-Msg-Id: x"):
        assert trace_headers(other) == {}


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


async def test_an_imported_record_keeps_its_place_and_time(log: EventLog) -> None:
    session = new_session()
    at = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    encoded = encoded_webhook(answered(session), session)
    await log.append(session, "in", encoded, headers=imported_headers(70, at))
    await log.append(session, "out", encode(decided(session, 1), session))

    imported, own = await log.read(session)

    assert (imported.imported_from, imported.stored_at) == (70, at)
    assert own.imported_from is None
    assert own.stored_at > at


@pytest.mark.parametrize("position", ["", "-1", "seven", "9" * 30])
def test_a_record_is_imported_even_if_its_position_cannot_be_read(position: str) -> None:
    headers = {"Offhook-Imported": position}
    assert imported_from(headers) == 0


@pytest.mark.parametrize("text", ["", "yesterday", "2025-03-01T12:00:00", "0001-01-01T00:00+10:00"])
def test_a_time_that_cannot_be_read_is_none(text: str) -> None:
    headers = {"Offhook-Imported": "1", "Offhook-Stored-At": text}
    assert stored_elsewhere_at(headers) is None


async def test_a_repeated_id_is_stored_once(log: EventLog) -> None:
    session = new_session()
    encoded = encoded_webhook(answered(session), session)

    first = await log.append(session, "in", encoded)
    again = await log.append(session, "in", encoded)

    assert not first.duplicate
    assert again.duplicate
    assert again.seq == first.seq
    assert len(await log.read(session)) == 1


async def test_an_append_at_the_expected_position_lands(log: EventLog) -> None:
    session = new_session()
    first = await log.append(session, "out", encode(decided(session, 1), session), expected_seq=0)
    second = await log.append(
        session, "out", encode(decided(session, 2), session), expected_seq=first.seq
    )
    assert second.seq > first.seq


async def test_the_other_side_does_not_move_the_position(log: EventLog) -> None:
    session = new_session()
    await log.append(session, "in", encoded_webhook(answered(session), session))
    placed = await log.append(session, "out", encode(decided(session, 1), session), expected_seq=0)
    assert not placed.duplicate


async def test_an_append_at_a_taken_position_is_refused(log: EventLog) -> None:
    session = new_session()
    await log.append(session, "out", encode(decided(session, 1), session), expected_seq=0)
    with pytest.raises(PositionTaken, match=session):
        await log.append(session, "out", encode(decided(session, 1, "w2"), session), expected_seq=0)
    assert len(await log.read(session)) == 1


async def test_finding_the_own_fact_at_the_position_is_winning(log: EventLog) -> None:
    session = new_session()
    encoded = encode(decided(session, 1), session)
    first = await log.append(session, "out", encoded, expected_seq=0)

    again = await log.append(session, "out", encoded, expected_seq=0)

    assert again.duplicate
    assert again.seq == first.seq


async def test_of_many_appends_at_one_position_one_wins(log: EventLog) -> None:
    session = new_session()

    async def attempt(worker: str) -> bool:
        fact = encode(decided(session, 1, worker), session)
        try:
            await log.append(session, "out", fact, expected_seq=0)
        except PositionTaken:
            return False
        return True

    won = await asyncio.gather(*(attempt(f"w{number}") for number in range(20)))

    assert sum(won) == 1
    assert len(await log.read(session)) == 1


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


async def test_a_request_keeps_its_parameters(log: EventLog) -> None:
    session = new_session()
    command = IssuedCommand(
        command_id=session,
        operation="transfer",
        call_control_id="v3:a",
        parameters={"to": "+12025550123", "custom_headers": [{"name": "X", "value": "é"}]},
    )
    await log.append(session, "in", encode(CommandRequested(command=command), session))
    (record,) = await log.read(session)
    assert record.fact == CommandRequested(command=command)


async def test_a_body_that_is_no_json_comes_back_as_an_unknown_event(log: EventLog) -> None:
    session = new_session()
    await log.append(session, "in", encoded_webhook(b"\xff\x00not json", session))
    (record,) = await log.read(session)
    assert isinstance(record.fact, WebhookReceived)


@pytest.mark.parametrize("expected_seq", [None, 0])
async def test_what_a_slow_log_stored_at_the_first_try_was_not_stored_before(
    expected_seq: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers all tries at last, the others with what it found: the first one's record."""
    monkeypatch.setattr("offhook.jetstream.log._TRY_S", 0.05)
    session = new_session()
    encoded = encode(decided(session, 1), session)
    with NatsServer() as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url])
        log = JetStreamLog(client)
        await log.read(session)
        with frozen(server.pid):
            tries = log._inbox._count
            appending = asyncio.create_task(
                log.append(session, "out", encoded, expected_seq=expected_seq)
            )
            while log._inbox._count < tries + 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not (await appending).duplicate
        (record,) = await log.read(session)
        assert record.seq == (await appending).seq
        await close(client)


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
