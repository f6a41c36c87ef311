"""Reads of the stream by position: its last sequence, one record, when a record was stored."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from offhook.errors import LogUnavailable, words_of
from offhook.events import Record
from offhook.jetstream.log import record_of
from offhook.jetstream.stream import STREAM
from offhook.jetstream.subjects import ALL_CALLS

TIMEOUT_S = 2.0


class StreamLookup:
    """Single records by `seq`, the stream's sequence."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def last_seq(self) -> int:
        """The sequence of the newest record, 0 for an empty stream. Raises LogUnavailable."""
        try:
            info = await self._client.jetstream(timeout=TIMEOUT_S).stream_info(STREAM)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"stream {STREAM} did not answer: {words_of(error)}") from error
        return info.state.last_seq

    async def record_at(self, seq: int) -> Record | None:
        """The record at `seq`. Raises LogUnavailable, or RecordUnreadable."""
        message = await self._get({"seq": seq})
        return None if message is None else record_of(message)

    async def stored_after(self, seq: int) -> datetime | None:
        """When the first record above `seq` was stored, None if none is. Raises LogUnavailable."""
        message = await self._get({"seq": seq + 1, "next_by_subj": ALL_CALLS})
        if message is None:
            return None
        return msgspec.convert((message.headers or {})["Nats-Time-Stamp"], datetime)

    async def _get(self, ask: Mapping[str, Any]) -> Msg | None:
        try:
            message = await self._client.request(
                f"$JS.API.DIRECT.GET.{STREAM}", json.dumps(ask).encode(), timeout=TIMEOUT_S
            )
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(
                f"stream {STREAM}: no answer to a read: {words_of(error)}"
            ) from error
        match (message.headers or {}).get("Status"):
            case None:
                return message
            case "404":
                return None
            case status:
                raise LogUnavailable(f"stream {STREAM}: read answered {status}")
