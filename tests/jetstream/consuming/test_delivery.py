"""A consumer's delivery, taken apart."""

from datetime import UTC, datetime

import pytest
from nats.aio.msg import Msg

from offhook.jetstream.consuming.delivery import delivery_of, place_of
from offhook.jetstream.message import imported_headers


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


def test_an_imported_record_is_dated_by_the_log_it_comes_from() -> None:
    at = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    message = Msg(
        _client=None,  # type: ignore[arg-type]
        subject="calls.odd",
        reply="$JS.ACK.CALLS.projector.1.42.7.1795348800123456999.0",
        headers=imported_headers(7, at),
    )
    assert delivery_of(message).stored_at == at
