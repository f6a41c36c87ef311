"""One webhook a turn of the event loop, so that ingress and the log work at the same time.

Webhooks that arrive together would all be verified in one turn, and their appends leave together
at its end: the log idles while they are verified, and ingress while the log flushes. Measured on
two cores with 32 connections: 2,450 webhooks/s without turns, 3,430 with them (`bench.ingress`).
"""

import asyncio
from collections import deque


class Turns:
    """First come, first served; the one who waits is at most as many turns behind as there wait."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def mine(self) -> None:
        """Returns when this turn of the loop is the caller's."""
        if self._taken:
            turn = self._loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its task may have been cancelled
                turn.set_result(None)
                self._loop.call_soon(self._next)
                return
        self._taken = False
