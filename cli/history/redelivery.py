"""Stored webhooks, posted to an HTTP endpoint again: bounded in rate, number at once and retries.

The body is the one that was stored, with the carrier's headers as they came, and with headers that
say it is a replay. The webhooks of a session go one after the other; one that fails in the end
keeps the rest of its session back, so that no endpoint sees them out of order.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import httpx

from offhook.events import WebhookReceived
from offhook.history.lines import HistoryRecord
from offhook.position import position_text

POSITION_HEADER = "Offhook-Replay"
SESSION_HEADER = "Offhook-Replay-Session"
STORED_AT_HEADER = "Offhook-Replay-Stored-At"

PENDING_MAX = 1_000
"""Webhooks that wait for their turn; the next is not read before."""

TIMEOUT_S = 10.0
PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 8.0
FAILURES_MAX = 20
"""Failures kept to be shown, the first ones."""

ANSWER_BYTES_SHOWN_MAX = 200
"""Of a refusal's body."""

_RETRIED = frozenset({408, 425, 429})


class Redelivery:
    """Close it by leaving the `with` block; what is under way is finished by `drain`."""

    def __init__(self, url: str, *, rate_per_s: float, at_once: int, retries: int) -> None:
        """`rate_per_s` 0: as fast as the endpoint answers."""
        self.counts: Counter[str] = Counter()  # sent, failed, held back, no webhook
        self.failures: list[str] = []
        self.statuses: set[int] = set()  # of answers that refused a webhook
        self._url = url
        self._pause_s = 1 / rate_per_s if rate_per_s else 0.0
        self._retries = retries
        self._at_once = asyncio.Semaphore(at_once)
        self._pending = asyncio.Semaphore(PENDING_MAX)
        self._next_at = 0.0
        self._last: dict[str, asyncio.Task[bool]] = {}  # of each session that has one waiting
        self._tasks: set[asyncio.Task[bool]] = set()
        self._broken: set[str] = set()
        limits = httpx.Limits(max_connections=at_once)
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def add(self, record: HistoryRecord) -> None:
        """Take a record; waits while too many are under way. Others than webhooks are left out."""
        if record.type != WebhookReceived.__name__:
            self.counts["no webhook"] += 1
            return
        await self._pending.acquire()
        before = self._last.get(record.session_id)
        task = asyncio.create_task(self._deliver(record, before))
        self._last[record.session_id] = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(record.session_id, done))

    async def drain(self) -> None:
        """Wait until all that was added is delivered, or has failed."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _done(self, session_id: str, task: "asyncio.Task[bool]") -> None:
        self._pending.release()
        self._tasks.discard(task)
        if self._last.get(session_id) is task:
            del self._last[session_id]

    async def _deliver(self, record: HistoryRecord, before: "asyncio.Task[bool] | None") -> bool:
        if before is not None:
            await asyncio.wait([before])
        if record.session_id in self._broken:
            self.counts["held back"] += 1
            return False
        async with self._at_once:
            failure = await self._tried(record)
        if failure is None:
            self.counts["sent"] += 1
            return True
        self.counts["failed"] += 1
        self._broken.add(record.session_id)
        if len(self.failures) < FAILURES_MAX:
            self.failures.append(
                f"position {position_text(record.position)}: event {record.fact_id} of session"
                f" {record.session_id}: {failure}"
            )
        return False

    async def _tried(self, record: HistoryRecord) -> str | None:
        """None once it was taken; else why it was not."""
        pause_s = PAUSE_FIRST_S
        for left in range(self._retries, -1, -1):
            await self._turn()
            try:
                answer = await self._http.post(
                    self._url, content=record.body, headers=headers_of(record)
                )
            except httpx.HTTPError as error:
                failure = f"it did not answer: {error!r}"
            else:
                if answer.is_success:
                    return None
                failure = f"it answered {_text_of(answer)}"
                self.statuses.add(answer.status_code)
                if not (answer.is_server_error or answer.status_code in _RETRIED):
                    return failure
            if left:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
        return failure

    async def _turn(self) -> None:
        now = time.monotonic()
        at = max(now, self._next_at)
        self._next_at = at + self._pause_s
        await asyncio.sleep(at - now)


def _text_of(answer: httpx.Response) -> str:
    """Its status, and the beginning of what it says: "408 Request Timeout: 'too old'"."""
    status = f"{answer.status_code} {answer.reason_phrase}".rstrip()
    words = answer.content[:ANSWER_BYTES_SHOWN_MAX].decode(errors="replace").strip()
    return f"{status}: {words!r}" if words else status


def headers_of(record: HistoryRecord) -> dict[str, str]:
    """The carrier's headers as stored, and those that say that it is a replay."""
    own = {
        name: value
        for name, value in record.headers.items()
        if not name.lower().startswith("offhook-")
    }
    return own | {
        "content-type": "application/json",
        POSITION_HEADER: str(record.position),
        SESSION_HEADER: record.session_id,
        STORED_AT_HEADER: record.stored_at.isoformat(),
    }


async def paced(
    records: AsyncIterator[HistoryRecord], speed: float | None
) -> AsyncIterator[HistoryRecord]:
    """The records, so many times faster than they were stored; None: as fast as they are read."""
    began = time.monotonic()
    first = None
    async for record in records:
        if speed is not None:
            first = first or record.stored_at
            due = began + (record.stored_at - first).total_seconds() / speed
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield record
