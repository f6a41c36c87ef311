"""Sends webhooks: signed, posted, retried, and with faults on purpose.

    a 2xx answer                         delivered
    408, 429, 5xx, or no answer in time  retried with the next meta.attempt, a fresh signature and
                                         a growing pause, until the pauses are used up
    anything else                        undelivered at once

The timeout is the application's `webhook_timeout_secs`, or 2 s. The pauses are the call's own
`webhook_retries_policies`, if it has one for the event. With a failover address the first two
attempts go to the first address, the others to the failover; if the first address refuses, the next
attempt goes there. A call's own addresses (`webhook_url`, `webhook_urls`) come before the
application's, and share its failover. The documents contradict each other here; this is the reading
that most of them allow.

Without disorder the first attempts of a session's events leave one after the other, in the order of
the events; the real carrier promises no order. Each event draws its faults when it is sent, from a
seeded source, so that the same calls have the same faults.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID, uuid5

import httpx
from nacl.signing import SigningKey

from offhook.recent import RecentDict
from offhook.simulator.applications import CallControlApplication
from offhook.simulator.call.changes import OutgoingWebhook
from offhook.simulator.webhooks.deliveries import DeliveryAttempt, WebhookDelivery
from offhook.simulator.webhooks.envelopes import Envelope, envelope_of

TIMEOUT_S = 2.0
RETRY_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
FIRST_ADDRESS_ATTEMPTS = 2
HOLD_S = (0.2, 1.0)
COPY_DELAY_S = (0.0, 0.3)
CONNECTIONS_MAX = 100
IN_FLIGHT_MAX = 20_000
DELIVERIES_MAX = 200_000
ANSWER_LENGTH_MAX = 1_000  # characters kept of an answer's body


@dataclass(frozen=True, kw_only=True)
class DeliveryFaults:
    """Shares of webhooks, 0 to 1: sent twice, held back behind later ones, never sent."""

    duplicates: float = 0.0
    disorder: float = 0.0
    loss: float = 0.0


class WebhookSender:
    """Sends webhooks until it is closed. `dice` draws the faults and nothing else.

    `on_settled` is called with every delivery whose outcome is known.
    """

    def __init__(
        self,
        *,
        signing_key: SigningKey,
        clock: Callable[[], datetime],
        dice: Random,
        faults: DeliveryFaults,
        retry_pauses_s: Sequence[float] = RETRY_PAUSES_S,
    ) -> None:
        self.on_settled: Callable[[WebhookDelivery], None] = lambda delivery: None
        self._signing_key = signing_key
        self._clock = clock
        self._dice = dice
        self._faults = faults
        self._retry_pauses_s = tuple(retry_pauses_s)
        self._deliveries = RecentDict[str, WebhookDelivery](DELIVERIES_MAX)
        self._posting: set[asyncio.Task[None]] = set()
        # By session: set once the first attempt of its newest webhook has been made.
        self._newest: dict[str, asyncio.Event] = {}
        self._client: httpx.AsyncClient | None = None

    def open(self) -> None:
        """Call once, inside the event loop, before the first webhook."""
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            headers={"user-agent": "telnyx-webhooks"},
            trust_env=False,
        )

    async def close(self, wait_s: float) -> None:
        """Wait at most `wait_s` for running deliveries; the rest stays undelivered."""
        if self._posting:
            await asyncio.wait(self._posting, timeout=wait_s)
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def send(self, webhook: OutgoingWebhook, application: CallControlApplication) -> None:
        """Start to deliver an event to each of its addresses; the outcome is in `deliveries`."""
        for url in webhook.urls or (application.webhook_event_url,):
            self._send(webhook, application, url)

    @property
    def forgotten(self) -> int:
        """How many deliveries were dropped, beyond DELIVERIES_MAX."""
        return self._deliveries.dropped

    def deliveries(self) -> list[WebhookDelivery]:
        """Oldest first."""
        return list(self._deliveries.values())

    def delivery(self, delivery_id: str) -> WebhookDelivery | None:
        """One delivery; None if there is none, or it was forgotten."""
        return self._deliveries.get(delivery_id)

    def _send(
        self, webhook: OutgoingWebhook, application: CallControlApplication, url: str
    ) -> None:
        delivery = self._new_delivery(webhook, application, url)
        duplicated = self._dice.random() < self._faults.duplicates
        copy_after_s = self._dice.choice((0.0, self._dice.uniform(*COPY_DELAY_S)))
        held_back = self._dice.random() < self._faults.disorder
        hold_s = self._dice.uniform(*HOLD_S) if held_back else 0.0
        delivery.lost = self._dice.random() < self._faults.loss
        if delivery.lost or len(self._posting) >= IN_FLIGHT_MAX:
            self._settle(delivery, delivered=False)
            return
        delivery.held_back = held_back
        self._run(self._deliver_in_order(delivery, hold_s))
        if duplicated:
            delivery.copies = 2
            self._run(self._deliver(delivery, hold_s + copy_after_s))

    def _new_delivery(
        self, webhook: OutgoingWebhook, application: CallControlApplication, url: str
    ) -> WebhookDelivery:
        delivery_id = str(uuid5(UUID(webhook.id), url))
        delivery = WebhookDelivery(
            id=delivery_id, webhook=webhook, application=application, url=url
        )
        self._deliveries[delivery_id] = delivery
        return delivery

    def _run(self, delivering: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(delivering)
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)

    async def _deliver_in_order(self, delivery: WebhookDelivery, hold_s: float) -> None:
        """Deliver after the first attempt of the session's earlier event, unless held back."""
        if delivery.held_back:
            await self._deliver(delivery, hold_s)
            return
        session = delivery.webhook.call_session_id
        before = self._newest.get(session)
        tried = self._newest[session] = asyncio.Event()
        try:
            if before is not None:
                await before.wait()
            await self._deliver(delivery, 0.0, tried)
        finally:
            tried.set()
            if self._newest.get(session) is tried:
                del self._newest[session]

    async def _deliver(
        self, delivery: WebhookDelivery, after_s: float, tried: asyncio.Event | None = None
    ) -> None:
        await asyncio.sleep(after_s)
        url, failover_url = delivery.url, delivery.application.webhook_event_failover_url
        for number, pause_s in enumerate((*self._pauses_s(delivery.webhook), None), start=1):
            if failover_url and number > FIRST_ADDRESS_ATTEMPTS:
                url = failover_url
            attempt = await self._post(delivery, number, url)
            delivery.attempts.append(attempt)
            if tried is not None:
                tried.set()
            if attempt.delivered:
                self._settle(delivery, delivered=True)
                return
            if pause_s is None:
                break
            if _is_retried(attempt.status):
                await asyncio.sleep(pause_s)
            elif failover_url and url != failover_url:
                url = failover_url
            else:
                break
        # The other copy may have been delivered, or may still be.
        if delivery.delivered is None:
            self._settle(delivery, delivered=False)

    def _settle(self, delivery: WebhookDelivery, *, delivered: bool) -> None:
        delivery.delivered = delivered
        self.on_settled(delivery)

    def _pauses_s(self, webhook: OutgoingWebhook) -> tuple[float, ...]:
        if webhook.retries_ms is None:
            return self._retry_pauses_s
        return tuple(pause_ms / 1000 for pause_ms in webhook.retries_ms)

    async def _post(self, delivery: WebhookDelivery, number: int, url: str) -> DeliveryAttempt:
        assert self._client is not None, "open() comes first"
        started_at = self._clock()
        version = delivery.application.webhook_api_version
        sent = envelope_of(
            delivery.webhook, number, url, version, self._signing_key, started_at.timestamp()
        )
        timeout_s = delivery.application.webhook_timeout_secs or TIMEOUT_S
        status, answer = await self._answer(sent, delivery.webhook.method, url, timeout_s)
        return DeliveryAttempt(
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
        """The receiver's status and the start of its body; (None, "") if it gave none."""
        assert self._client is not None
        try:
            response = await self._client.request(
                method,
                url,
                content=sent.body or None,
                params=sent.query or None,
                headers=sent.headers,
                # Waiting for a free connection is not the receiver's delay.
                timeout=httpx.Timeout(timeout_s, pool=None),
            )
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, ExceptionGroup):
            # The last two: a host name that cannot be encoded, an impossible port.
            return None, ""
        return response.status_code, response.text[:ANSWER_LENGTH_MAX]


def _is_retried(status: int | None) -> bool:
    return status is None or status in (408, 429) or status >= 500
