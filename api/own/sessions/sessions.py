"""Sessions as the views have them, now or as they were.

    GET /sessions                          newest first, in pages; with include=legs,last
    GET /sessions/{session_id}             with its legs and last commands
    GET /sessions/{session_id}/timeline    its records, oldest first, in pages

With as_of=, a time or a position, each is as it was then. `meta` in every answer says how fresh it
is; with min_seq a request waits until it is fresh enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Query

from offhook.api.auth import Tokens
from offhook.api.errors import refusal
from offhook.api.freshness import Meta, Views
from offhook.api.own.parameters import (
    PAGE_DEFAULT,
    WAIT_DEFAULT_S,
    AsOf,
    BeforeSeq,
    ListPageMeta,
    MinSeq,
    PageMeta,
    WaitS,
    list_page_meta,
    listed_as_of,
    optional_as_of,
    require_before_seq,
)
from offhook.api.own.redact import redacted_entry, redacted_session
from offhook.api.own.sessions.parameters import WantedSessions, no_session
from offhook.api.query_parameters import WholeNumber
from offhook.api.replies import ReplyRoute
from offhook.errors import shown
from offhook.position import BIGINT_MAX
from offhook.projections.views.commands import COMMANDS_MAX, WantedCommands, command_page
from offhook.projections.views.live.included import Include, IncludingSession, including
from offhook.projections.views.live.phases import PhaseName, has_phase
from offhook.projections.views.past.lists_as_of import list_sessions_as_of
from offhook.projections.views.past.session_as_of import read_session_as_of
from offhook.projections.views.past.timeline import TIMELINE_MAX, TimelineEntry, read_timeline
from offhook.projections.views.search.session_lists import list_sessions
from offhook.projections.views.sessions import SessionDetail, SessionView, detail_at, read_session
from offhook.projections.views.view import PAGE_MAX
from offhook.session.folding import NEVER


@dataclass(frozen=True, kw_only=True)
class SessionList:
    """A page of sessions."""

    data: Sequence[SessionView]
    meta: ListPageMeta


@dataclass(frozen=True, kw_only=True)
class IncludingList:
    """A page of sessions with what was asked for in `include`."""

    data: Sequence[IncludingSession]
    meta: ListPageMeta


@dataclass(frozen=True, kw_only=True)
class SessionReply:
    """A session with its legs and commands."""

    data: SessionDetail
    meta: Meta


@dataclass(frozen=True, kw_only=True)
class TimelineReply:
    """A page of a session's timeline."""

    data: Sequence[TimelineEntry]
    meta: PageMeta


CommandsLimit = Annotated[
    WholeNumber,
    Query(ge=1, le=COMMANDS_MAX, description="How many of its last commands `commands` has"),
]
AfterSeq = Annotated[
    WholeNumber, Query(ge=0, le=BIGINT_MAX, description="meta.next of the previous page")
]
EarlierThan = Annotated[
    WholeNumber | None,
    Query(
        ge=0,
        le=BIGINT_MAX,
        description="`seq` of the first record of the page after this one, or 9223372036854775807 "
        "for the last page. Not with after_seq",
    ),
]
Included = Annotated[
    str | None,
    Query(
        description="What each session has beside its own fields, separated by commas. `legs`: its "
        "`legs`, and the `phase` of a call that is up. `last`: `last_event`, the last webhook, and "
        "`last_command` with its outcome. Not with as_of",
        examples=["legs,last"],
    ),
]
OfPhase = Annotated[
    PhaseName | None,
    Query(
        description="Only calls that are up, and `setting_up` (no leg was answered), `waiting` (a "
        "leg waits in a queue) or `talking` (answered, and none waits). Not with as_of"
    ),
]


