"""The API's event stream, with new connections whenever one is lost."""

import asyncio
from collections.abc import AsyncGenerator

import httpx

from offhook.cli.remote.exchange import api_address
from offhook.errors import OperatorFault
from offhook.settings import Settings

RECONNECT_S = 1.0
UNREACHABLE_S = 30.0
"""How long the API may be away."""

SILENT_S = 60.0
"""Without a heartbeat for so long the connection is lost."""


async def events(
    settings: Settings, path: str, last_event_id: str = ""
) -> AsyncGenerator[str | None, None]:
    """The data of each record after the event with this id; None for each connection that is made.

    Without an id it begins with what comes from now on. Raises OperatorFault if the API refuses, or
    is away for UNREACHABLE_S.
    """
    url, token = api_address(settings)
    timeout = httpx.Timeout(SILENT_S, connect=RECONNECT_S * 5)
    loop = asyncio.get_running_loop()
    kind = ""
    heard_at = loop.time()
    async with httpx.AsyncClient(timeout=timeout) as http:
        while True:
            headers = {"authorization": f"Bearer {token}"}
            if last_event_id:
                headers["last-event-id"] = last_event_id
            why = "the stream ended"
            try:
                async with http.stream("GET", f"{url}{path}", headers=headers) as response:
                    if response.status_code == httpx.codes.OK:
                        heard_at = loop.time()
                        yield None
                        async for line in response.aiter_lines():
                            heard_at = loop.time()
                            name, _, value = line.partition(": ")
                            if name == "id":
                                last_event_id = value
                            elif name == "event":
                                kind = value
                            elif name == "data" and kind == "record":
                                yield value
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
