"""Two installations for the commands of history: one with calls in it, and an empty one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest
from nacl.signing import SigningKey
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import Decided
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.projections.projector.project import Projector
from offhook.projections.views.database.engine import open_database
from offhook.settings import Settings, environment_from
from offhook.telnyx.signature import public_key_text, sign
from tests.cli.terminal import Terminal
from tests.projections.story import caught_up, commands_of, events_of, projecting

KEY = SigningKey(b"h" * 32)
"""Signs the webhooks of the calls."""

SIGNED_AT = 1795348800


@dataclass(kw_only=True)
class Installation:
    """Its servers; `terminal` has its settings."""

    settings: Settings
    client: Client
    log: JetStreamLog
    engine: AsyncEngine
    terminal: Terminal

    async def project(self) -> None:
        """Fold all that is in the log."""
        async with projecting(Projector(self.client, self.engine)):
            await caught_up(self.client, self.engine)


class Servers:
    """Starts the servers of installations."""

    def __init__(self, postgres: PostgresServer, migrated: str, stack: ExitStack) -> None:
        self._postgres = postgres
        self._migrated = migrated
        self._stack = stack

    def settings(self) -> Settings:
        """Those of another installation."""
        nats = self._stack.enter_context(NatsServer(sync_always=True))
        url = self._postgres.create_database(f"history_{uuid4().hex}", template=self._migrated)
        return Settings(
            nats_url=nats.url,
            nats_monitor_urls=(nats.monitor_url,),
            postgres_url=url,
            public_keys=(public_key_text(KEY),),
        )


@pytest.fixture
def servers(postgres_server: PostgresServer, migrated: str) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(postgres_server, migrated, stack)


@asynccontextmanager
async def installation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Installation]:
    client = await connect(settings.nats_url, "test")
    await provision(client, settings.nats_monitor_urls, partitions=1)
    engine = open_database(settings.postgres_url)
    try:
        yield Installation(
            settings=settings,
            client=client,
            log=JetStreamLog(client),
            engine=engine,
            terminal=Terminal(monkeypatch, capsys, environment_from(settings)),
        )
    finally:
        await engine.dispose()
        await close(client)


@pytest.fixture
async def here(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Installation]:
    async with installation(servers.settings(), monkeypatch, capsys) as made:
        yield made


@pytest.fixture
async def there(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Installation]:
    async with installation(servers.settings(), monkeypatch, capsys) as made:
        yield made


async def take_calls(here: Installation, *session_ids: str) -> None:
    """Signed webhooks of whole calls, with the commands that a flow gave; then the views.

    Each has 9 webhooks, 9 decisions and 3 records of its commands.
    """
    for session_id in session_ids:
        causes: list[int] = []
        for event in events_of(session_id):
            body = wire_body(event)
            encoded = encoded_webhook(body, event.event_id)
            signed = sign(body, KEY, SIGNED_AT)
            appended = await here.log.append(session_id, "in", encoded, headers=signed)
            causes.append(appended.seq)
        for each in commands_of(session_id):
            fact = replace(each, cause_seq=causes[0]) if isinstance(each, Decided) else each
            await here.log.append(session_id, "out", encode(fact, session_id))
        for number, cause in enumerate(causes[1:], start=2):
            decided = Decided(
                cause_seq=cause,
                cause_id=f"{session_id}-event-{number}",
                flow="frontdesk",
                flow_version="7",
                worker="worker-1",
                lease_s=3.0,
            )
            await here.log.append(session_id, "out", encode(decided, session_id))
    await here.project()


async def settle_failures(here: Installation, *session_ids: str) -> None:
    """A decision on each failure of a command, without which a session is not archived."""
    for session_id in session_ids:
        for record in await here.log.read(session_id):
            if type(record.fact).__name__ == "CommandFailed":
                decided = Decided(
                    cause_seq=record.seq, cause_id=record.fact_id, flow="frontdesk",
                    flow_version="7", worker="worker-1", lease_s=3.0,
                )  # fmt: skip
                await here.log.append(session_id, "out", encode(decided, session_id))
    await here.project()
