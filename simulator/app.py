"""The composition root: put the simulator together from plain values, or run it from settings."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random, SystemRandom

from starlette.applications import Starlette

from offhook.errors import SettingInvalid
from offhook.process import serve
from offhook.settings import Settings
from offhook.simulator.applications import Applications
from offhook.simulator.exchange import SLOW_ANSWER_S, DuplicateAnswer, Exchange
from offhook.simulator.http.carrier import application
from offhook.simulator.journal import Journal
from offhook.simulator.webhooks.delivery import RETRY_PAUSES_S, Delivery, Faults
from offhook.telnyx.signature import signing_key_from

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Simulator:
    """The ASGI application, and the exchange behind it for calls placed in the same process."""

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
    identities: Random | None = None,
) -> Simulator:
    """A simulator that nobody has started yet. Raises SettingInvalid for a bad `signing_key`.

    `seed` decides the faults. Ids never come from it unless `identities` is given: a log that
    remembers them for ever would take the events of a second run for those of the first.
    """
    chance = identities or SystemRandom()
    delivery = Delivery(
        signing_key=signing_key_from(signing_key),
        clock=clock,
        dice=Random(seed),
        faults=Faults(duplicates=duplicates, disorder=disorder, loss=loss),
        retry_pauses_s=retry_pauses_s,
    )
    exchange = Exchange(
        delivery=delivery,
        applications=Applications(
            webhook_url=webhook_url,
            clock=clock,
            identities=chance,
            connections=connections,
            journal=journal,
        ),
        journal=journal,
        clock=clock,
        identities=chance,
        speed=speed,
        duplicate_answer=duplicate_answer,
        slow_answer_s=slow_answer_s,
    )
    carrier = application(exchange, clock=clock, key=key)
    return Simulator(application=carrier, exchange=exchange)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM; then finish the requests and the webhooks that are on their way.

    Raises SettingInvalid without a key to sign with.
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
