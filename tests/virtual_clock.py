"""A clock that stands still while anybody has something to do, then jumps to the next sleeper."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

Result = TypeVar("Result")

_ROUNDS_MAX = 10_000
"""Rounds of the event loop in which everything that can go on must have come to wait."""


class VirtualClock:
    """`now` is seconds from an arbitrary start; `on_jump` is told by how much it moves."""

    def __init__(self, on_jump: Callable[[float], None] = lambda seconds: None) -> None:
        self.now = 0.0
        self._on_jump = on_jump
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.Future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), woken))
        await woken

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The work's result; time passes only as it sleeps."""
        # Slices end by the real clock: who goes first would depend on how fast the machine is.
        with patch("offhook.process.slices.time", SimpleNamespace(perf_counter=lambda: 0.0)):
            task = asyncio.create_task(work)
            while not task.done():
                await _until_all_wait()
                if not task.done():
                    self._jump()
            return task.result()

    def _jump(self) -> None:
        while True:
            assert self._sleepers, "everybody waits, and nobody for the clock"
            at, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():  # else its sleeper was cancelled
                break
        self._on_jump(max(0.0, at - self.now))
        self.now = max(self.now, at)
        woken.set_result(None)


async def _until_all_wait() -> None:
    """Until nobody can go on, however many rounds that takes."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    for _ in range(_ROUNDS_MAX):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError(f"somebody goes on without waiting for {_ROUNDS_MAX} rounds")
