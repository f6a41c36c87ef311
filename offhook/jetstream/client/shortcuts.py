"""What nats-py does for each message, without what its general way costs."""

import asyncio
from collections.abc import Callable
from typing import cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription


async def subscribe_at_once(
    client: Client, subject: str, take: Callable[[Msg], None]
) -> Subscription:
    """Call `take` with each message as it is read. It must not raise: reading would end.

    As if it were the future of a single answer: nats-py hands a message over to it at once. To a
    callback it does so over a queue and a task.
    """
    return await client.subscribe(subject, future=cast("asyncio.Future[Msg]", _Each(take)))


async def send(client: Client, commands: bytes, *, count: int, size: int) -> None:
    """Send the commands of `count` messages, with bodies of `size` bytes in all.

    `client` must be connected, and not draining.
    """
    client.stats["out_msgs"] += count
    client.stats["out_bytes"] += size
    await client._send_command(commands)
    if client._flush_queue is not None and client._flush_queue.empty():
        await client._flush_pending()


class _Each:
    """All messages, each handed over as if it were the only one."""

    def __init__(self, take: Callable[[Msg], None]) -> None:
        self.set_result = take

    def cancelled(self) -> bool:
        """Never: there is always another one."""
        return False
