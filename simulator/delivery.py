"""Webhooks on their way: signed, posted, tried again, and disturbed on purpose.

    a 2xx answer                         delivered
    408, 429, 5xx, or no answer in 2 s   tried again with the next meta.attempt, a fresh signature
                                         and a growing pause, until the pauses are used up
    anything else                        undelivered at once

Without disorder the first attempts of a session's events leave in the order in which they happened,
one after the other; the real carrier promises no order at all. Each event draws its faults when it
is sent, from one seeded source, so that the same calls have the same faults.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

import httpx
import msgspec
from nacl.signing import SigningKey

from offhook.telnyx.signature import sign
from simulator.legs import Webhook, stamp

TIMEOUT_S = 2.0
RETRY_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
HELD_BACK_S = (0.2, 1.0)
SECOND_COPY_S = (0.0, 0.3)
CONNECTIONS_MAX = 100
IN_FLIGHT_MAX = 20_000
RECORDS_MAX = 200_000


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Shares of webhooks, 0 to 1: sent twice, and held back so that later ones overtake."""

    duplicates: float = 0.0
    disorder: float = 0.0


@dataclass(kw_only=True)
class Record:
    """What became of one event. `delivered` is None while it is on its way."""

    webhook: Webhook
    attempts: int = 0
    copies: int = 1
    held_back: bool = False
    delivered: bool | None = None


class Delivery:
    """Sends webhooks until it is closed. `dice` draws the faults and nothing else."""

    def __init__(
        self,
        *,
        webhook_url: str,
        signing_key: SigningKey,
        clock: Callable[[], datetime],
        dice: Random,
        faults: Faults,
        retry_pauses_s: Sequence[float] = RETRY_PAUSES_S,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self._webhook_url = webhook_url
        self._signing_key = signing_key
        self._clock = clock
        self._dice = dice
        self._faults = faults
        self._retry_pauses_s = tuple(retry_pauses_s)
        self._records_max = records_max
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._posting: set[asyncio.Task[None]] = set()
        self._newest: dict[str, asyncio.Event] = {}  # session -> its newest first attempt is made
        self._client: httpx.AsyncClient | None = None
        self.forgotten = 0

    def open(self) -> None:
        """Call once, inside the event loop, before the first webhook."""
        self._client = httpx.AsyncClient(
            # Waiting for a free connection is our own affair, not the receiver's delay.
            timeout=httpx.Timeout(TIMEOUT_S, pool=None),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            headers={"content-type": "application/json", "user-agent": "telnyx-webhooks"},
            trust_env=False,
        )

    async def close(self, wait_s: float) -> None:
        """Wait so long for what is on its way; the rest stays undelivered."""
        if self._posting:
            await asyncio.wait(self._posting, timeout=wait_s)
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def send(self, webhook: Webhook) -> None:
        """Put an event on its way; what becomes of it is in `records`."""
        record = self._record(webhook)
        twice = self._dice.random() < self._faults.duplicates
        second_after_s = self._dice.choice((0.0, self._dice.uniform(*SECOND_COPY_S)))
        record.held_back = self._dice.random() < self._faults.disorder
        hold_s = self._dice.uniform(*HELD_BACK_S) if record.held_back else 0.0
        if len(self._posting) >= IN_FLIGHT_MAX:
            record.delivered = False
            return
        self._start(self._deliver_in_turn(record, hold_s))
        if twice:
            record.copies = 2
            self._start(self._deliver(record, hold_s + second_after_s))

    def records(self) -> list[Record]:
        """Oldest first."""
        return list(self._records.values())

    def _record(self, webhook: Webhook) -> Record:
        record = Record(webhook=webhook)
        self._records[webhook.id] = record
        while len(self._records) > self._records_max:
            self._records.popitem(last=False)
            self.forgotten += 1
        return record

    def _start(self, delivering: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(delivering)
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)

    async def _deliver_in_turn(self, record: Record, hold_s: float) -> None:
        """After the session's earlier event, unless held back: then it stands in nobody's way."""
        if record.held_back:
            await self._deliver(record, hold_s)
            return
        session = record.webhook.call_session_id
        before = self._newest.get(session)
        tried = self._newest[session] = asyncio.Event()
        try:
            if before is not None:
                await before.wait()
            await self._deliver(record, 0.0, tried)
        finally:
            tried.set()
            if self._newest.get(session) is tried:
                del self._newest[session]

    async def _deliver(
        self, record: Record, after_s: float, tried: asyncio.Event | None = None
    ) -> None:
        await asyncio.sleep(after_s)
        for attempt, pause_s in enumerate((*self._retry_pauses_s, None), start=1):
            record.attempts += 1
            status = await self._post(record.webhook, attempt)
            if tried is not None:
                tried.set()
            if status is not None and 200 <= status < 300:
                record.delivered = True
                return
            if pause_s is None or not _worth_another_try(status):
                break
            await asyncio.sleep(pause_s)
        # The other copy may have got through, or may still.
        if record.delivered is None:
            record.delivered = False

    async def _post(self, webhook: Webhook, attempt: int) -> int | None:
        """The receiver's status; None if it gave none."""
        assert self._client is not None, "open() comes first"
        url = webhook.url or self._webhook_url
        body = body_of(webhook, attempt, url)
        headers = sign(body, self._signing_key, self._clock().timestamp())
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return response.status_code


def body_of(webhook: Webhook, attempt: int, url: str) -> bytes:
    """The event in its v2 envelope, as it goes over the wire."""
    return msgspec.json.encode(
        {
            "data": {
                "event_type": webhook.event_type,
                "id": webhook.id,
                "occurred_at": stamp(webhook.occurred_at),
                "payload": webhook.payload,
                "record_type": "event",
            },
            "meta": {"attempt": attempt, "delivered_to": url},
        }
    )


def record_shown(record: Record) -> dict[str, Any]:
    """An event as GET /simulator/effects shows it."""
    webhook = record.webhook
    return {
        "id": webhook.id,
        "event_type": webhook.event_type,
        "call_control_id": webhook.call_control_id,
        "call_session_id": webhook.call_session_id,
        "occurred_at": stamp(webhook.occurred_at),
        "attempts": record.attempts,
        "copies": record.copies,
        "held_back": record.held_back,
        "delivered": record.delivered,
    }


def totals_shown(records: Sequence[Record]) -> dict[str, int]:
    """How many events there were, and what became of them."""
    return {
        "events": len(records),
        "attempts": sum(record.attempts for record in records),
        "duplicates": sum(record.copies - 1 for record in records),
        "held_back": sum(record.held_back for record in records),
        "delivered": sum(record.delivered is True for record in records),
        "undelivered": sum(record.delivered is False for record in records),
        "pending": sum(record.delivered is None for record in records),
    }


def _worth_another_try(status: int | None) -> bool:
    return status is None or status in (408, 429) or status >= 500
