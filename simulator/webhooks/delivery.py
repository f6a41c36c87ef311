"""Webhooks on their way: signed, posted, tried again, and disturbed on purpose.

    a 2xx answer                         delivered
    408, 429, 5xx, or no answer in time  tried again with the next meta.attempt, a fresh signature
                                         and a growing pause, until the pauses are used up
    anything else                        undelivered at once

Time is the application's `webhook_timeout_secs`, or 2 s. The pauses are the call's own
`webhook_retries_policies`, if it has one for the event. With a failover address the first two tries
go to the first address, the others there; a refusal at the first leads there at once. A call's own
addresses (`webhook_url`, `webhook_urls`) come before the application's, and share its failover.
The documents contradict each other here; this is the reading that most of them allow.

Without disorder the first attempts of a session's events leave in the order in which they happened,
one after the other; the real carrier promises no order at all. Each event draws its faults when it
is sent, from one seeded source, so that the same calls have the same faults.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID, uuid5

import httpx
from nacl.signing import SigningKey

from offhook.simulator.applications import Application
from offhook.simulator.call.legs import stamp
from offhook.simulator.call.steps import Webhook
from offhook.simulator.webhooks.envelopes import Envelope, envelope_of

TIMEOUT_S = 2.0
RETRY_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
FIRST_ADDRESS_TRIES = 2
HELD_BACK_S = (0.2, 1.0)
SECOND_COPY_S = (0.0, 0.3)
CONNECTIONS_MAX = 100
IN_FLIGHT_MAX = 20_000
RECORDS_MAX = 200_000
ANSWER_KEPT_MAX = 1_000  # characters


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Shares of webhooks, 0 to 1: sent twice, held back so that later ones overtake, never sent."""

    duplicates: float = 0.0
    disorder: float = 0.0
    loss: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try. `status` is None if the receiver gave none in time; `answer` is its body's start."""

    number: int
    url: str
    started_at: datetime
    finished_at: datetime
    status: int | None
    answer: str = ""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(kw_only=True)
class Record:
    """What became of one event at one address. `delivered` is None while it is on its way."""

    id: str
    webhook: Webhook
    application: Application
    url: str
    attempts: list[Attempt] = field(default_factory=list)  # bounded by the pauses
    copies: int = 1
    held_back: bool = False
    lost: bool = False
    delivered: bool | None = None


