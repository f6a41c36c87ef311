"""A lingering pull request on a durable consumer: messages are delivered as they arrive.

    ask for as many as there is room for ──▶ arrived ──▶ next()      asked again at half
      ▲                                         │
      └── expired, refused, lost, reconnected ──┘

The `fetch` of nats-py 2.16 keeps what it has received until its batch is full or its time is over:
a message waited for up to 1 s as soon as two clients fetched from one consumer.
"""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from offhook.jetstream.client.connection import when_reconnected
from offhook.jetstream.client.shortcuts import subscribe_at_once

EXPIRES_S = 1.0
"""Short, so that a frozen process receives nothing for longer, and a lost request costs little."""

LOST_AFTER_S = 1.25
"""The server reports when a request expires. Without a report by now the request is lost, for
example with the leader of a replicated consumer."""

REQUEST_BYTES_MAX = 16 * 1024 * 1024
"""Of what one request may bring, and of what has arrived when another one is sent. A batch of the
largest records has 3 GB, and nats-server ends a connection that has over 64 MB to be read."""

REFUSED_PAUSE_S = 0.1
"""Pause after a refused request: no consumer, no leader, too many requests."""

_log = logging.getLogger(__name__)


class Pull:
    """One client's requests to one consumer.

    At most `batch_max` messages are asked for and not yet taken, and at most `room()`, if given:
    call `look` when there may be more room.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        consumer: str,
        *,
        batch_max: int,
        room: Callable[[], int] | None = None,
        on_arrival: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._consumer = consumer
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._batch_max = batch_max
        self._room = room
        self._on_arrival = on_arrival
        self._subscription: Subscription | None = None
        self._forget: Callable[[], None] = lambda: None
        self._asking: asyncio.Task[None] | None = None
        self._asked = 0  # messages asked for that have not arrived
        self._lost_at = 0.0  # by the loop's clock: all that was asked for has expired by then
        self._pause_until = 0.0
        self._arrived_messages: deque[Msg] = deque()
        self._arrived_bytes = 0
        self._arrival = asyncio.Event()
        self._look = asyncio.Event()
        self._stopped = False
        self._is_drained = False
        self._over = asyncio.Event()
        self._refusal = ""

    @classmethod
    async def open(
        cls,
        client: Client,
        stream: str,
        consumer: str,
        *,
        batch_max: int,
        room: Callable[[], int] | None = None,
        on_arrival: Callable[[], None] = lambda: None,
    ) -> Self:
        """Subscribe; nothing is asked for before the first `next` or `take`.

        The consumer may be missing. `on_arrival` is called for each message.
        """
        pull = cls(client, stream, consumer, batch_max=batch_max, room=room, on_arrival=on_arrival)
        pull._subscription = await subscribe_at_once(client, pull._inbox, pull._take)
        pull._forget = when_reconnected(client, pull._reconnected)
        return pull

    async def next(self, timeout_s: float, count_max: int | None = None) -> list[Msg]:
        """All that has arrived, oldest first, at most `count_max`; empty after timeout_s."""
        self._begin()
        if not self._arrived_messages:
            if self._is_drained:
                self._over.set()
            self._arrival.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._arrival.wait()
        return self.take(count_max)

    def take(self, count_max: int | None = None) -> list[Msg]:
        """What has arrived by now, oldest first, at most `count_max`."""
        self._begin()
        count = len(self._arrived_messages)
        if count_max is not None:
            count = min(count, count_max)
        messages = [self._arrived_messages.popleft() for _ in range(count)]
        self._arrived_bytes -= sum(len(message.data) for message in messages)
        if messages:
            self._look.set()
        return messages

    def _begin(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._keep_asking())

    @property
    def waiting(self) -> int:
        """How many messages have arrived that `next` has not returned yet."""
        return len(self._arrived_messages)

    def look(self) -> None:
        """Ask for more if there is more room now."""
        if self._wanted():
            self._look.set()

    def stop(self) -> None:
        """Withdraw the requests. Messages that are already on their way are still delivered."""
        self._stopped = True
        self._look.set()

    async def rest(self) -> None:
        """After `stop`: wait until these have arrived and `next` has returned them."""
        await self._over.wait()

    async def close(self) -> None:
        """Unsubscribe. Messages on their way are redelivered to others after the ack wait."""
        self._stopped = True
        self._forget()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._subscription is not None:
            # A closed connection has no subscriptions left.
            with contextlib.suppress(NatsError):
                await self._subscription.unsubscribe()

    def _wanted(self) -> int:
        """How many to ask for now; 0 while more than half of the room is already asked for."""
        if self._stopped or self._arrived_bytes >= REQUEST_BYTES_MAX:
            return 0
        room = self._batch_max if self._room is None else min(self._batch_max, self._room())
        wanted = room - self._asked - len(self._arrived_messages)
        return wanted if wanted > 0 and wanted >= room // 2 else 0

    async def _keep_asking(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopped:
            now = loop.time()
            if self._asked and now >= self._lost_at:
                self._asked = 0
            wanted = self._wanted()
            if wanted and now >= self._pause_until and self._client.is_connected:
                await self._ask(wanted, now)
            until = self._lost_at if self._asked else now + EXPIRES_S
            if wanted and now < self._pause_until:
                until = self._pause_until
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._look.wait()

        await self._drain()

    async def _drain(self) -> None:
        """End the subscription, and so its requests: a nak must not redeliver to this client.

        The server has sent all that it will send when it answers to that.
        """
        if self._subscription is not None:
            with contextlib.suppress(NatsError, TimeoutError):
                await self._subscription.drain()  # type: ignore[no-untyped-call]
        self._asked = 0
        self._is_drained = True
        self._arrival.set()  # so that `next` sees that nothing more will come

    async def _ask(self, count: int, now: float) -> None:
        self._asked += count
        self._lost_at = now + LOST_AFTER_S
        wanted = {
            "batch": count,
            "expires": int(EXPIRES_S * 1e9),
            "max_bytes": REQUEST_BYTES_MAX,
        }
        request = json.dumps(wanted).encode()
        try:
            await self._client.publish(self._subject, request, reply=self._inbox)
        except NatsError:
            self._asked -= count
            self._pause_until = now + REFUSED_PAUSE_S

    def _take(self, message: Msg) -> None:
        if message.reply:
            self._refusal = ""
            self._asked = max(0, self._asked - 1)
            self._arrived_messages.append(message)
            self._arrived_bytes += len(message.data)
            self._arrival.set()
            self._on_arrival()
        else:
            self._end_request(message.headers or {})
        if self._wanted() or self._stopped:
            self._look.set()

    def _end_request(self, headers: dict[str, str]) -> None:
        """A status instead of a message: one request has ended, with some messages never sent."""
        status = headers.get("Status", "")
        pending = headers.get("Nats-Pending-Messages", "")
        # Without a number the request is unknown: everything is asked for again.
        left = int(pending) if pending.isdecimal() else self._asked
        self._asked = max(0, self._asked - left)
        if status == _EXPIRED or headers.get("Description", "").endswith(_ENDS):
            return
        self._pause_until = asyncio.get_running_loop().time() + REFUSED_PAUSE_S
        refusal = f"{status} {headers.get('Description', '')}".strip()
        if refusal != self._refusal:
            self._refusal = refusal
            _log.warning(
                "consumer refuses a request",
                extra={"consumer": self._consumer, "status": refusal},
            )

    def _reconnected(self) -> None:
        """Earlier requests may be lost with the connection, or with the server."""
        self._asked = 0
        self._look.set()


_EXPIRED = "408"
_ENDS = (
    "Batch Completed",  # 409 too, but not a refusal: the end of a request with `max_bytes`
    "Exceeds MaxBytes",  # the next message is for the next request
)
