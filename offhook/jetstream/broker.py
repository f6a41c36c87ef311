"""FastStream's broker, which ends in order also while NATS is away."""

from types import TracebackType

from faststream.nats import NatsBroker
from nats.errors import Error as NatsError

from offhook.jetstream.connection import close


class Broker(NatsBroker):
    """FastStream drains the connection last, which raises where there is none: what was to be done
    after that was left out, and an orderly end was told as a failed one."""

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
