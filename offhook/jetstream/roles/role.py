"""The lifecycle of a role on the log.

connect ──▶ require provisioned ──▶ build ──▶ serve and watch ──SIGTERM──▶ drain ──▶ close

The role ends with an error if the server refuses its connection, or if anything that runs beside
its HTTP server ends with one.
"""

from asyncio import Event
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from nats.aio.client import Client
from prometheus_client import CollectorRegistry

from offhook.jetstream.client.broker import Broker
from offhook.jetstream.client.connection import (
    WATCH_S,
    client_options,
    close,
    connect,
    first_connection,
    until_refused,
)
from offhook.jetstream.client.pieces import receive_in_pieces
from offhook.jetstream.health.log_health import LogHealth
from offhook.jetstream.provisioning.provision import require_provisioned
from offhook.jetstream.roles.answers import answer_questions
from offhook.process.asgi import AsgiApp
from offhook.process.health import Readiness, Ready, health_routes
from offhook.process.serve import first_of, serve


class Role:
    """What `connected` gives a role. `closing` closes what is pushed to it, last in first out.

    Set `ending` once the role takes no more work: a refused connection is then no error.
    """

    def __init__(
        self,
        name: str,
        client: Client,
        health: LogHealth,
        closing: AsyncExitStack,
        partitions: int,
        nats_url: str,
    ) -> None:
        self.client = client
        self.health = health
        self.partitions = partitions  # of the log
        self.closing = closing
        self.ending = Event()
        self._name = name
        self._nats_url = nats_url
        self._clients = [client]
        self._readiness = Readiness(health.trouble)
        self._registry = CollectorRegistry()

    async def connect_more(self, count: int) -> list[Client]:
        """So many more connections, which are closed with the first. Raises LogUnavailable.

        Much that arrives at once on one of them keeps nobody waiting.
        """
        more = []
        for _ in range(count):
            client = await connect(self._nats_url, self._name)
            receive_in_pieces(client)
            self.closing.push_async_callback(close, client)
            more.append(client)
        self._clients += more
        return more

    def health_routes(
        self, registry: CollectorRegistry, *, metrics_token: str, unready: Ready | None = None
    ) -> list[tuple[str, AsgiApp]]:
        """Liveness, readiness and metrics. `unready` replaces the log's health as readiness.

        The role answers other roles' questions from the same: see `answers`.
        """
        self.health.register(registry)
        self._registry = registry
        self._readiness = Readiness(unready or self.health.trouble)
        return health_routes(
            self._readiness,
            registry,
            metrics_token=metrics_token,
            warnings=self.health.warnings,
        )

    async def serve(
        self,
        app: Any,
        *,
        host: str,
        port: int,
        beside: Sequence[Coroutine[Any, Any, None]] = (),
        watch_s: float = WATCH_S,
        on_exit: Callable[[], None] | None = None,
    ) -> None:
        """Serve `app` until SIGTERM, run the others beside it, and raise what ends any of them."""
        await answer_questions(
            self.client,
            self._name,
            readiness=self._readiness,
            warnings=self.health.warnings,
            registry=self._registry,
        )
        await first_of(
            serve(app, host=host, port=port, on_exit=on_exit),
            *(until_refused(each, self._name, self.ending, watch_s) for each in self._clients),
            self.health.watch(),
            *beside,
        )


@asynccontextmanager
async def connected(
    name: str,
    nats_url: str,
    monitor_urls: Sequence[str],
    *,
    consumer: str | None = None,
    broker: Broker | None = None,
) -> AsyncIterator[Role]:
    """A role that is connected to a provisioned log, by `broker` if given; closed at the end.

    Raises LogUnavailable, LogMissing or LogUnsafe. `consumer` is the one that the role binds.
    """
    async with AsyncExitStack() as closing:
        if broker is None:
            client = await connect(nats_url, name)
            closing.push_async_callback(close, client)
        else:
            closing.push_async_callback(broker.stop)
            client = await first_connection(nats_url, broker.connect())
        partitions = await require_provisioned(client, monitor_urls, consumer)
        health = LogHealth(client, monitor_urls, consumer, partitions=partitions)
        yield Role(name, client, health, closing, partitions, nats_url)


@asynccontextmanager
async def connected_with_broker(
    name: str, nats_url: str, monitor_urls: Sequence[str], *, consumer: str | None = None
) -> AsyncIterator[tuple[Role, Broker]]:
    """As `connected`, through a broker of FastStream that is made here."""
    # Without `apply_types=False` every delivery would take a detour through a thread.
    broker = Broker(**client_options(nats_url, name), logger=None, apply_types=False)
    async with connected(name, nats_url, monitor_urls, consumer=consumer, broker=broker) as role:
        yield role, broker
