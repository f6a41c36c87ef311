"""Printing a session's records as they arrive, until it ends.

The API's event stream says that there is a record; the record itself is read from the log.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
from rich.console import Console

from offhook.cli.remote.exchange import api_address
from offhook.cli.remote.session_text import session_text
from offhook.errors import OperatorFault
from offhook.events import Record
from offhook.jetstream.log import EventLog
from offhook.session import fold
from offhook.settings import Settings

RECONNECT_S = 1.0
UNREACHABLE_S = 30.0
"""How long the API may be away."""

SILENT_S = 60.0
"""Without a heartbeat for so long the connection is lost."""


async def follow_session(
    console: Console,
    settings: Settings,
    log: EventLog,
    session_id: str,
    records: Sequence[Record],
) -> None:
    """Print what follows these records. Raises OperatorFault if the API refuses, or is away."""
    known = list(records)
    if _has_ended(session_id, known):
        return
    async for _ in _news(settings, session_id, known[-1].seq):
        own = [each for each in known if each.session_id == session_id]
        new = await log.read(
            session_id,
            in_after=max((each.seq for each in own if each.side == "in"), default=0),
            out_after=max((each.seq for each in own if each.side == "out"), default=0),
        )
        if not new:
            continue
        known += new
        now = datetime.now(UTC)
        text = session_text(session_id, known, len(new), now=now, is_continued=True)
        console.print(text, crop=False)
        if _has_ended(session_id, known):
            return


async def _news(settings: Settings, session_id: str, position: int) -> AsyncIterator[None]:
    """Once for each connection, and whenever the views have another record of the session."""
    url, token = api_address(settings)
    path = f"{url}/sessions/{quote(session_id, safe='')}/stream"
    timeout = httpx.Timeout(SILENT_S, connect=RECONNECT_S * 5)
    loop = asyncio.get_running_loop()
    heard_at = loop.time()
    async with httpx.AsyncClient(timeout=timeout) as http:
        while True:
            headers = {"authorization": f"Bearer {token}", "last-event-id": str(position)}
            why = "the stream ended"
            try:
                async with http.stream("GET", path, headers=headers) as response:
                    if response.status_code == httpx.codes.OK:
                        heard_at = loop.time()
                        yield
                        async for line in response.aiter_lines():
                            heard_at = loop.time()
                            name, _, value = line.partition(": ")
                            if name == "id":
                                position = int(value)
                            elif name == "data":
                                yield
                    else:
                        why = f"it answers {response.status_code}"
                        # 404: the views do not have the session yet.
                        if response.status_code in (401, 403, 422):
                            raise OperatorFault(f"the API at {url} cannot be followed: {why}")
            except httpx.HTTPError as error:
                why = repr(error)
            if loop.time() - heard_at > UNREACHABLE_S:
                raise OperatorFault(
                    f"the API at {url} cannot be followed: {why}; see OFFHOOK_API_URL, or give "
                    "--ready-file"
                )
            await asyncio.sleep(RECONNECT_S)


def _has_ended(session_id: str, records: Sequence[Record]) -> bool:
    return fold(session_id, records).status == "ended"
