"""What a role answers about itself."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from prometheus_client import CollectorRegistry, Counter, Gauge

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.roles.answers import (
    TEXT_CHARS_MAX,
    RoleFigure,
    answer_questions,
    ask_roles,
    figures_of,
)
from offhook.process.health import Readiness

TIMEOUT_S = 60.0


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(nats_server.url, "test")
    yield client
    await close(client)


def test_a_label_that_is_not_kept_is_added_up() -> None:
    registry = CollectorRegistry()
    commands = Counter("offhook_commands", "-", ["operation", "outcome"], registry=registry)
    commands.labels(operation="dial", outcome="ok").inc(2)
    commands.labels(operation="hangup", outcome="ok").inc(3)
    commands.labels(operation="hangup", outcome="deadline").inc()
    Gauge("offhook_budget_left", "-", registry=registry).set(9)
    assert figures_of(registry) == [
        RoleFigure(name="offhook_commands_total", labels={"outcome": "ok"}, value=5.0),
        RoleFigure(name="offhook_commands_total", labels={"outcome": "deadline"}, value=1.0),
    ]


async def test_roles_answer_without_waiting_for_a_slow_check(client: Client) -> None:
    may_end = asyncio.Event()

    async def slow() -> str:
        await may_end.wait()
        return ""

    async def refusing() -> str:
        return "x" * 2 * TEXT_CHARS_MAX

    for name, check in (("worker", slow), ("ingress", refusing)):
        await answer_questions(
            client,
            name,
            readiness=Readiness(check),
            warnings=lambda: ["look"],
            registry=CollectorRegistry(),
        )
    async with asyncio.timeout(TIMEOUT_S):
        while len(found := await ask_roles(client, within_s=1.0)) < 2:
            pass  # a busy machine needs more than a second for an answer
    refused, checking = found
    assert (refused.role, refused.ready) == ("ingress", False)
    assert refused.because is not None
    assert len(refused.because) == TEXT_CHARS_MAX
    assert (checking.role, checking.ready, checking.because) == ("worker", None, None)
    assert list(checking.warnings) == ["look"]
    may_end.set()


async def test_nobody_answers_where_nobody_is(client: Client) -> None:
    assert await ask_roles(client, within_s=0.1) == []
