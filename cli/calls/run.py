"""What `offhook calls` does: print the sessions that the API finds, and follow them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import typer
from rich.console import Console

from offhook.cli.calls.lines import CallLines, texts_of
from offhook.cli.counted import counted
from offhook.cli.remote.answers import print_json
from offhook.cli.remote.event_stream import events
from offhook.cli.remote.exchange import RemoteServer, Unanswered, open_api
from offhook.errors import OffhookError
from offhook.patterns import PATTERNS_MAX
from offhook.settings import Settings

PAGE = 250
"""Sessions on a page of the API, at most."""

FOLLOWED_MAX = 10_000
"""Calls whose last line is remembered; of an older one the same line may be printed again."""

RECORDS_MAX = 1_000
"""Records of the stream that wait here; while there are more, the stream itself waits."""

GATHERED_S = 0.3
"""Records of one call come in groups: one line for all of a group."""

OF_A_LEG = frozenset(
    {
        *("hangup_cause", "hangup_source", "sip_hangup_cause"),
        *("from_number", "to_number", "direction", "connection_id", "call_control_id"),
    }
)
"""Filters that may find another leg than the first one."""

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def run_calls(
    console: Console,
    settings: Settings,
    filters: Mapping[str, str],
    *,
    limit: int,
    follow: bool,
    as_json: bool,
) -> None:
    """Print at most `limit` sessions, newest first; with `follow` oldest first, and what changes.

    `filters` are query parameters of GET /sessions. Raises OffhookError, typer.Exit after Ctrl-C.
    """
    printed = _Printed(_printer(console, as_json=as_json))
    with open_api(settings) as api:
        if follow:
            following = _Following(api=api, settings=settings, filters=filters, printed=printed)
            try:
                api.run(following.run(limit))
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None
        count, has_more = 0, False
        for page in _pages(api, filters, limit):
            for session in page["data"]:
                printed.show(session)
            count += len(page["data"])
            has_more = page["meta"]["next"] is not None
    if not as_json:
        _say(_summary(count, filters, has_more=has_more))


def _pages(
    api: RemoteServer, filters: Mapping[str, str], limit: int
) -> Iterator[Mapping[str, Any]]:
    """Pages of at most `limit` sessions together."""
    before: dict[str, str] = {}
    while limit > 0:
        query = _query(filters, min(limit, PAGE)) | before
        body = api.ask("GET", "/sessions", query=query).body
        following = body["meta"]["next"]
        yield body
        if following is None:
            return
        limit -= len(body["data"])
        before = {"before_seq": str(following)}


def _query(filters: Mapping[str, str], limit: int) -> dict[str, str]:
    return {**filters, "include": "legs", "limit": str(limit)}


def _printer(console: Console, *, as_json: bool) -> Callable[[Mapping[str, Any]], None]:
    if as_json:
        return print_json
    lines = CallLines(width=console.width if console.is_terminal else None)
    if (heading := lines.heading()) is not None:
        console.print(heading, soft_wrap=True)
    # Wrapped and cut to the width where they are made: rich would break an id.
    return lambda session: console.print(lines.lines_of(session), soft_wrap=True)


def _say(text: str) -> None:
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)


def _summary(count: int, filters: Mapping[str, str], *, has_more: bool) -> str:
    if not count:
        is_of_first = OF_A_LEG & filters.keys() and filters.get("any_leg") != "true"
        hint = "; only first legs were searched: --any-leg" if is_of_first else ""
        return f"no call matches{hint}"
    more = "; there are more: --limit" if has_more else ""
    return f"{counted(count, 'call')}, newest first{more}"


class _Printed:
    """Prints a session unless it looks as it did when it was last printed."""

    def __init__(self, print_: Callable[[Mapping[str, Any]], None]) -> None:
        self._print = print_
        self._last: dict[str, int] = {}

    def show(self, session: Mapping[str, Any]) -> None:
        """Print it if something of its line is new."""
        session_id, looks = session["session_id"], hash(tuple(texts_of(session)))
        if self._last.pop(session_id, None) != looks:
            self._print(session)
        self._last[session_id] = looks
        if len(self._last) > FOLLOWED_MAX:
            del self._last[next(iter(self._last))]


@dataclass(frozen=True, kw_only=True)
class _Following:
    """Asks the API again for each session that has a new record."""

    api: RemoteServer
    settings: Settings
    filters: Mapping[str, str]
    printed: _Printed

    async def run(self, limit: int) -> None:
        """Print what is listed, then what changes, until it is interrupted. Raises OffhookError."""
        await self._list(self.filters, limit)  # so that a wrong address is an error at once
        queue: asyncio.Queue[str | OffhookError | None] = asyncio.Queue(RECORDS_MAX)
        found = events(self.settings, "/sessions/stream")
        reading = asyncio.create_task(_read(found, queue))
        try:
            waiting: list[str | OffhookError | None] = []
            while True:
                waiting.append(await queue.get())
                await asyncio.sleep(GATHERED_S)
                while not queue.empty():
                    waiting.append(queue.get_nowait())
                # If the API is away, the stream is too: it says when it is back, or gives up.
                with suppress(Unanswered):
                    await self._show(waiting, limit)
                    waiting.clear()
                del waiting[:-RECORDS_MAX]
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading

    async def _show(self, waiting: list[str | OffhookError | None], limit: int) -> None:
        sessions: dict[str, None] = {}
        for each in waiting:
            if isinstance(each, OffhookError):
                raise each
            if each is None:
                # A new connection: what came before it, the first time and after a break.
                await self._list(self.filters, limit)
            else:
                sessions[msgspec.json.decode(each)["session_id"]] = None
        ids = list(sessions)
        for start in range(0, len(ids), PATTERNS_MAX):
            some = ",".join(ids[start : start + PATTERNS_MAX])
            await self._list({**self.filters, "session_id": some}, PATTERNS_MAX)

    async def _list(self, filters: Mapping[str, str], limit: int) -> None:
        answer = await self.api.asked("GET", "/sessions", query=_query(filters, limit))
        for session in reversed(answer.body["data"]):
            self.printed.show(session)


async def _read(
    found: AsyncGenerator[str | None, None], queue: "asyncio.Queue[str | OffhookError | None]"
) -> None:
    async with aclosing(found):
        try:
            async for each in found:
                await queue.put(each)
        except OffhookError as error:
            await queue.put(error)
