"""A stored message, taken apart: what is stored, and where. Nothing is decoded.

What JetStream says about a delivery is in its reply subject:

    $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
    $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.…
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from nats.aio.msg import Msg

from offhook.events import Record
from offhook.jetstream.message import (
    TYPE_HEADER,
    VERSION_HEADER,
    position_of_read,
    record_in,
    stored_elsewhere_at,
    time_of,
    version_in,
)
from offhook.jetstream.stream import partition_in
from offhook.jetstream.subjects import parse, storable_text
from offhook.position import position_of


@dataclass(frozen=True, kw_only=True)
class DeliveredRecord:
    """A stored message as it was delivered or read."""

    seq: int  # its position (`offhook.position`)
    session_id: str  # the subject, if that is of no known shape: `storable_text`
    side: str  # in, out; empty for a subject of no known shape
    type: str
    version: int  # 0 if the header is missing or no number
    stored_at: datetime  # of an imported record, in the log it comes from
    body: bytes
    headers: Mapping[str, str]  # those that no other field holds: `lasting_headers`


def delivery_of(message: Msg) -> DeliveredRecord:
    """The delivery; `message` must come from a consumer of the log."""
    place = place_of(message)
    return _record(
        message,
        message.subject,
        position_of(partition_in(place.stream), place.seq),
        place.stored_at,
    )


def delivery_of_read(message: Msg) -> DeliveredRecord:
    """The same record; `message` must be the answer to a direct get."""
    headers = message.headers or {}
    return _record(message, headers["Nats-Subject"], position_of_read(message), time_of(headers))


def record_delivered(message: Msg) -> Record:
    """The record in a delivery, decoded. Raises RecordUnreadable."""
    place = place_of(message)
    position = position_of(partition_in(place.stream), place.seq)
    return record_in(message, message.subject, position, place.stored_at)


class Place(NamedTuple):
    """Where a message is in its stream, and in the deliveries of its consumer."""

    stream: str
    consumer: str
    delivered: int  # how many times
    seq: int  # in the stream
    delivery: int  # the consumer's number of this delivery
    nanoseconds: int  # since 1970: when the stream stored it
    pending: int  # messages that the consumer has not delivered yet

    @property
    def stored_at(self) -> datetime:
        """When the stream stored it, in whole microseconds, cut off as all readers do.

        nats-py's own timestamp goes through a float and may be one off.
        """
        return _EPOCH + timedelta(microseconds=self.nanoseconds // 1000)


def place_of(message: Msg) -> Place:
    """The place; `message` must come from a consumer.

    A fifth of the cost of nats-py's `metadata`, which makes a time of every message.
    """
    tokens = message.reply.split(".")
    stream, consumer, *numbers = tokens[2:] if len(tokens) == _V1_TOKENS else tokens[4:11]
    return Place(stream, consumer, *map(int, numbers))


def lasting_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Without the type and version, and without what the server adds or an append asks of it.

    What is left of a webhook's: the carrier's signature and timestamp as received, and the trace.
    """
    return {
        name: value
        for name, value in headers.items()
        if name not in _OWN_FIELDS and not name.startswith("Nats-")
    }


def _record(message: Msg, on: str, position: int, stored_at: datetime) -> DeliveredRecord:
    headers = message.headers or {}
    subject = parse(on)
    return DeliveredRecord(
        seq=position,
        session_id=subject.session_id if subject is not None else storable_text(on),
        side=subject.side if subject is not None else "",
        type=storable_text(headers.get(TYPE_HEADER, "")),
        version=version_in(headers),
        stored_at=stored_elsewhere_at(headers) or stored_at,
        body=message.data,
        headers=lasting_headers(headers),
    )


_OWN_FIELDS = frozenset({TYPE_HEADER, VERSION_HEADER})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_V1_TOKENS = 9
