"""How FastStream's subscribers come by their messages."""

import asyncio
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext

FETCH_PAUSE_S = 0.1


class BoundConsumers(JetStreamContext):
    """JetStream as FastStream's subscribers get it: they bind a consumer, and never make one.

    nats-py's own makes one that is not there, with the server's defaults: a killed worker's calls
    would wait for 30 s, and nobody would be told that the provisioned one is gone.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.fetching: list[PatientFetching] = []

    async def pull_subscribe(
        self, *_: Any, subject: str = "", config: Any = None, **options: Any
    ) -> Any:
        """What FastStream asks for once a subscriber; the consumer need not be there."""
        fetching = PatientFetching(await self.pull_subscribe_bind(**options))
        self.fetching.append(fetching)
        return fetching


class PatientFetching:
    """What FastStream's loop fetches from, in place of the subscription itself.

    That loop asks again at once after an error: without a consumer leader it takes half a core, and
    on a connection that is closed for good it never yields, so that nothing else runs any more.
    """

    def __init__(self, subscription: JetStreamContext.PullSubscription) -> None:
        self._subscription = subscription
        self.stopped = False

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:  # noqa: ASYNC109
        if self.stopped:
            await asyncio.sleep(FETCH_PAUSE_S)
            return []
        try:
            return await self._subscription.fetch(batch, timeout)
        except TimeoutError:
            raise  # nothing came
        except NatsError:
            await asyncio.sleep(FETCH_PAUSE_S)
            raise

    async def unsubscribe(self) -> None:
        await self._subscription.unsubscribe()
