"""What a delivery says before anything is read from the log."""

from datetime import timedelta

import pytest
from nats.aio.msg import Msg

from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallAnswered, CallInitiated, CommandRequested, IssuedCommand
from offhook.jetstream.subjects import subject_of
from offhook.jetstream.timetable import Alarm
from offhook.workers.intake.delivery import ConsumerDelivery


def requested(operation: str) -> bytes:
    command = IssuedCommand(command_id="c", operation=operation)
    return encode(CommandRequested(command=command), "s").body


def webhook(event: CallInitiated | CallAnswered) -> bytes:
    return encoded_webhook(wire_body(event), event.event_id).body


@pytest.mark.parametrize(
    ("body", "may_begin"),
    [
        (webhook(CallInitiated(event_id="e", call_control_id="v3:a")), True),
        (webhook(CallAnswered(event_id="e", call_control_id="v3:a")), False),
        (requested("dial"), True),
        (requested("hangup"), False),
    ],
)
def test_a_session_may_begin_with_an_initiated_call_and_with_a_dial(
    body: bytes, may_begin: bool
) -> None:
    # Only what a message carries matters here, not the client it came from.
    reply = "$JS.ACK.CALLS.worker.1.42.7.1795348800123456999.0"
    message = Msg(_client=None, reply=reply, data=body)  # type: ignore[arg-type]
    assert ConsumerDelivery(message, "s").may_begin is may_begin


def test_a_delivery_has_its_record_unless_it_is_an_alarm_or_cannot_be_read() -> None:
    event = CallAnswered(event_id="e", call_control_id="v3:a")
    headers = {"Offhook-Type": "WebhookReceived", "Offhook-Version": "1"}
    message = Msg(
        _client=None,  # type: ignore[arg-type]
        subject=subject_of("s", "in"),
        reply="$JS.ACK.CALLS.worker.1.42.7.1795348800123456999.0",
        data=webhook(event),
        headers=headers,
    )
    delivery = ConsumerDelivery(message, "s")
    record = delivery.record()
    assert record is not None
    assert delivery.at == record.stored_at
    assert (record.seq, record.session_id, record.fact_id) == (42, "s", "e")
    rang_at = record.stored_at + timedelta(seconds=1)
    alarm = Alarm(session_id="s", timer_id="1-0", decided_seq=2, rang_at=rang_at)
    ringing = ConsumerDelivery(message, "s", alarm)
    assert (ringing.record(), ringing.at) == (None, rang_at)
    headers["Offhook-Type"] = "FromTheFuture"
    assert ConsumerDelivery(message, "s").record() is None
