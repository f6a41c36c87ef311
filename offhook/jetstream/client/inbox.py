"""Requests over one long-lived reply inbox; a subscription or a task for each would cost more.

Appends and reads share it. With 32 appends at once a client got 5,500/s over it and 3,900/s by
`js.publish` of nats-py, on two cores; appending is the dearest thing that ingress does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import FlushTimeoutError

from offhook.jetstream.client.connection import PENDING_BYTES_MAX
from offhook.jetstream.client.shortcuts import send, subscribe_at_once

Answered = Callable[[Msg], None]

UNSENT_BYTES_MAX = PENDING_BYTES_MAX - 64 * 1024
"""So much may wait for a server that reads nothing. Beyond its own bound nats-py waits in a publish
until the connection is given up, half a minute later, however long an answer may take; the rest is
for the headers of the last one."""

LATE_S = 10.0
"""How long a late answer is waited for: longer than an append is tried."""


class Inbox:
    """An answer belongs to the request named by the last token of its subject."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefix = client.new_inbox()
        self._waiting: dict[str, Answered] = {}
        self._subscription: Subscription | None = None
        self._count = 0
        self._starting = asyncio.Lock()

    @property
    def is_connected(self) -> bool:
        """Whether a request would be sent at once."""
        return self._client.is_connected

    @property
    def waiting(self) -> int:
        """How many requests are in progress."""
        return len(self._waiting)

    async def request(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout_s: float,
        late: Answered | None = None,
    ) -> Msg:
        """The first answer. Raises TimeoutError after timeout_s, and what nats-py raises.

        At once if too much waits to be sent already: it is asked again as after any time out.
        `late` gets what is answered after that, for LATE_S.
        """
        if self._subscription is None:
            await self._start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        token = self._expect(lambda message: _answer(answer, message))
        # A timer, not a task or a timeout context: there is a request for every append.
        expiry = loop.call_later(timeout_s, _expire, answer)
        try:
            self._require_room(len(body))
            await self._publish(subject, body, f"{self._prefix}.{token}", headers)
            return await answer
        finally:
            expiry.cancel()
            if late is not None and answer.done() and not answer.cancelled() and answer.exception():
                self._waiting[token] = late
                loop.call_later(LATE_S, self._waiting.pop, token, None)
            else:
                del self._waiting[token]

    @asynccontextmanager
    async def answers(self, subject: str, body: bytes) -> "AsyncIterator[asyncio.Queue[Msg]]":
        """All answers as they come, while the context is open. Raises what `request` does."""
        if self._subscription is None:
            await self._start()
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        token = self._expect(queue.put_nowait)
        try:
            self._require_room(len(body))
            await self._client.publish(subject, body, reply=f"{self._prefix}.{token}")
            yield queue
        finally:
            del self._waiting[token]

    async def _publish(
        self, subject: str, body: bytes, reply: str, headers: Mapping[str, str]
    ) -> None:
        """`publish` of nats-py, at a third of its cost if there is nothing unusual.

        nats-py checks, strips and translates each header, and a webhook has five. What is not
        plain is left to it: a line break, a subject with a space, a client that is not connected.
        """
        client = self._client
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        is_plain = (
            lines.count("\n") == lines.count("\r") == len(headers)
            and len(subject.split()) == 1
            and len(body) <= client.max_payload
        )
        if not is_plain or not client.is_connected or client.is_draining:
            # It writes into the headers it is given.
            await client.publish(subject, body, reply=reply, headers=dict(headers))
            return
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        sizes = f"{len(head)} {len(head) + len(body)}"
        command = b"HPUB %b %b\r\n%b%b\r\n" % (
            f"{subject} {reply}".encode(),
            sizes.encode(),
            head,
            body,
        )
        await send(client, command, count=1, size=len(body))

    def _require_room(self, size: int) -> None:
        if self._client.is_connected and self._client.pending_data_size + size > UNSENT_BYTES_MAX:
            raise FlushTimeoutError

    def _expect(self, answered: Answered) -> str:
        self._count += 1
        token = str(self._count)
        self._waiting[token] = answered
        return token

    async def _start(self) -> None:
        async with self._starting:
            if self._subscription is None:
                self._subscription = await subscribe_at_once(
                    self._client, f"{self._prefix}.*", self._arrived
                )

    def _arrived(self, message: Msg) -> None:
        answered = self._waiting.get(message.subject.rpartition(".")[2])
        if answered is not None:
            answered(message)


def _answer(answer: "asyncio.Future[Msg]", message: Msg) -> None:
    if not answer.done():
        answer.set_result(message)


def _expire(answer: "asyncio.Future[Msg]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
