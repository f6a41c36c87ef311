"""Sessions that were found, as a file.

    GET /sessions.csv      a row for each, with a header; formulas are made harmless
    GET /sessions.jsonl    a line of JSON for each, as in a list

All that the filters of `GET /sessions` find, newest first, read at one moment as a stream. An
export that breaks off ends without its last chunk, so a client sees that it is incomplete.
"""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, fields
from datetime import datetime
from time import monotonic
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from offhook.api.auth import Tokens
from offhook.api.errors import refusal
from offhook.api.freshness import Views
from offhook.api.own.csv_cells import cell_of
from offhook.api.own.parameters import BeforeSeq, require_before_seq
from offhook.api.own.sessions.parameters import WantedSessions
from offhook.api.query_parameters import WholeNumber
from offhook.position import BIGINT_MAX
from offhook.process.asgi import Receive, Scope, Send
from offhook.projections.views.database.transactions import name_transaction, read_at_one_moment
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import stream_sessions
from offhook.projections.views.sessions import SessionView

EXPORTS_MAX = 3
"""Exports at the same time: each has one of the API's connections to Postgres."""

EXPORT_S_MAX = 900.0
"""How long an export may take, its client's reading included."""

CHUNK_CHARS = 64 * 1024

BUSY_S_MAX = 0.005
"""How long an export may keep other requests waiting, commands among them, before their turn."""

COLUMNS = tuple(each.name for each in fields(SessionView))

ExportLimit = Annotated[
    WholeNumber | None,
    Query(ge=1, le=BIGINT_MAX, description="Sessions at most; default: all that are found"),
]


def exports_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The routes above."""
    router = APIRouter(tags=["sessions"], dependencies=[Depends(tokens.allow("read"))])
    exports = Exports(views, now)

    @router.get(
        "/sessions.csv",
        summary="Export sessions as CSV",
        response_class=Response,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    async def as_csv(
        wanted: WantedSessions, limit: ExportLimit = None, before_seq: BeforeSeq = None
    ) -> Response:
        """All sessions that the filters find, newest first, with the fields of a session.

        An apostrophe in front of a text keeps a spreadsheet from running it as a formula.
        """
        found = await exports.begun(wanted, limit, before_seq)
        return Export(found, _csv(found), "text/csv", "sessions.csv")

    @router.get(
        "/sessions.jsonl",
        summary="Export sessions as JSON lines",
        response_class=Response,
        responses={200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
    )
    async def as_json_lines(
        wanted: WantedSessions, limit: ExportLimit = None, before_seq: BeforeSeq = None
    ) -> Response:
        """All sessions that the filters find, newest first: a session in each line."""
        found = await exports.begun(wanted, limit, before_seq)
        return Export(found, _json_lines(found), "application/jsonl", "sessions.jsonl")

    return router


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Sessions, of which the first has been read. `others` has a connection until it is closed."""

    first: SessionView | None
    others: AsyncGenerator[SessionView, None]

    async def __aiter__(self) -> AsyncIterator[SessionView]:
        if self.first is not None:
            yield self.first
        async for each in self.others:
            yield each


class Exports:
    """Reads what is exported, within the bounds above."""

    def __init__(self, views: Views, now: Callable[[], datetime]) -> None:
        self._views = views
        self._now = now
        self._running = 0

    async def begun(
        self, wanted: SessionFilter, limit: int | None, before_seq: int | None
    ) -> _Found:
        """The sessions. The first one is read at once: errors then have a status of their own."""
        require_before_seq(self._views, before_seq)
        if self._running >= EXPORTS_MAX:
            detail = f"{EXPORTS_MAX} exports are running already; expected fewer, try again later"
            raise refusal(429, "10011", detail, headers={"retry-after": "10"})
        others = self._read(wanted, limit, before_seq)
        return _Found(first=await anext(others, None), others=others)

    async def _read(
        self, wanted: SessionFilter, limit: int | None, before_seq: int | None
    ) -> AsyncGenerator[SessionView, None]:
        self._running += 1
        try:
            async with self._views.connection() as connection:
                await read_at_one_moment(connection)
                await name_transaction(connection, "offhook-api: export")
                found = stream_sessions(
                    connection, wanted, limit=limit, now=self._now(), before_seq=before_seq
                )
                async with aclosing(found):
                    async for each in in_turns(found):
                        yield each
        finally:
            self._running -= 1


async def in_turns(found: AsyncIterator[SessionView]) -> AsyncIterator[SessionView]:
    """The same, but other requests have their turn: rows that are in memory never wait."""
    turn_ends_at = monotonic() + BUSY_S_MAX
    async for each in found:
        yield each
        if monotonic() >= turn_ends_at:
            await asyncio.sleep(0)
            turn_ends_at = monotonic() + BUSY_S_MAX


async def _csv(found: _Found) -> AsyncGenerator[bytes, None]:
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(COLUMNS)
    async for each in found:
        rows.writerow([cell_of(getattr(each, name)) for name in COLUMNS])
        if written.tell() >= CHUNK_CHARS:
            yield _taken(written)
    yield _taken(written)


async def _json_lines(found: _Found) -> AsyncGenerator[bytes, None]:
    lines = bytearray()
    async for each in found:
        lines += msgspec.json.encode(each) + b"\n"
        if len(lines) >= CHUNK_CHARS:
            yield bytes(lines)
            lines.clear()
    yield bytes(lines)


def _taken(written: io.StringIO) -> bytes:
    text = written.getvalue()
    written.seek(0)
    written.truncate()
    return text.encode()


class Export(StreamingResponse):
    """A file that gives back its connection when it ends, or its client goes, or time is up."""

    def __init__(
        self, found: _Found, chunks: AsyncGenerator[bytes, None], media_type: str, name: str
    ) -> None:
        headers = {
            "content-disposition": f'attachment; filename="{name}"',
            "cache-control": "no-store",
        }
        super().__init__(chunks, media_type=media_type, headers=headers)
        self._found = found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not only the chunks: if none of them was read, closing them would not close what they
        # are made of.
        async with aclosing(self._found.others), asyncio.timeout(EXPORT_S_MAX):
            with suppress(ClientDisconnect):
                await super().__call__(scope, receive, send)
