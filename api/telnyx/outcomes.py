"""Waits for the outcome of a command: a message wakes the waiter, which then reads the log.

Messages on `.out` reach plain subscribers before the stream has stored them, even if it then
refuses them (a conflict). So a message is never taken for an outcome: it is only a reason to read
the log.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from offhook.api.errors import refusal
from offhook.codec.facts import fact_id_of
from offhook.errors import LogUnavailable
from offhook.events import CommandFailed, CommandSucceeded
from offhook.jetstream.log import EventLog
from offhook.jetstream.message import ID_HEADER
from offhook.jetstream.subjects import ALL_OUT, subject_of

CommandOutcome = CommandSucceeded | CommandFailed

WAITING_MAX = 2_000
"""Commands that may wait for their outcome at once in this process."""

POLL_S = 0.25
"""A backstop: a message can be lost."""

LOOK_FIRST_S = 0.001
"""After a wake-up: storing a record, flushed to disk, takes a few times as long."""


@dataclass(frozen=True, kw_only=True)
class StoredOutcome:
    """An outcome and the position of its record."""

    outcome: CommandOutcome
    position: int


class Outcomes:
    """Waits for outcomes on one subscription. Use as a context manager, once per process."""

    def __init__(self, client: Client, log: EventLog, *, waiting_max: int = WAITING_MAX) -> None:
        self._client = client
        self._log = log
        self._waiting_max = waiting_max
        self._waiting: dict[tuple[str, str], set[asyncio.Event]] = {}
        self._count = 0
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> "Outcomes":
        self._subscription = await self._client.subscribe(ALL_OUT, cb=self._on_message)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._subscription is not None:
            with suppress(NatsError):  # a closed connection has no subscriptions left
                await self._subscription.unsubscribe()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Room for a command to wait. Raises ErrorAnswer 429, before anything was appended."""
        if self._count >= self._waiting_max:
            raise refusal(
                429,
                "10011",
                f"{self._waiting_max} commands wait for their outcome already; nothing was done",
                headers={"retry-after": "1"},
            )
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def wait(
        self, session_id: str, command_id: str, *, after_seq: int, until: float
    ) -> StoredOutcome | None:
        """The command's outcome above `after_seq`; None if there is none by `until` (loop time)."""
        fact_id = fact_id_of(CommandSucceeded(command_id=command_id), session_id)
        with self._listening((subject_of(session_id, "out"), fact_id)) as woken:
            seen, pause_s = after_seq, POLL_S
            while True:
                try:
                    records = await self._log.read(session_id, in_after=after_seq, out_after=seen)
                except LogUnavailable:
                    records = []  # the next read may succeed; the time is bounded
                for record in records:
                    if record.side == "out":
                        seen = record.seq
                    fact = record.fact
                    if isinstance(fact, CommandOutcome) and fact.command_id == command_id:
                        return StoredOutcome(outcome=fact, position=record.seq)
                left_s = until - asyncio.get_running_loop().time()
                if left_s <= 0:
                    return None
                try:
                    async with asyncio.timeout(min(pause_s, left_s)):
                        await woken.wait()
                except TimeoutError:
                    pause_s = min(pause_s * 2, POLL_S)
                else:
                    woken.clear()
                    pause_s = LOOK_FIRST_S

    @contextmanager
    def _listening(self, key: tuple[str, str]) -> Iterator[asyncio.Event]:
        woken = asyncio.Event()
        self._waiting.setdefault(key, set()).add(woken)
        try:
            yield woken
        finally:
            others = self._waiting[key]
            others.discard(woken)
            if not others:
                del self._waiting[key]

    async def _on_message(self, message: Msg) -> None:
        fact_id = (message.headers or {}).get(ID_HEADER, "")
        for woken in self._waiting.get((message.subject, fact_id), ()):
            woken.set()
