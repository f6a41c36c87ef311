"""One suite for the log: the stand-in and the real JetStream give the same answers."""

import asyncio
from datetime import UTC, datetime

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encode, encoded_webhook
from offhook.errors import PositionTaken
from offhook.events import (
    CommandRequested,
    IssuedCommand,
    WebhookReceived,
)
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import EventLog, JetStreamLog
from offhook.jetstream.message import (
    imported_from,
    imported_headers,
    stored_elsewhere_at,
    trace_headers,
)
from offhook.jetstream.provisioning.provision import provision
from tests.frozen import frozen
from tests.jetstream.event_logs import answered, decided, log, new_session, server

__all__ = ["log", "server"]


def test_only_a_valid_trace_is_handed_on() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert trace_headers(trace) == {"traceparent": trace}
    for other in ("", "00-nonsense", trace.upper(), f"{trace}\n", f"{trace}\r\nNats-Msg-Id: x"):
        assert trace_headers(other) == {}


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
