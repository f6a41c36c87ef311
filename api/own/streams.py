"""Records as they come into the views, as server-sent events.

    GET /sessions/stream                  of all sessions
    GET /sessions/{session_id}/stream     of one

    id: 12.0.99.3                         where to resume: of all sessions, the stream sequence in
    event: record                         each partition, in their order; of one, a position
    data: {"seq": …, "fields": {…}}       as in the timeline

Before the server closes a stream it sends `event: end` with the reason: draining, slow,
unavailable, archived. A browser's EventSource resumes by itself, with the header Last-Event-ID; but
it gives up if the answer is an error, such as 503 while Postgres is away.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from offhook.api.auth import Tokens
from offhook.api.errors import ErrorAnswer, not_found, refusal
from offhook.api.freshness import Views
from offhook.api.own.live import Following, Live, LiveRecord, end_event
from offhook.api.own.parameters import WAIT_DEFAULT_S, MinSeq, WaitS
from offhook.api.query_parameters import number_in
from offhook.errors import ArchiveUnreadable, shown
from offhook.jetstream.subjects import partition_for
from offhook.phone_numbers import spellings
from offhook.position import PARTITIONS_MAX, SEQ_MAX, partition_of, position_of, seq_of
from offhook.process.asgi import Receive, Scope, Send
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.projections.views.sessions import call_session_of, read_session

EVENTS = "text/event-stream"

_log = logging.getLogger(__name__)

LastEventId = Annotated[
    str | None,
    Header(
        alias="last-event-id",
        description="The id of the last event that was received; EventSource sends it",
    ),
]
LastEventIdQuery = Annotated[
    str | None,
    Query(
        description="As the header Last-Event-ID, for a client that cannot set headers at first; "
        "the header counts if both are given. Without either: what comes from now on. 422 if it is "
        "after the end of the log"
    ),
]

DESCRIBED: Mapping[int | str, Mapping[str, Any]] = {
    200: {
        "description": "Events: `record` with a record of the timeline as its data, `end` with "
        "the reason before the server closes the stream; comments as heartbeats",
        "content": {
            EVENTS: {
                "schema": {
                    "type": "string",
                    "examples": [
                        "id: 12.0.99.3\nevent: record\n"
                        'data: {"seq": 281474976710755, "type": "Decided", …}\n\n'
                    ],
                }
            }
        },
    }
}


def streams_router(
    *, tokens: Tokens, views: Views, live: Live, now: Callable[[], datetime]
) -> APIRouter:
    """The routes above; to be included before those of sessions, whose paths are like these."""
    router = APIRouter(tags=["sessions"], dependencies=[Depends(tokens.allow("read"))])
    stream = partial(
        router.get,
        status_code=200,
        response_class=EventStream,
        responses=cast(dict[int | str, dict[str, Any]], DESCRIBED),
    )

    @stream("/sessions/stream", summary="Follow all sessions")
    async def all_sessions(
        status: Literal["empty", "active", "ended"] | None = None,
        connection_id: str | None = None,
        from_number: str | None = None,
        to_number: str | None = None,
        last_event_id: LastEventIdQuery = None,
        resumed_from: LastEventId = None,
    ) -> EventStream:
        """Each record once it is in the views, as server-sent events.

        A filter compares with what the session is listed by when the record is read: before the
        first webhook of a call nothing is known of it. With `status=active` a client sees a call up
        to the record before its end, and with `status=ended` from its end on.
        """
        filters = Filters(status, connection_id, from_number, to_number)
        return await _follow_all(live, views, filters, now, resumed_from or last_event_id)

    @stream("/sessions/{session_id}/stream", summary="Follow a session")
    async def one_session(
        session_id: str,
        last_event_id: LastEventIdQuery = None,
        resumed_from: LastEventId = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> EventStream:
        """Each record of the session once it is in the views, as server-sent events.

        An id is the position of a record: with `meta.as_of_seq` of an earlier reply the stream
        begins after that, with 0 at the first record. The stream goes on after the session's end.
        The id of a requested dial leads to the call that it placed.
        """
        resumed = resumed_from or last_event_id
        session_id = await _call_session(views, session_id, min_seq, timeout_s)
        return await _follow_one(live, views, session_id, resumed)

    return router


class EventStream(StreamingResponse):
    """A response that ends when its client does, and gives back what it took."""

    media_type = EVENTS

    def __init__(self, first: bytes, events: AsyncGenerator[bytes, None]) -> None:
        # Or a proxy would collect events, and hand them on late.
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(_joined(first, events), headers=headers)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            with suppress(ClientDisconnect):  # it resumes when it likes
                await super().__call__(scope, receive, send)


@dataclass(frozen=True)
class Filters:
    """What a client may ask for of all sessions; None where it asked for nothing."""

    status: Literal["empty", "active", "ended"] | None
    connection_id: str | None
    from_number: str | None
    to_number: str | None


async def _follow_all(
    live: Live, views: Views, filters: Filters, now: Callable[[], datetime], resumed: str | None
) -> EventStream:
    status, from_number, to_number = filters.status, filters.from_number, filters.to_number
    wants = _wants(
        None if status is None else lambda record: record.status_at(now()) == status,
        filters.connection_id,
        None if from_number is None else number_in("from_number", from_number),
        None if to_number is None else number_in("to_number", to_number),
    )
    live.require_room()
    after = None if resumed is None else positions_in(resumed, live.partitions)
    if after is not None:
        await views.require_stored(after)
        await live.require_kept(after)
    return await begun(live, Following(wants=wants, id_of=id_of), after)


async def _call_session(views: Views, session_id: str, min_seq: int, timeout_s: float) -> str:
    """The session that the id leads to. Raises ErrorAnswer 404."""
    async with views.snapshot(min_seq, timeout_s) as snapshot:
        session_id = await call_session_of(snapshot.connection, session_id)
        if await read_session(snapshot.connection, session_id, commands_max=1) is None:
            raise not_found(f"There is no session {shown(session_id)}")
    return session_id


async def _follow_one(
    live: Live, views: Views, session_id: str, resumed: str | None
) -> EventStream:
    partition = partition_for(session_id, live.partitions)
    live.require_room()
    after = None
    if resumed is not None:
        after = [position_of(each, 0) for each in range(live.partitions)]
        position = _position_in(resumed)
        views.require_in_log("last_event_id", position)
        if partition_of(position) == partition:
            await views.require_stored([position])
            after[partition] = position
        # A position of another partition, or 0, is before its first record.
    wanted = Following(
        wants=lambda record: record.session_id == session_id,
        id_of=lambda place: str(place[partition]),
        session_id=session_id,
        partition=partition,
    )
    return await begun(live, wanted, after)


async def begun(live: Live, wanted: Following, after: Sequence[int] | None) -> EventStream:
    """The stream, with what begins it: an error up to there has a status of its own."""
    events = _events(live, wanted, after)
    return EventStream(await anext(events), events)


async def _joined(first: bytes, others: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for chunk in others:
        yield chunk


async def _events(
    live: Live, wanted: Following, after: Sequence[int] | None
) -> AsyncGenerator[bytes, None]:
    with live.client():
        begin = await live.heads() if after is None else after
        async with aclosing(cast(AsyncGenerator[bytes, None], live.follow(wanted, begin))) as found:
            yield await anext(found)
            try:
                async for chunk in found:
                    yield chunk
            except ErrorAnswer as error:
                yield end_event("archived", error.errors[0]["detail"])
            except ArchiveUnreadable as error:
                _log.warning("a stream ends", extra={"error": str(error)})
                yield end_event("unavailable", str(error))
            except DATABASE_ERRORS as error:
                _log.warning("a stream ends", extra={"error": repr(error)})
                yield end_event(
                    "unavailable", "the views cannot be read; resume from the last event"
                )


def id_of(place: Sequence[int]) -> str:
    """The positions of all partitions as an event's id."""
    return ".".join(str(seq_of(each)) for each in place)


