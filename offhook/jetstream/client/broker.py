"""FastStream's broker, which shuts down gracefully even if NATS is away."""

from types import TracebackType

from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.errors import Error as NatsError

from offhook.jetstream.client.connection import close, opened


class Broker(NatsBroker):
    """FastStream drains the connection last, which raises if it is lost: the steps after that were
    skipped, and a graceful shutdown was reported as a failure."""

    async def _connect(self) -> Client:
        """As FastStream's own, by a client that leaves no connection open."""
        client = await opened(self._connection_kwargs)
        self.config.connect(client)
        return client

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Stop, and close a connection that cannot be drained."""
        try:
            await super().stop(exc_type, exc_val, exc_tb)
        except (NatsError, TimeoutError):
            if self._connection is not None:
                await close(self._connection)
