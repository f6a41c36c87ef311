"""How FastStream's subscribers come by their messages."""

import asyncio
import contextlib
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
        self._fetching: list[PatientFetching] = []

    def stop(self) -> None:
        """Ask for nothing more."""
        for each in self._fetching:
            each.stop()

    async def rest(self, within_s: float) -> None:
        """Wait until all that was asked for before has been taken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for each in self._fetching:
                    await each.rest()

    async def pull_subscribe(
        self, *_: Any, subject: str = "", config: Any = None, **options: Any
    ) -> Any:
        """What FastStream asks for once a subscriber; the consumer need not be there."""
        fetching = PatientFetching(await self.pull_subscribe_bind(**options))
        self._fetching.append(fetching)
        return fetching


class PatientFetching:
    """What FastStream's loop fetches from, in place of the subscription itself.

    That loop asks again at once after an error: without a consumer leader it takes half a core, and
    on a connection that is closed for good it never yields, so that nothing else runs any more.
    """

    def __init__(self, subscription: JetStreamContext.PullSubscription) -> None:
        self._subscription = subscription
        self._stopped = False
        self._rests = asyncio.Event()

    def stop(self) -> None:
        """Ask for nothing more; what was asked for may still come, and is handed on."""
        self._stopped = True

    async def rest(self) -> None:
        """Wait until all of that has been taken: the loop asks again when it is done with a batch.

        What came after that would wait for `ACK_WAIT_S` until another worker gets it.
        """
        await self._rests.wait()

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:  # noqa: ASYNC109
        if self._stopped:
            self._rests.set()
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
