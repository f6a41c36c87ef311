"""HTTP clients with one connection each, each used by one request at a time.

A single httpx client with many connections checks every idle one on each request (httpcore 1.0.9):
with 32, that takes half of a request's processor time. It also loses a connection for good if its
request is cancelled in the loop iteration in which it connects. Here a client whose request fails
or is cancelled is closed, whatever its state.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx


class HttpPool:
    """At most `clients_max` clients, made by `opened`; one idle for `idle_s` seconds is closed."""

    def __init__(
        self, opened: Callable[[], httpx.AsyncClient], *, clients_max: int, idle_s: float
    ) -> None:
        self._opened = opened
        self._clients_max = clients_max
        self._idle_s = idle_s
        self._free = asyncio.Semaphore(clients_max)
        # Used last in, first out, so that unneeded connections go idle and are closed.
        self._idle: deque[tuple[float, httpx.AsyncClient]] = deque()
        self._closed = False

    @asynccontextmanager
    async def client(self, wait_s: float) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one request. Raises httpx.PoolTimeout if none is free within `wait_s`."""
        try:
            async with asyncio.timeout(wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout(
                f"all {self._clients_max} connections were in use for {wait_s:g} s"
            ) from None
        try:
            client = self._idle.pop()[1] if self._idle else self._opened()
            try:
                yield client
            except BaseException:
                await client.aclose()
                raise
            now = time.monotonic()
            self._idle.append((now, client))
            await self._close_idle_since(now if self._closed else now - self._idle_s)
        finally:
            self._free.release()

    async def aclose(self) -> None:
        """Close idle clients now, and those in use after their requests."""
        self._closed = True
        await self._close_idle_since(time.monotonic())

    async def _close_idle_since(self, moment: float) -> None:
        while self._idle and self._idle[0][0] <= moment:
            _, client = self._idle.popleft()
            await client.aclose()