def positions_in(event_id: str, partitions: int) -> list[int]:
    """The positions in an event's id. Raises ErrorAnswer 422."""
    seqs = event_id.split(".")[: PARTITIONS_MAX + 1]
    if len(seqs) != partitions or not all(map(_is_seq, seqs)):
        detail = (
            f"Last-Event-ID is {shown(event_id)}; expected the id of an event of this stream, with "
            f"a number for each of the log's {partitions} partitions; or leave it out, and read "
            "what was missed from the lists"
        )
        raise refusal(422, "10015", detail, parameter="last_event_id")
    return [position_of(partition, int(seq)) for partition, seq in enumerate(seqs)]


def _position_in(event_id: str) -> int:
    if not (event_id.isascii() and event_id.isdigit() and len(event_id) < 19):
        detail = f"Last-Event-ID is {shown(event_id)}; expected the position of a record"
        raise refusal(422, "10015", detail, parameter="last_event_id")
    return int(event_id)


def _is_seq(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16 and int(text) <= SEQ_MAX


def _wants(
    has_status: Callable[[LiveRecord], bool] | None,
    connection_id: str | None,
    from_number: str | None,
    to_number: str | None,
) -> Callable[[LiveRecord], bool]:
    callers = None if from_number is None else set(spellings(from_number))
    called = None if to_number is None else set(spellings(to_number))

    def wants(record: LiveRecord) -> bool:
        return (
            (has_status is None or has_status(record))
            and (connection_id is None or record.connection_id == connection_id)
            and (callers is None or record.from_number in callers)
            and (called is None or record.to_number in called)
        )

    return wants
