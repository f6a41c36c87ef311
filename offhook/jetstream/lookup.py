"""Reads of the log by position: the newest ones, one record, when a record was stored."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from offhook.errors import LogUnavailable, SelectionInvalid, words_of
from offhook.events import Record
from offhook.jetstream.consuming.delivery import lasting_headers
from offhook.jetstream.message import record_of
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import stream_of, streams_of
from offhook.jetstream.subjects import ALL_CALLS
from offhook.position import partition_of, partitions_text, position_of, position_text, seq_of

TIMEOUT_S = 2.0


class StreamLookup:
    """Single records by position."""

    def __init__(self, client: Client, *, partitions: int | None = None) -> None:
        """Without `partitions` the first read discovers their number."""
        self._client = client
        self._partitions = partitions

    async def last_positions(self) -> list[int]:
        """The newest position of each partition, in their order. Raises LogUnavailable.

        That of an empty partition is its beginning: `position_of(partition, 0)`.
        """
        js = self._client.jetstream(timeout=TIMEOUT_S)
        streams = streams_of(await self._count())
        try:
            infos = await asyncio.gather(*(js.stream_info(stream) for stream in streams))
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"{streams[0]} did not answer: {words_of(error)}") from error
        return [position_of(number, info.state.last_seq) for number, info in enumerate(infos)]

    async def require_in_log(self, position: int) -> None:
        """Raise SelectionInvalid if the log has no such partition; LogUnavailable."""
        partition, partitions = partition_of(position), await self._count()
        if partition >= partitions:
            raise SelectionInvalid(
                f"{position_text(position)} is a position in partition {partition}; expected one of"
                f" this log, {partitions_text(partitions)}"
            )

    async def record_at(self, position: int) -> Record | None:
        """The record at that position. Raises LogUnavailable, or RecordUnreadable."""
        message = await self._get_at(position)
        return None if message is None else record_of(message)

    async def headers_at(self, position: int) -> dict[str, str] | None:
        """That record's headers: `lasting_headers`. Raises LogUnavailable."""
        message = await self._get_at(position)
        return None if message is None else lasting_headers(message.headers or {})

    async def stored_after(self, position: int) -> datetime | None:
        """When the first record after it in its partition was stored, None if there is none.

        Raises LogUnavailable.
        """
        ask = {"seq": seq_of(position) + 1, "next_by_subj": ALL_CALLS}
        message = await self._get(position, ask)
        if message is None:
            return None
        return msgspec.convert((message.headers or {})["Nats-Time-Stamp"], datetime)

    async def _get_at(self, position: int) -> Msg | None:
        # A stream begins at 1; asked for 0, the server takes the request for an empty one.
        seq = seq_of(position)
        return await self._get(position, {"seq": seq}) if seq else None

    async def _get(self, position: int, ask: Mapping[str, Any]) -> Msg | None:
        partition, partitions = partition_of(position), await self._count()
        if partition >= partitions:
            return None  # of a log with more of them
        stream = stream_of(partition, partitions)
        try:
            message = await self._client.request(
                f"$JS.API.DIRECT.GET.{stream}", json.dumps(ask).encode(), timeout=TIMEOUT_S
            )
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(
                f"stream {stream}: no answer to a read: {words_of(error)}"
            ) from error
        match (message.headers or {}).get("Status"):
            case None:
                return message
            case "404":
                return None
            case status:
                raise LogUnavailable(f"stream {stream}: read answered {status}")

    async def _count(self) -> int:
        if self._partitions is None:
            self._partitions = await partitions_of(self._client)
        return self._partitions
