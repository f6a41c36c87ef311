"""The body of a request, read within bounds: nothing is known of its sender yet."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from offhook.jetstream.stream import MESSAGE_BYTES_MAX
from offhook.process.asgi import Receive

SMALL_BYTES_MAX = 256 * 1024

LARGE_BODIES_MAX = 4
"""Bodies over SMALL_BYTES_MAX held at the same time, 24 MiB in total, before their signatures are
checked. Others wait, within BODY_TIMEOUT_S; the carrier retries after a 408."""

DISCARDED_BYTES_MAX = MESSAGE_BYTES_MAX + 4 * 1024 * 1024
"""How much of a body is read that is refused for its size: a connection that is closed with unread
bytes is reset, and the sender may never see the answer."""


class SenderLeft(Exception):
    """The connection ended before the body did; there is nobody to answer."""


class LargeBodySlot:
    """One slot of `large`, taken only if the body turns out to be large."""

    def __init__(self, large: asyncio.Semaphore) -> None:
        self._large = large
        self._is_taken = False

    async def __aenter__(self) -> "LargeBodySlot":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    async def acquire(self) -> None:
        """Wait for a slot, unless it has one."""
        if not self._is_taken:
            await self._large.acquire()
            self._is_taken = True

    def release(self) -> None:
        """Give its slot back, if it has one."""
        if self._is_taken:
            self._is_taken = False
            self._large.release()


async def read_body(receive: Receive, slot: LargeBodySlot) -> bytes | None:
    """The whole body; None if it is over MESSAGE_BYTES_MAX. Raises SenderLeft."""
    parts: list[bytes] = []
    size = 0
    while size <= DISCARDED_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderLeft
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > MESSAGE_BYTES_MAX:
            parts.clear()
            slot.release()
        else:
            parts.append(part)
            if size > SMALL_BYTES_MAX:
                await slot.acquire()
        if not message.get("more_body"):
            return b"".join(parts) if size <= MESSAGE_BYTES_MAX else None
    return None


async def within(timeout_s: float, reading: Coroutine[Any, Any, bytes | None]) -> bytes | None:
    """The result of `read_body`. Raises TimeoutError.

    Nearly every body has arrived by then, and the reading ends without waiting: a timer for each
    would be the dearest part of it.
    """
    try:
        waited_for = reading.send(None)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    async with asyncio.timeout(timeout_s):
        return await _Begun(reading, waited_for)


class _Begun:
    """A coroutine that waits for something already."""

    def __init__(self, coroutine: Coroutine[Any, Any, bytes | None], waited_for: Any) -> None:
        self._coroutine = coroutine
        self._waited_for = waited_for

    def __await__(self) -> Generator[Any, Any, bytes | None]:
        waited_for = self._waited_for
        while True:
            try:
                try:
                    yield waited_for
                except BaseException as error:  # a cancellation, which is the coroutine's
                    waited_for = self._coroutine.throw(error)
                else:
                    waited_for = self._coroutine.send(None)
            except StopIteration as ended:
                return ended.value  # type: ignore[no-any-return]
