"""What runs beside a measurement: a log of its own, and roles of Offhook on it as processes."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nats.aio.client import Client

from bench.setting.carrier import StubCarrier
from bench.setting.children import Child, role
from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.settings import Settings

Server = TypeVar("Server")


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Whatever is started on the log ends with it."""

    nats_server: NatsServer
    client: Client
    log: JetStreamLog
    directory: Path
    """For the logs of the processes."""

    stack: ExitStack
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def settings(self, **others: Any) -> Settings:
        """Of a role on this log."""
        nats_server = self.nats_server
        return Settings(
            nats_url=nats_server.url, nats_monitor_urls=(nats_server.monitor_url,), **others
        )

    def worker_settings(
        self, carrier: StubCarrier, flow: str = "ANSWERING", **others: Any
    ) -> Settings:
        """Of a worker with one of the `flows` beside this module."""
        return self.settings(
            carrier_url=carrier.url,
            carrier_key="bench",
            flows=(f"bench.setting.flows:{flow}",),
            **others,
        )

    def role(self, package: str, settings: Settings) -> AbstractContextManager[Child]:
        """A process that has not started yet."""
        return role(package, settings, self.directory / f"{package}-{next(self._numbers)}.log")

    async def start(self, package: str, settings: Settings) -> Child:
        """A role that runs until the servers end."""
        return await self.enter(self.role(package, settings))

    async def enter(self, server: AbstractContextManager[Server]) -> Server:
        """Start it in a thread, so that a carrier in this process can answer meanwhile."""
        return await asyncio.to_thread(self.stack.enter_context, server)


@asynccontextmanager
async def running_log(partitions: int = 1) -> AsyncIterator[Servers]:
    """An empty log on its own nats-server, while the block runs."""
    stack = ExitStack()
    try:
        nats_server = stack.enter_context(NatsServer())
        client = await connect(nats_server.url, "bench")
        await provision(client, [nats_server.monitor_url], partitions=partitions)
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-bench-"))
        yield Servers(
            nats_server=nats_server,
            client=client,
            log=JetStreamLog(client),
            directory=Path(directory),
            stack=stack,
        )
        await close(client)
    finally:
        await asyncio.to_thread(stack.close)
