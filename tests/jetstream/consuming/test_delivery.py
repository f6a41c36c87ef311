"""A consumer's delivery, taken apart."""

import uuid
from datetime import UTC, datetime

import pytest
from nats.aio.msg import Msg

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import RecordUnreadable
from offhook.events import CallAnswered
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.consuming.delivery import delivery_of, place_of, record_delivered
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.message import imported_headers, trace_headers
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.subjects import subject_of
from tests.jetstream.fetched import fetched


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.CALLS.projector.1.42.7.1795348800123456999.0",
        "$JS.ACK._.account.CALLS.projector.1.42.7.1795348800123456999.0.token",
    ],
)
def test_a_delivery_is_dated_in_whole_microseconds_cut_off(reply: str) -> None:
    headers = {"Offhook-Type": "Decided", "Offhook-Version": "one", "Nats-Msg-Id": "x"}
    headers["traceparent"] = "00-1"
    # Only what a message carries matters here, not the client it came from.
    message = Msg(_client=None, subject="calls.odd", reply=reply, data=b"{}", headers=headers)  # type: ignore[arg-type]
    delivery = delivery_of(message)
    assert delivery.stored_at == datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
    assert delivery.headers == {"traceparent": "00-1"}
    assert (delivery.seq, delivery.version, delivery.session_id) == (42, 0, "calls.odd")
    place, known = place_of(message), message.metadata
    assert place == ("CALLS", "projector", 1, 42, 7, 1795348800123456999, 0)
    assert (place.seq, place.delivery) == (known.sequence.stream, known.sequence.consumer)
    assert (place.delivered, place.pending) == (known.num_delivered, known.num_pending)


async def test_a_record_is_the_same_delivered_and_read(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")
    await provision(client, [nats_server.monitor_url])
    log, session_id = JetStreamLog(client), str(uuid.uuid4())
    event = CallAnswered(event_id=session_id, call_control_id="v3:a")
    at = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    for event_id, headers in (
        (f"{session_id}-1", trace_headers(f"00-{'1' * 32}-{'2' * 16}-01")),
        (f"{session_id}-2", imported_headers(70, at)),
    ):
        encoded = encoded_webhook(wire_body(event), event_id)
        await log.append(session_id, "in", encoded, headers=headers)
    read = await log.read(session_id)
    subscription = await client.jetstream().pull_subscribe(subject_of(session_id, "in"))
    delivered = [record_delivered(each) for each in await fetched(subscription, 2)]
    assert delivered == read
    assert [each.imported_from for each in delivered] == [None, 70]
    await close(client)


@pytest.mark.parametrize("version", ["one", "", "9" * 5_000])
def test_of_a_version_that_cannot_be_read_is_said_that_it_cannot(version: str) -> None:
    message = Msg(
        _client=None,  # type: ignore[arg-type]
        subject="calls.1.s.in",
        reply="$JS.ACK.CALLS.projector.1.42.7.1795348800123456999.0",
        headers={"Offhook-Type": "Decided", "Offhook-Version": version},
    )
    with pytest.raises(RecordUnreadable, match="Decided has version 0"):
        record_delivered(message)


def test_an_imported_record_is_dated_by_the_log_it_comes_from() -> None:
    at = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    message = Msg(
        _client=None,  # type: ignore[arg-type]
        subject="calls.odd",
        reply="$JS.ACK.CALLS.projector.1.42.7.1795348800123456999.0",
        headers=imported_headers(7, at),
    )
    assert delivery_of(message).stored_at == at
