"""What each role answers when it is asked how it is: core NATS on `roles.ask`, nothing stored.

A role may run anywhere and in any number, and nobody has a list of them. So one question reaches
all, and whoever is there answers within ANSWERED_WITHIN_S. What does not answer is not there, or
too busy to say so.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry

from offhook.errors import LogUnavailable, words_of
from offhook.jetstream.subjects import ASK_ROLES
from offhook.process.health import Readiness, Warnings

ANSWERED_WITHIN_S = 0.3
READINESS_WITHIN_S = 0.15
"""How long a role waits for its own readiness check before it answers with the last result."""

ANSWERS_MAX = 500
FIGURES_MAX = 200
WARNINGS_MAX = 20
TEXT_CHARS_MAX = 500
QUESTIONS_WAITING_MAX = 16

SHOWN: Mapping[str, Sequence[str]] = {
    "offhook_webhooks_total": ("result",),
    "offhook_webhooks_odd_total": ("oddity",),
    "offhook_decisions_total": (),
    "offhook_commands_total": ("outcome",),
    "offhook_carrier_busy_total": ("of",),
    "offhook_conflicts_total": (),
    "offhook_handed_over_total": (),
    "offhook_sessions_parked_total": (),
    "offhook_lanes": (),
    "offhook_commands_waiting": (),
    "offhook_projector_active": (),
    "offhook_projector_records_total": (),
    "offhook_projector_repeated_total": (),
    "offhook_projector_restarts_total": (),
    "offhook_projector_refused_total": (),
    "offhook_projector_sessions_parked_total": (),
    "offhook_api_requests_total": ("status",),
}
"""Metrics that are answered, by their names in /metrics, with the labels that are kept; the values
of other labels are added up."""


@dataclass(frozen=True, kw_only=True)
class RoleFigure:
    """A metric of a role since it started, by its name in /metrics."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RoleAnswer:
    """A role as it describes itself."""

    role: str  # ingress, worker, projector, api
    instance: str  # host and process
    version: str
    started_at: datetime
    ready: bool | None  # null if its first check has not ended
    because: str | None  # why it is not ready
    warnings: Sequence[str] = ()
    figures: Sequence[RoleFigure] = ()


async def answer_questions(
    client: Client,
    role: str,
    *,
    readiness: Readiness,
    warnings: Warnings,
    registry: CollectorRegistry,
) -> None:
    """Answer from now on, as long as the client is connected."""
    started_at = datetime.now(UTC)
    instance = f"{socket.gethostname()}-{os.getpid()}"

    async def answer(message: Msg) -> None:
        because = await readiness.latest(READINESS_WITHIN_S)
        answered = RoleAnswer(
            role=role,
            instance=instance,
            version=version("offhook"),
            started_at=started_at,
            ready=None if because is None else not because,
            because=_shortened(because) if because else None,
            warnings=[_shortened(each) for each in list(warnings())[:WARNINGS_MAX]],
            figures=figures_of(registry),
        )
        with contextlib.suppress(NatsError):  # whoever asked waits no longer than it said
            await message.respond(msgspec.json.encode(answered))

    await client.subscribe(ASK_ROLES, cb=answer, pending_msgs_limit=QUESTIONS_WAITING_MAX)


async def ask_roles(client: Client, within_s: float = ANSWERED_WITHIN_S) -> list[RoleAnswer]:
    """Every role that answers in that time, by role and start. Raises LogUnavailable."""
    answers: list[RoleAnswer] = []

    async def on_answer(message: Msg) -> None:
        with contextlib.suppress(msgspec.DecodeError):  # a role of another version
            answers.append(msgspec.json.decode(message.data, type=RoleAnswer))

    try:
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=on_answer, pending_msgs_limit=ANSWERS_MAX)
        try:
            await client.publish(ASK_ROLES, b"", reply=inbox)
            await asyncio.sleep(within_s)
        finally:
            await subscription.unsubscribe()
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"the roles cannot be asked: {words_of(error)}") from error
    return sorted(
        answers[:ANSWERS_MAX], key=lambda each: (each.role, each.started_at, each.instance)
    )


def figures_of(registry: CollectorRegistry) -> list[RoleFigure]:
    """What is shown of a registry."""
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            if (kept := SHOWN.get(sample.name)) is not None:
                labels = tuple((name, sample.labels[name]) for name in kept)
                sums[sample.name, labels] = sums.get((sample.name, labels), 0.0) + sample.value
    return [
        RoleFigure(name=name, labels=dict(labels), value=value)
        for (name, labels), value in list(sums.items())[:FIGURES_MAX]
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 1]}…"
