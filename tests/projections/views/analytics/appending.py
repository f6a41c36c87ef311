"""Made-up webhooks and records in the log, at the times that they are made up for."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from offhook.codec.facts import FACTS, encode, encoded_webhook
from offhook.codec.webhooks import read_webhook
from offhook.events import Decided
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.message import imported_headers
from tests.projections.views.analytics.traffic import Event

APPENDING_MAX = 256
APPEND_TIMEOUT_S = 600.0  # thousands of calls are appended beside the projector that reads them


async def decide(log: JetStreamLog, flows: Mapping[str, tuple[str, str]]) -> None:
    """A decision of its flow in each session, among its events."""
    decided = Decided(cause_seq=1, cause_id="", flow="", flow_version="", worker="w", lease_s=3)
    room = asyncio.Semaphore(APPENDING_MAX)

    async def one(session_id: str, flow: str, version: str) -> None:
        encoded = encode(replace(decided, flow=flow, flow_version=version), session_id)
        async with room:
            await log.append(session_id, "out", encoded, timeout_s=APPEND_TIMEOUT_S)

    await asyncio.gather(*(one(key, *flow) for key, flow in flows.items()))


async def append(
    log: JetStreamLog, events: Sequence[Event], times: Sequence[int]
) -> list[tuple[str, Event, int]]:
    """Append many at once, and repeated ones again as after the log's window.

    They are imported, so that the log's clock is as it shall be. Returns session, event and time of
    each, in the order of the log.
    """
    room = asyncio.Semaphore(APPENDING_MAX)

    async def one(event: Event, stored_us: int) -> tuple[int, str, Event, int]:
        body = msgspec.json.encode(event)
        read = read_webhook(body)
        async with room:
            appended = await log.append(
                read.session_id,
                "in",
                replace(encoded_webhook(body, ""), fact_id=""),
                headers=_headers_at(stored_us),
                timeout_s=APPEND_TIMEOUT_S,
            )
        return appended.seq, read.session_id, event, stored_us

    done = await asyncio.gather(*map(one, events, times))
    return [each[1:] for each in sorted(done, key=lambda each: each[0])]


async def record(log: JetStreamLog, facts: Iterable[dict[str, Any]]) -> None:
    """Decisions and outcomes, at their times."""
    room = asyncio.Semaphore(APPENDING_MAX)

    async def one(fact: dict[str, Any]) -> None:
        body = dict(fact["body"])
        if "caused_us" in body:
            caused_us = body.pop("caused_us")
            body["caused_at"] = None if caused_us is None else at_us(caused_us)
        value = msgspec.convert(body, FACTS[fact["type"]])
        encoded = replace(encode(value, fact["session_id"]), fact_id="")
        headers = _headers_at(fact["stored_us"])
        async with room:
            await log.append(
                fact["session_id"], "out", encoded, headers=headers, timeout_s=APPEND_TIMEOUT_S
            )

    await asyncio.gather(*map(one, facts))


def _headers_at(stored_us: int) -> dict[str, str]:
    return {"Nats-Msg-Id": uuid4().hex, **imported_headers(1, at_us(stored_us))}


def at_us(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
