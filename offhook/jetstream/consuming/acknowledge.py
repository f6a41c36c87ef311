"""Acknowledges many deliveries at once."""

from collections.abc import Sequence

from nats.aio.client import Client
from nats.aio.msg import Msg

from offhook.jetstream.client.shortcuts import send


async def acknowledge_all(client: Client, messages: Sequence[Msg]) -> None:
    """Acknowledge what consumers delivered to this client. Raises what `Client.publish` does.

    Their commands are sent as one. nats-py checks each, and asks for each to be sent.
    """
    if not client.is_connected or client.is_draining:
        for message in messages:
            await message.ack()
        return
    acks = b"".join([b"PUB %b 0\r\n\r\n" % message.reply.encode() for message in messages])
    await send(client, acks, count=len(messages), size=0)
