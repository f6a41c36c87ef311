"""Sessions and commands as the views have them, now or as they were.

    GET /sessions                          newest first, by pages
    GET /sessions/{session_id}             with its legs and commands; as_of= a time or a sequence
    GET /sessions/{session_id}/timeline    its records, oldest first, by pages
    GET /commands/{command_id}             what became of a command

Every answer says in `meta` how new it is; with min_seq it waits until it is new enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from offhook.api.auth import Tokens
from offhook.api.errors import not_found
from offhook.api.freshness import Meta, Views
from offhook.api.own.redact import told_command, told_entry, told_session
from offhook.api.query_parameters import Number, WholeNumber, moment_in, number_in
from offhook.projections.views.commands import CommandView, read_commands
from offhook.projections.views.database import PAGE_MAX
from offhook.projections.views.history import (
    TIMELINE_MAX,
    TimelineEntry,
    read_seq_at,
    read_session_as_of,
    read_timeline,
)
from offhook.projections.views.sessions import (
    SessionDetail,
    SessionFilter,
    SessionView,
    detail_at,
    list_sessions,
    read_session,
)
from offhook.session.folding import NEVER

PAGE_DEFAULT = 50
WAIT_MAX_S = 10.0
SEQ_MAX = 2**63 - 1  # what Postgres can hold


@dataclass(frozen=True, kw_only=True)
class PageMeta(Meta):
    """`next` is the parameter for the following page; null on the last one."""

    next: int | None


@dataclass(frozen=True, kw_only=True)
class SessionList:
    data: Sequence[SessionView]
    meta: PageMeta


@dataclass(frozen=True, kw_only=True)
class SessionReply:
    data: SessionDetail
    meta: Meta


@dataclass(frozen=True, kw_only=True)
class TimelineReply:
    data: Sequence[TimelineEntry]
    meta: PageMeta


@dataclass(frozen=True, kw_only=True)
class CommandReply:
    """`others` have the same command_id, and were for other legs."""

    data: CommandView
    others: Sequence[CommandView]
    meta: Meta


MinSeq = Annotated[
    WholeNumber,
    Query(ge=0, le=SEQ_MAX, description="Wait until the views have this stream sequence"),
]
WaitS = Annotated[
    Number, Query(ge=0, le=WAIT_MAX_S, description="How long min_seq may wait; 504 after that")
]
_WAIT_S = 2.0
_TIME = "A time in RFC 3339 with its offset from UTC"


def sessions_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The routes above."""
    router = APIRouter(dependencies=[Depends(tokens.allow("read"))])

    @router.get("/sessions", tags=["sessions"], summary="List sessions")
    async def listed(
        status: Literal["empty", "active", "ended"] | None = None,
        connection_id: str | None = None,
        from_number: str | None = None,
        to_number: str | None = None,
        started_from: Annotated[str | None, Query(description=_TIME)] = None,
        started_before: Annotated[str | None, Query(description=_TIME)] = None,
        limit: Annotated[WholeNumber, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
        before_seq: Annotated[
            WholeNumber | None,
            Query(ge=0, le=SEQ_MAX, description="meta.next of the page before this one"),
        ] = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = _WAIT_S,
    ) -> SessionList:
        """Newest first. A session without legs is no call (a command that nothing came of, or not
        yet; a conference), and is listed only with status=empty, or if something is wrong with it.
        """
        wanted = SessionFilter(
            status=status,
            connection_id=connection_id,
            from_number=None if from_number is None else number_in("from_number", from_number),
            to_number=None if to_number is None else number_in("to_number", to_number),
            started_from=None if started_from is None else moment_in("started_from", started_from),
            started_before=(
                None if started_before is None else moment_in("started_before", started_before)
            ),
        )
        async with views.look(min_seq, timeout_s) as look:
            found = await list_sessions(
                look.connection, wanted, limit=limit, now=now(), before_seq=before_seq
            )
        following = found[-1].first_seq if len(found) == limit else None
        return SessionList(data=found, meta=_page_meta(look.meta, following))

    @router.get("/sessions/{session_id}", tags=["sessions"], summary="Read a session")
    async def one(
        session_id: str,
        as_of: Annotated[
            str | None,
            Query(description="A stream sequence, or a time of the log's clock in RFC 3339"),
        ] = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = _WAIT_S,
    ) -> SessionReply:
        """The session with its legs and commands, now or as it was at `as_of`.

        A dial that was requested on its own has a session of its own, by its command_id: that id
        leads to the call that it placed.
        """
        place = None if as_of is None else _place_in(as_of)
        # As of a sequence the records alone count: they do not tell that a hangup was lost.
        at = place if isinstance(place, datetime) else now() if place is None else NEVER
        async with views.look(min_seq, timeout_s) as look:
            match place:
                case None:
                    found = await read_session(look.connection, session_id)
                case datetime():
                    seq = await read_seq_at(look.connection, session_id, place) or 0
                    found = await read_session_as_of(look.connection, session_id, seq)
                case seq:
                    found = await read_session_as_of(look.connection, session_id, seq)
        if found is None:
            raise _no_session(session_id, "" if as_of is None else f" as of {as_of}")
        return SessionReply(data=detail_at(told_session(found), at), meta=look.meta)

    @router.get("/sessions/{session_id}/timeline", tags=["sessions"], summary="Read its records")
    async def timeline(
        session_id: str,
        after_seq: Annotated[
            WholeNumber,
            Query(ge=0, le=SEQ_MAX, description="meta.next of the page before this one"),
        ] = 0,
        limit: Annotated[WholeNumber, Query(ge=1, le=TIMELINE_MAX)] = TIMELINE_MAX,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = _WAIT_S,
    ) -> TimelineReply:
        """What the log has of the session, oldest first, with the dials that placed its legs.

        A page is shorter than `limit` where its records are long: go on while meta.next is set.
        """
        async with views.look(min_seq, timeout_s) as look:
            found = await read_timeline(
                look.connection, session_id, after_seq=after_seq, limit=limit
            )
            if not found.entries and await read_session(look.connection, session_id) is None:
                raise _no_session(session_id)
        following = found.entries[-1].seq if found.has_more else None
        return TimelineReply(
            data=[told_entry(each) for each in found.entries], meta=_page_meta(look.meta, following)
        )

    @router.get("/commands/{command_id}", tags=["commands"], summary="Read a command")
    async def command(
        command_id: str, min_seq: MinSeq = 0, timeout_s: WaitS = _WAIT_S
    ) -> CommandReply:
        """What was asked, what was tried, and what the carrier answered."""
        async with views.look(min_seq, timeout_s) as look:
            found = await read_commands(look.connection, command_id)
        if not found:
            # Its request may have been appended a moment ago.
            await views.catch_up()
            async with views.look() as look:
                found = await read_commands(look.connection, command_id)
        if not found:
            raise not_found(f"No command has command_id {command_id[:80]!r}")
        latest, *others = map(told_command, found)
        return CommandReply(data=latest, others=others, meta=look.meta)

    return router


def _place_in(as_of: str) -> int | datetime:
    if as_of.isascii() and as_of.isdigit() and len(as_of) < len(str(SEQ_MAX)):
        return int(as_of)
    return moment_in("as_of", as_of, "a stream sequence or a time")


def _page_meta(meta: Meta, following: int | None) -> PageMeta:
    return PageMeta(as_of_seq=meta.as_of_seq, lag_ms=meta.lag_ms, next=following)


def _no_session(session_id: str, when: str = "") -> Exception:
    return not_found(f"There is no session {session_id[:80]!r}{when}")