def sessions_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The routes above."""
    sessions = _Sessions(views, now)
    router = APIRouter(
        route_class=ReplyRoute, tags=["sessions"], dependencies=[Depends(tokens.allow("read"))]
    )
    router.add_api_route("/sessions", sessions.listed, summary="List sessions")
    router.add_api_route("/sessions/{session_id}", sessions.one, summary="Read a session")
    router.add_api_route(
        "/sessions/{session_id}/timeline", sessions.timeline, summary="Read its records"
    )
    return router


class _Sessions:
    """One method for each route; FastAPI takes names, parameters and docstrings for /docs."""

    def __init__(self, views: Views, now: Callable[[], datetime]) -> None:
        self._views = views
        self._now = now

    async def listed(
        self,
        wanted: WantedSessions,
        phase: OfPhase = None,
        include: Included = None,
        limit: Annotated[WholeNumber, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
        before_seq: BeforeSeq = None,
        as_of: AsOf = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> SessionList | IncludingList:
        """Newest first. A session without legs is not a call, but a command without an outcome yet
        or without effect, or a conference. It is listed only with status=empty, or if it has a
        problem.

        Numbers, cause, source and SIP code take patterns: a value, `+4930*` for its start, `*1234`
        for its end, `*` for any value, `!…` for all others; several are separated by commas. A
        session matches if one of those without `!` matches, or there are none, and none of those
        with it. A search that takes over 10 s is refused with 422: ids, numbers, `status`,
        `connection_id`, `hangup_cause`, `failed`, `failed_command` and `flow_raised` have an index,
        other filters read sessions, newest first.

        With `as_of` the list is as it was at that time, or at the time of the record at that
        position. It has a bound on what may have changed since, and names it in an error.
        """
        position = optional_as_of(self._views, as_of)
        included = _included_in(include)
        if position is not None:
            _refuse_with_as_of(
                phase=phase,
                include=include,
                number=wanted.number,
                any_leg=wanted.any_leg or None,
                leg_hangup_cause=wanted.leg_hangup_cause,
                leg_sip_hangup_cause=wanted.leg_sip_hangup_cause,
            )
        require_before_seq(self._views, before_seq)
        async with self._views.snapshot(min_seq, timeout_s) as snapshot:
            now, full = self._now(), None
            if position is None:
                found = await list_sessions(
                    snapshot.connection,
                    wanted,
                    limit=limit,
                    now=now,
                    before_seq=before_seq,
                    also=None if phase is None else has_phase(phase, now),
                )
                if included:
                    full = await including(snapshot.connection, found, included, now)
            else:
                found = await listed_as_of(
                    snapshot.connection,
                    position,
                    lambda at: list_sessions_as_of(
                        snapshot.connection, wanted, at, limit=limit, before_seq=before_seq
                    ),
                )
        following = found[-1].first_seq if len(found) == limit else None
        meta = list_page_meta(snapshot.meta, following)
        if full is None:
            return SessionList(data=found, meta=meta)
        return IncludingList(data=full, meta=meta)

    async def one(
        self,
        session_id: str,
        as_of: AsOf = None,
        commands_limit: CommandsLimit = COMMANDS_MAX,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> SessionReply:
        """The session with its legs and its last commands, now or as it was at `as_of`.

        `commands_next` is set if it has more commands: continue with `/commands` below.

        A dial requested on its own has a session of its own, named by its command_id: that id leads
        to the call that it placed.
        """
        position = optional_as_of(self._views, as_of)
        async with self._views.snapshot(min_seq, timeout_s) as snapshot:
            if position is None:
                at = self._now()
                found = await read_session(
                    snapshot.connection, session_id, commands_max=commands_limit
                )
            else:
                # As of a position only the records count, and none says that a hangup was lost.
                at = position if isinstance(position, datetime) else NEVER
                found = await read_session_as_of(snapshot.connection, session_id, position)
            if found is None:
                raise await no_session(snapshot.connection, session_id, as_of)
        if position is not None:
            page = command_page(found.commands, WantedCommands(limit=commands_limit))
            assert page is not None
            found = replace(found, commands=page.commands, commands_next=page.next)
        return SessionReply(
            data=detail_at(redacted_session(found), at),
            meta=snapshot.meta_of(found.session.session_id),
        )

    async def timeline(
        self,
        session_id: str,
        after_seq: AfterSeq = 0,
        before_seq: EarlierThan = None,
        limit: Annotated[WholeNumber, Query(ge=1, le=TIMELINE_MAX)] = TIMELINE_MAX,
        as_of: AsOf = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> TimelineReply:
        """The session's records in the log, oldest first, with the dials that placed its legs.

        A page has fewer than `limit` records if they are long: continue while meta.next is set.
        With `as_of` it has those that were in the log by then. With `before_seq`, the position of a
        record or more than any, it has the last ones before that, oldest first too.
        """
        position = optional_as_of(self._views, as_of)
        self._views.require_in_log("after_seq", after_seq)
        require_before_seq(self._views, before_seq)
        if after_seq and before_seq is not None:
            detail = "after_seq and before_seq are both given; expected one of them"
            raise refusal(422, "10015", detail, parameter="before_seq")
        async with self._views.snapshot(min_seq, timeout_s) as snapshot:
            found = await read_timeline(
                snapshot.connection,
                session_id,
                after_seq=after_seq,
                before_seq=before_seq,
                limit=limit,
                as_of=position,
            )
            if not found.entries:
                session = await read_session(snapshot.connection, session_id, commands_max=1)
                if session is None:
                    raise await no_session(snapshot.connection, session_id)
        following = found.entries[-1].seq if found.has_more else None
        return TimelineReply(
            data=[redacted_entry(each) for each in found.entries],
            meta=PageMeta(**vars(snapshot.meta_of(found.session_id)), next=following),
        )


def _included_in(text: str | None) -> frozenset[Include]:
    """The names in `include`. Raises ErrorAnswer 422."""
    if text is None:
        return frozenset()
    names = {name.strip() for name in text.split(",")}
    known = {name for name in _INCLUDES if name in names}
    if known != names:
        detail = f"include is {shown(text)}; expected some of {', '.join(_INCLUDES)}"
        raise refusal(422, "10015", detail, parameter="include")
    return frozenset(known)


def _refuse_with_as_of(**given: object) -> None:
    """Raise ErrorAnswer 422 if a parameter is set that is about now."""
    for name, value in given.items():
        if value is not None:
            detail = f"{name} is about the sessions as they are now; leave out as_of, or {name}"
            raise refusal(422, "10015", detail, parameter=name)


_INCLUDES: tuple[Include, ...] = get_args(Include)
