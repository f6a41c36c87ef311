"""The composition root: build the simulator from plain values, or run it from settings."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random, SystemRandom

from starlette.applications import Starlette

from offhook.errors import SettingInvalid
from offhook.process.serve import serve
from offhook.settings import Settings
from offhook.simulator.applications import Applications
from offhook.simulator.exchange import SLOW_ANSWER_S, DuplicateAnswer, Exchange
from offhook.simulator.http.application import asgi_application
from offhook.simulator.journal import Journal
from offhook.simulator.random_ids import RandomIds
from offhook.simulator.webhooks.sender import RETRY_PAUSES_S, DeliveryFaults, WebhookSender
from offhook.telnyx.signature import signing_key_from

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Simulator:
    """The ASGI application, and the exchange behind it for calls in the same process."""

    application: Starlette
    exchange: Exchange


def build(
    *,
    webhook_url: str,
    signing_key: str,
    seed: int = 1,
    speed: float = 1.0,
    duplicates: float = 0.0,
    disorder: float = 0.0,
    loss: float = 0.0,
    key: str | None = None,
    connections: Collection[str] = (),
    journal: Journal | None = None,
    duplicate_answer: DuplicateAnswer = "first",
    slow_answer_s: float = SLOW_ANSWER_S,
    retry_pauses_s: Sequence[float] = RETRY_PAUSES_S,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Simulator:
    """A simulator that is not started yet. Raises SettingInvalid for a bad `signing_key`.

    `seed` decides the faults of webhooks only. Ids are never repeated: a log keeps them forever,
    and would take the events of a second run for those of the first.
    """
    ids = RandomIds(SystemRandom())
    sender = WebhookSender(
        signing_key=signing_key_from(signing_key),
        clock=clock,
        dice=Random(seed),
        faults=DeliveryFaults(duplicates=duplicates, disorder=disorder, loss=loss),
        retry_pauses_s=retry_pauses_s,
    )
    exchange = Exchange(
        sender=sender,
        applications=Applications(
            webhook_url=webhook_url,
            clock=clock,
            ids=ids,
            connections=connections,
            journal=journal,
        ),
        journal=journal,
        clock=clock,
        ids=ids,
        speed=speed,
        duplicate_answer=duplicate_answer,
        slow_answer_s=slow_answer_s,
    )
    application = asgi_application(exchange, clock=clock, key=key)
    return Simulator(application=application, exchange=exchange)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM; then finish running requests and webhooks.

    Raises SettingInvalid without a signing key.
    """
    if not settings.signing_key:
        raise SettingInvalid(
            "OFFHOOK_SIGNING_KEY is empty; the simulator signs its webhooks with it and expects "
            "base64 of 32 bytes"
        )
    journal = Journal(Path(settings.simulator_journal)) if settings.simulator_journal else None
    simulator = build(
        webhook_url=settings.webhook_url,
        signing_key=settings.signing_key,
        seed=settings.simulator_seed,
        speed=settings.simulator_speed,
        duplicates=settings.simulator_duplicates,
        disorder=settings.simulator_disorder,
        loss=settings.simulator_loss,
        key=settings.carrier_key or None,
        connections=settings.simulator_connections,
        journal=journal,
    )
    log.info(
        "simulator on http://%s:%d/v2, webhooks to %s, seed %d",
        settings.simulator_host,
        settings.simulator_port,
        settings.webhook_url,
        settings.simulator_seed,
    )
    await serve(simulator.application, host=settings.simulator_host, port=settings.simulator_port)
