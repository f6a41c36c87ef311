"""Hand deliveries to the worker that holds their session: core NATS requests on `wake.<worker>`."""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from offhook.jetstream.client.connection import when_reconnected
from offhook.jetstream.consuming.handed_over import HandedOverDelivery, Handover
from offhook.jetstream.subjects import wake_subject
from offhook.workers.intake.delivery import Delivery

ANSWER_S = 0.5
"""A worker that does not answer in this time is frozen, or too busy: its lease is waited out."""

RECONNECTING_S = 2.0
"""After a reconnection of our own, other workers may still be reconnecting."""


class HandoverAnswer(Enum):
    """What another worker answers that is to take deliveries over."""

    TAKEN = auto()  # it works on the session, and acknowledges the deliveries
    GONE = auto()  # there is no such worker any more, or it does not work on the session
    SILENT = auto()  # no answer, or it is in doubt whether there is such a worker


class OtherWorkers:
    """The other workers, as this one reaches them."""

    def __init__(self, client: Client, clock: Callable[[], float] | None = None) -> None:
        self._client = client
        self._clock = clock or asyncio.get_running_loop().time
        self._reconnected_at = float("-inf")
        when_reconnected(client, self._reconnected)

    async def hand_over(
        self, worker: str, session_id: str, deliveries: Sequence[Delivery]
    ) -> HandoverAnswer:
        """Ask the worker that holds a session to take its deliveries.

        A killed worker's subscriptions end with its connection, so the server answers at once that
        there is no such worker.
        """
        moved = [
            Handover(
                session_id=session_id,
                reply=each.reply,
                seq=each.seq,
                count=each.count,
                alarm=each.alarm,
            )
            for each in deliveries
        ]
        request = _HandOver(session_id=session_id, deliveries=moved)
        try:
            answer = await self._client.request(
                wake_subject(worker), msgspec.json.encode(request), timeout=ANSWER_S
            )
        except NoRespondersError:
            in_doubt = self._clock() - self._reconnected_at < RECONNECTING_S
            return HandoverAnswer.SILENT if in_doubt else HandoverAnswer.GONE
        except (NatsError, TimeoutError):
            return HandoverAnswer.SILENT
        return HandoverAnswer.TAKEN if answer.data == _TAKEN else HandoverAnswer.GONE

    async def answer(
        self, message: Msg, take_over: Callable[[str, Sequence[Delivery]], bool]
    ) -> None:
        """Answer such a request of another worker."""
        try:
            request = msgspec.json.decode(message.data, type=_HandOver)
        except msgspec.DecodeError:
            return  # a worker of another version, which waits for its own delivery
        deliveries = [HandedOverDelivery(self._client, each) for each in request.deliveries]
        is_taken = take_over(request.session_id, deliveries)
        if message.reply:
            await message.respond(_TAKEN if is_taken else _NOT_HERE)

    def _reconnected(self) -> None:
        self._reconnected_at = self._clock()


class _HandOver(msgspec.Struct):
    session_id: str
    deliveries: list[Handover]


_TAKEN = b"taken"
_NOT_HERE = b"not here"
