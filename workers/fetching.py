"""How FastStream's subscribers come by their messages."""

import asyncio

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext

FETCH_PAUSE_S = 0.1


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
