"""How many partitions the log has: discovered from its streams, set when it is provisioned."""

import asyncio

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from offhook.errors import LogMissing, LogUnavailable, LogUnsafe, words_of
from offhook.jetstream.stream import PARTITIONS, STREAM, stream_of
from offhook.position import PARTITIONS_MAX

API_TIMEOUT_S = 5.0

_FIRST = stream_of(0, PARTITIONS_MAX)


async def partitions_of(client: Client) -> int:
    """The number of partitions. Raises LogMissing, LogUnavailable, or LogUnsafe while it moves."""
    found = await find_partitions(client)
    if found is None:
        raise LogMissing(f"stream {STREAM} does not exist: run `offhook provision`")
    return found


async def find_partitions(client: Client) -> int | None:
    """See `partitions_of`; None if there is no log yet."""
    whole, first = await _whole_and_first(client)
    if whole is not None and first is not None:
        raise LogUnsafe(
            f"streams {STREAM} and {_FIRST} both exist: the move to several partitions has not "
            "ended; stop every role, then run `offhook provision --repartition`"
        )
    if first is None:
        return None if whole is None else 1
    text = (first.config.metadata or {}).get(PARTITIONS, "")
    if not (text.isdecimal() and 1 < int(text) <= PARTITIONS_MAX):
        raise LogUnsafe(
            f"stream {_FIRST} has {PARTITIONS} {text!r} in its metadata; expected a number from 2 "
            f"to {PARTITIONS_MAX}: restore the stream as `offhook provision` created it"
        )
    return int(text)


async def is_moving(client: Client) -> bool:
    """Whether a move to several partitions has begun and not ended. Raises LogUnavailable."""
    return None not in await _whole_and_first(client)


async def _whole_and_first(client: Client) -> tuple[StreamInfo | None, StreamInfo | None]:
    js = client.jetstream(timeout=API_TIMEOUT_S)
    try:
        return await asyncio.gather(find_stream(js, STREAM), find_stream(js, _FIRST))
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"JetStream does not answer: {words_of(error)}") from error


async def find_stream(js: JetStreamContext, stream: str) -> StreamInfo | None:
    """The stream's information; None if there is no such stream. Raises nats.errors.Error."""
    try:
        return await js.stream_info(stream)
    except NotFoundError:
        return None
