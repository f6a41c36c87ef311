"""Which session goes first in a worker: one with little to do before one with much.

    begins ──▶ short ──────────────────────────────────────────▶ settled
                 │ ▲                                                ▲
                 ▼ │ read                                           │
               long: much to read, or many records to decide on ────┘
                     gives way between two slices of work, and before each decision

A long session waits until no short one is at work, but only in proportion to its own work; and no
more than LONG_AT_ONCE long ones work at a time, in turns. A session that waits for the carrier or
for a permit is not at work. No order depends on this but that of sessions among each other.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from offhook.process.slices import between_slices

WAIT_SHARE = 2.0
"""A long session waits for short ones at most so many times what it has worked: however many there
are, a third of the time is its own."""

WAIT_MAX_S = 0.1
"""The longest such wait, after long work while there were none."""

LONG_AT_ONCE = 2
"""Each of them may have answers on their way when a short session begins, which then waits for what
is done with these."""

TURN_MAX_S = 0.25
"""How long a long session waits for its turn: another one may wait for a log that is away."""


@dataclass(kw_only=True)
class _Work:
    """What a task does for a session."""

    is_short: bool = False  # and at work: long ones give way to it
    has_turn: bool = False  # of the long ones
    may_wait_s: float = 0.0


class Precedence:
    """Of the sessions of one worker, each of which has a task. Other tasks are not concerned."""

    def __init__(self) -> None:
        self._short = 0  # sessions at work that long ones give way to
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        self._turns = asyncio.Semaphore(LONG_AT_ONCE)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Work on a session, which is short until it turns out to be long."""
        work = _Work()
        of_task, waits = _work.set(work), between_slices.set(None)
        self._count(work, is_short=True)
        try:
            yield
        finally:
            self._count(work, is_short=False)
            self._end_turn(work)
            between_slices.reset(waits)
            _work.reset(of_task)

    @contextmanager
    def long(self) -> Iterator[None]:
        """The session is long inside the block."""
        waits = between_slices.set(self.give_way)
        try:
            with self.elsewhere():
                yield
        finally:
            between_slices.reset(waits)

    def stay_long(self) -> None:
        """The session is long until it is settled."""
        if (work := _work.get()) is not None:
            self._count(work, is_short=False)
            between_slices.set(self.give_way)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Inside the block the session waits for others than this process."""
        work = _work.get()
        if work is None:
            yield
            return
        was_short = work.is_short
        self._count(work, is_short=False)
        self._end_turn(work)
        try:
            yield
        finally:
            self._end_turn(work)
            self._count(work, is_short=was_short)

    async def give_way(self, worked_s: float) -> None:
        """Let others work, if the session is long and has worked so much since the last time."""
        work = _work.get()
        if work is None or work.is_short:
            return
        self._end_turn(work)
        with suppress(TimeoutError):
            async with asyncio.timeout(TURN_MAX_S):
                await self._turns.acquire()
                work.has_turn = True
        work.may_wait_s = min(work.may_wait_s + worked_s * WAIT_SHARE, WAIT_MAX_S)
        if not self._short or work.may_wait_s <= 0:
            return
        began_at = time.perf_counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(work.may_wait_s):
                while self._short:
                    await self._is_quiet.wait()
        work.may_wait_s -= time.perf_counter() - began_at

    def _end_turn(self, work: _Work) -> None:
        if work.has_turn:
            work.has_turn = False
            self._turns.release()

    def _count(self, work: _Work, *, is_short: bool) -> None:
        if work.is_short == is_short:
            return
        work.is_short = is_short
        self._short += 1 if is_short else -1
        if self._short:
            self._is_quiet.clear()
        else:
            self._is_quiet.set()


_work: ContextVar[_Work | None] = ContextVar("_work", default=None)
