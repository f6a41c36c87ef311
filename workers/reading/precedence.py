"""Which session goes first in a worker: one with little to do before one with much.

    begins ──▶ short ──────────────────────────────────────────▶ settled
                 │ ▲                                                ▲
                 ▼ │ read                                           │
               long: much to read, or many records to decide on ────┘
                     gives way between two slices of work, and before each page or decision

A long session waits until no short one is at work, and for one of a few slots before it reads a
page or decides, each only in proportion to its own work. A session that waits for the carrier or
for a permit is not at work. This affects only the order of sessions, never the order within one.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from offhook.process.slices import between_slices

WAIT_SHARE = 2.0
"""A long session waits for short ones at most so many times as long as it has worked."""

WAIT_MAX_S = 0.1
"""The longest such wait, after long work while there were none."""

LONG_AT_ONCE = 2
"""How many long sessions decide at a time, and how many read. Each may have a response of the log
on its way when a short session begins, which then waits for what is done with these."""

SLOT_WAIT_SHARE = 32.0
"""A long session waits for a slot at most so many times as long as its next step takes. Then it
takes that without one: those that have the slots may wait for a log that is slow or away. With 8,
16 sessions that catch up would not all have had their turn."""


@dataclass(kw_only=True)
class _Work:
    """What a task does for a session."""

    is_short: bool = False  # and at work: long ones give way to it
    slots: asyncio.Semaphore | None = None  # it has one of these
    may_wait_s: float = 0.0


class Precedence:
    """Of the sessions of one worker, each of which has a task. Other tasks are not concerned."""

    def __init__(self) -> None:
        self._short = 0  # sessions at work that long ones give way to
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        self._deciding = asyncio.Semaphore(LONG_AT_ONCE)
        self._reading = asyncio.Semaphore(LONG_AT_ONCE)

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
            self._free_slot(work)
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
        self._free_slot(work)
        try:
            yield
        finally:
            self._free_slot(work)
            self._count(work, is_short=was_short)

    async def give_way(self, worked_s: float) -> None:
        """Let short ones work, if the session is long and has worked so much since last time."""
        work = _work.get()
        if work is None or work.is_short:
            return
        work.may_wait_s = min(work.may_wait_s + worked_s * WAIT_SHARE, WAIT_MAX_S)
        if not self._short or work.may_wait_s <= 0:
            return
        began_at = time.perf_counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(work.may_wait_s):
                while self._short:
                    await self._is_quiet.wait()
        work.may_wait_s -= time.perf_counter() - began_at

    async def before_decision(self, decision_s: float) -> None:
        """Let others work before a decision that takes so long, if the session is long.

        It has a slot then until its next decision, or until it waits for others than this process.
        """
        if await self._took_slot(self._deciding, decision_s):
            await self.give_way(decision_s)

    async def before_page(self, page_s: float) -> None:
        """The same before a page is read that takes so long. Its slices give way by themselves."""
        await self._took_slot(self._reading, page_s)

    async def _took_slot(self, slots: asyncio.Semaphore, step_s: float) -> bool:
        """Wait for a slot, in proportion to the step; False if the session is not long."""
        work = _work.get()
        if work is None or work.is_short:
            return False
        self._free_slot(work)
        with suppress(TimeoutError):
            async with asyncio.timeout(step_s * SLOT_WAIT_SHARE):
                await slots.acquire()
                work.slots = slots
        return True

    def _free_slot(self, work: _Work) -> None:
        if work.slots is not None:
            work.slots.release()
            work.slots = None

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