class Delivery:
    """Sends webhooks until it is closed. `dice` draws the faults and nothing else."""

    def __init__(
        self,
        *,
        signing_key: SigningKey,
        clock: Callable[[], datetime],
        dice: Random,
        faults: Faults,
        retry_pauses_s: Sequence[float] = RETRY_PAUSES_S,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self.settled: Callable[[Record], None] = lambda record: None  # called when one is over
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
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            headers={"user-agent": "telnyx-webhooks"},
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

    def send(self, webhook: Webhook, application: Application) -> None:
        """Put an event on its way to each of its addresses; what becomes of it is in `records`."""
        for url in webhook.urls or (application.webhook_event_url,):
            self._send(webhook, application, url)

    def records(self) -> list[Record]:
        """Oldest first."""
        return list(self._records.values())

    def record(self, delivery_id: str) -> Record | None:
        return self._records.get(delivery_id)

    def _send(self, webhook: Webhook, application: Application, url: str) -> None:
        record = self._record(webhook, application, url)
        twice = self._dice.random() < self._faults.duplicates
        second_after_s = self._dice.choice((0.0, self._dice.uniform(*SECOND_COPY_S)))
        held_back = self._dice.random() < self._faults.disorder
        hold_s = self._dice.uniform(*HELD_BACK_S) if held_back else 0.0
        record.lost = self._dice.random() < self._faults.loss
        if record.lost or len(self._posting) >= IN_FLIGHT_MAX:
            self._settle(record, delivered=False)
            return
        record.held_back = held_back
        self._start(self._deliver_in_turn(record, hold_s))
        if twice:
            record.copies = 2
            self._start(self._deliver(record, hold_s + second_after_s))

    def _record(self, webhook: Webhook, application: Application, url: str) -> Record:
        delivery_id = str(uuid5(UUID(webhook.id), url))
        record = Record(id=delivery_id, webhook=webhook, application=application, url=url)
        self._records[delivery_id] = record
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
        url, failover_url = record.url, record.application.webhook_event_failover_url
        for number, pause_s in enumerate((*self._pauses_s(record.webhook), None), start=1):
            if failover_url and number > FIRST_ADDRESS_TRIES:
                url = failover_url
            attempt = await self._post(record, number, url)
            record.attempts.append(attempt)
            if tried is not None:
                tried.set()
            if attempt.delivered:
                self._settle(record, delivered=True)
                return
            if pause_s is None:
                break
            if _worth_another_try(attempt.status):
                await asyncio.sleep(pause_s)
            elif failover_url and url != failover_url:
                url = failover_url
            else:
                break
        # The other copy may have got through, or may still.
        if record.delivered is None:
            self._settle(record, delivered=False)

    def _settle(self, record: Record, *, delivered: bool) -> None:
        record.delivered = delivered
        self.settled(record)

    def _pauses_s(self, webhook: Webhook) -> tuple[float, ...]:
        if webhook.retries_ms is None:
            return self._retry_pauses_s
        return tuple(pause_ms / 1000 for pause_ms in webhook.retries_ms)

    async def _post(self, record: Record, number: int, url: str) -> Attempt:
        assert self._client is not None, "open() comes first"
        started_at = self._clock()
        version = record.application.webhook_api_version
        sent = envelope_of(
            record.webhook, number, url, version, self._signing_key, started_at.timestamp()
        )
        timeout_s = record.application.webhook_timeout_secs or TIMEOUT_S
        status, answer = await self._answer(sent, record.webhook.method, url, timeout_s)
        return Attempt(
            number=number,
            url=url,
            started_at=started_at,
            finished_at=self._clock(),
            status=status,
            answer=answer,
        )

    async def _answer(
        self, sent: Envelope, method: str, url: str, timeout_s: float
    ) -> tuple[int | None, str]:
        """The receiver's status and the start of its body; no status if it gave none."""
        assert self._client is not None
        try:
            response = await self._client.request(
                method,
                url,
                content=sent.body or None,
                params=sent.query or None,
                headers=sent.headers,
                # Waiting for a free connection is our own affair, not the receiver's delay.
                timeout=httpx.Timeout(timeout_s, pool=None),
            )
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, ExceptionGroup):
            # The last two: a host name that cannot be encoded, a port that cannot be.
            return None, ""
        return response.status_code, response.text[:ANSWER_KEPT_MAX]


def record_shown(record: Record) -> dict[str, Any]:
    """An event as GET /simulator/effects shows it."""
    webhook = record.webhook
    return {
        "id": webhook.id,
        "event_type": webhook.event_type,
        "call_control_id": webhook.call_control_id,
        "call_session_id": webhook.call_session_id,
        "occurred_at": stamp(webhook.occurred_at),
        "attempts": len(record.attempts),
        "copies": record.copies,
        "held_back": record.held_back,
        "lost": record.lost,
        "delivered": record.delivered,
    }


def totals_shown(records: Sequence[Record]) -> dict[str, int]:
    """How many events there were, and what became of them; the lost are undelivered too."""
    return {
        "events": len(records),
        "attempts": sum(len(record.attempts) for record in records),
        "duplicates": sum(record.copies - 1 for record in records),
        "held_back": sum(record.held_back for record in records),
        "lost": sum(record.lost for record in records),
        "delivered": sum(record.delivered is True for record in records),
        "undelivered": sum(record.delivered is False for record in records),
        "pending": sum(record.delivered is None for record in records),
    }


def _worth_another_try(status: int | None) -> bool:
    return status is None or status in (408, 429) or status >= 500
