"""The consumers that FastStream's subscribers pull from, by one lingering pull request for each.

Each may ask for an equal share of the room that is left, and for one message at least: a request
cannot be withdrawn, so an idle partition's must not keep the room from a busy one, and a busy
one's must not keep the others waiting. One that alone is busy asks again and again, and so may
fill the whole worker. If others get busy then, what they had asked for comes on top: less than the
room once more.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from offhook.jetstream.consuming.pull import Pull

FETCH_MAX = 32


class BoundConsumers(JetStreamContext):
    """JetStream for FastStream's subscribers: they bind a consumer, and never create one.

    nats-py's own creates one that is missing, with the server's defaults: a killed worker's calls
    would wait for 30 s, and it would go unnoticed that the provisioned one is gone.
    """

    def __init__(self, client: Client, room: Callable[[], int]) -> None:
        """`room()` is how many more messages this worker can work on."""
        super().__init__(client)
        self._client = client
        self._room = room
        self._pulls: list[Pull] = []

    def pull(self) -> None:
        """Pull more messages if there is more room now."""
        for pull in self._pulls:
            pull.look()

    def stop(self) -> None:
        """Pull nothing more."""
        for pull in self._pulls:
            pull.stop()

    async def rest(self, within_s: float) -> None:
        """Wait until every message that was asked for before has been taken, at most `within_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for pull in self._pulls:
                    await pull.rest()

    async def pull_subscribe(self, *_: Any, **options: Any) -> Any:
        """Called by FastStream once for each subscriber; the consumer may be missing."""
        stream, consumer = options["stream"], options["durable"]
        pull = await Pull.open(
            self._client, stream, consumer, batch_max=FETCH_MAX, room=self._share
        )
        self._pulls.append(pull)
        return PullSubscription(pull)

    def _share(self) -> int:
        """How many messages one consumer may have asked for."""
        room = self._room()
        return max(1, room // len(self._pulls)) if room else 0


class PullSubscription:
    """What FastStream's loop fetches from, in place of nats-py's subscription.

    It never raises: after an error that loop fetches again at once, so that without a consumer's
    leader it takes half a core, and on a closed connection nothing else runs any more.
    """

    def __init__(self, pull: Pull) -> None:
        self._pull = pull

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:  # noqa: ASYNC109
        """At most `batch` messages; none if none came within `timeout` seconds."""
        return await self._pull.next(timeout, batch)

    async def unsubscribe(self) -> None:
        """Close the pull."""
        await self._pull.close()
