"""So many messages of a consumer, where one request may bring fewer."""

import asyncio

from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.errors import APIError

PATIENCE_S = 60.0
_PAUSE_S = 0.1


async def fetched(consumer: JetStreamContext.PullSubscription, count: int) -> list[Msg]:
    """The next `count` messages, in the last delivery of each.

    One may be delivered again while the rest is waited for. nats-py first asks for those that the
    server has at hand: a node that has just become the leader of the consumer, or is behind, has
    some of them or none, and a change of leader ends the request.
    """
    found: dict[int, Msg] = {}  # by sequence in the stream
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            try:
                for message in await consumer.fetch(count - len(found), timeout=PATIENCE_S):
                    found[message.metadata.sequence.stream] = message
            except (NatsTimeoutError, APIError):
                await asyncio.sleep(_PAUSE_S)
    return list(found.values())
