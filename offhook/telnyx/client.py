"""One request to the carrier over HTTP. What its answer means is told by `outcomes`."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self, assert_never

import httpx
import msgspec

from offhook.commands.catalog import method_of, path_of, takes_command_id
from offhook.commands.paths import call_path
from offhook.errors import CarrierUnavailable, ParameterInvalid, SettingInvalid
from offhook.events import IssuedCommand
from offhook.telnyx.http_pool import HttpPool
from offhook.telnyx.outcomes import (
    LEG_GONE,
    Accepted,
    Busy,
    NoAnswer,
    Outcome,
    Refused,
    outcome_of,
)
from offhook.telnyx.paths import active_calls_path

CONNECTIONS_MAX = 64
IDLE_CONNECTION_S = 30.0
ACTIVE_CALLS_PAGE_SIZE = 250  # the carrier's own bound
ACTIVE_CALLS_PAGES_MAX = 400


class Carrier:
    """The carrier's HTTP interface at `base_url` (…/v2), at most CONNECTIONS_MAX requests at once.

    `timeout_s` bounds a whole try, from waiting for a connection to the last byte of the answer.
    Raises SettingInvalid if no header can carry the key.
    """

    def __init__(
        self,
        *,
        base_url: str,
        key: str,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not _IN_A_HEADER.fullmatch(key):
            # Found here, for the HTTP library would tell the key in its error, which is logged.
            raise SettingInvalid(
                "OFFHOOK_CARRIER_KEY is "
                + (
                    "not what a header can carry: is there a space or a line end?"
                    if key
                    else "empty"
                )
            )
        self._base_url = base_url
        self._key = key
        self._timeout_s = timeout_s
        self._transport = transport
        self._tls = httpx.create_ssl_context()  # takes long to make, so one for all
        # Half of the time to get a connection: so "certainly not sent" differs from a time out.
        self._connect_s = timeout_s / 2
        self._pool = HttpPool(self._opened, clients_max=CONNECTIONS_MAX, idle_s=IDLE_CONNECTION_S)

    def _opened(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._base_url,
            headers={
                "authorization": f"Bearer {self._key}",
                "accept": "application/json",
                "user-agent": "offhook",
            },
            timeout=httpx.Timeout(self._timeout_s, connect=self._connect_s),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=IDLE_CONNECTION_S),
            transport=self._transport,
            verify=self._tls,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; requests under way are finished first."""
        await self._pool.aclose()

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        """One try. `repeated`: the carrier may have taken this command before; see `outcome_of`."""
        body = dict(command.parameters)
        if takes_command_id(command.operation):
            body["command_id"] = command.command_id
        answer = await self._ask(
            method_of(command.operation),
            path_of(command.operation, command.call_control_id),
            content=msgspec.json.encode(body),
        )
        if isinstance(answer, NoAnswer):
            return answer
        status, headers, body_bytes = answer
        if body_bytes is None and 400 <= status < 500 and status not in (408, 429):
            # The status alone does not tell which refusal it was, and asking again does no harm.
            detail = f"{status}, but the answer's body was lost"
            return NoAnswer(detail=detail, maybe_taken=False)
        return outcome_of(command.operation, status, headers, body_bytes or b"", repeated=repeated)

    async def retrieve_status(self, call_control_id: str) -> dict[str, Any] | None:
        """The carrier's JSON `{data: {is_alive, …}}`; None if it does not know the call (any more).

        It is readable for 10 minutes after the end. Raises CarrierUnavailable, ParameterInvalid, or
        SettingInvalid if the key is refused.
        """
        outcome = await self._get("retrieve_status", call_path(call_control_id), {})
        if isinstance(outcome, Refused) and outcome.group in LEG_GONE:
            return None
        return _answer_of(outcome, "retrieve_status", "call_control_id", call_control_id)

    async def list_active_calls(self, connection_id: str) -> AsyncIterator[dict[str, Any]]:
        """The connection's active calls as the carrier lists them, each once.

        Follows the documented cursors, or page numbers where the answer has those (the official SDK
        mixes the two up and never ends). A page that brings nothing new ends it in any case.
        Raises CarrierUnavailable, ParameterInvalid, or SettingInvalid if the key is refused.
        """
        operation, name = "list_active_calls", "connection_id"
        path = active_calls_path(connection_id)
        page = {"page[limit]": str(ACTIVE_CALLS_PAGE_SIZE)}
        seen: set[str] = set()
        for _ in range(ACTIVE_CALLS_PAGES_MAX):
            outcome = await self._get(operation, path, page)
            answer = _answer_of(outcome, operation, name, connection_id)
            calls = answer.get("data")
            fresh = {
                str(call.get("call_control_id")): call
                for call in (calls if isinstance(calls, list) else [])
                if isinstance(call, dict) and str(call.get("call_control_id")) not in seen
            }
            for call in fresh.values():
                yield call
            seen.update(fresh)
            following = _next_page(answer.get("meta"))
            if following is None or not fresh:
                return
            page = following
        raise CarrierUnavailable(
            f"{operation}: connection {connection_id} has more than {ACTIVE_CALLS_PAGES_MAX} pages"
        )

    async def _get(self, operation: str, path: str, query: Mapping[str, str]) -> Outcome:
        answer = await self._ask("GET", path, query=query)
        if isinstance(answer, NoAnswer):
            return answer
        status, headers, body = answer
        if body is None:
            return NoAnswer(detail=f"{status}, but the answer's body was lost")
        return outcome_of(operation, status, headers, body)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, httpx.Headers, bytes | None] | NoAnswer:
        """Status, headers and body of one exchange; the body is None if it could not be read.

        From the first line on the carrier's mind is known, so a body that is cut off, or comes too
        late, does not make it "no answer".
        """
        response: httpx.Response | None = None
        body: bytes | None = None
        headers = {"content-type": "application/json"} if content is not None else None
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.client(self._connect_s) as http,
                http.stream(
                    method, path, content=content, params=query or None, headers=headers
                ) as response,
            ):
                body = await response.aread()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NoAnswer(detail=_words(error), maybe_taken=False)
        except httpx.UnsupportedProtocol:
            raise
        except (TimeoutError, httpx.TransportError, httpx.DecodingError) as error:
            if response is None:
                return NoAnswer(detail=_words(error))
        assert response is not None
        return response.status_code, response.headers, body


_IN_A_HEADER = re.compile(r"[!-~]+")


def _answer_of(outcome: Outcome, operation: str, field_name: str, value: str) -> dict[str, Any]:
    """The JSON of a reading request, or the error that says why there is none."""
    match outcome:
        case Accepted(note=""):
            return outcome.answer
        case Accepted(status=status, note=note):
            raise CarrierUnavailable(f"{operation}: {status}, but {note}")
        case Refused(reason="unauthorized", detail=detail):
            raise SettingInvalid(f"the carrier's key was refused for {operation}: {detail}")
        case Refused(detail=detail):
            raise ParameterInvalid(
                operation, field_name, value, f"the carrier refuses it: {detail}"
            )
        case Busy(detail=detail) | NoAnswer(detail=detail):
            raise CarrierUnavailable(f"{operation}: {detail}")
        case _:
            assert_never(outcome)


def _next_page(meta: object) -> dict[str, str] | None:
    """The query for the page after the one with this `meta`; None after the last."""
    if not isinstance(meta, dict):
        return None
    cursors = meta.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if isinstance(after, str) and after:
        return {"page[limit]": str(ACTIVE_CALLS_PAGE_SIZE), "page[after]": after}
    number, total, size = (meta.get(name) for name in ("page_number", "total_pages", "page_size"))
    if isinstance(number, int) and isinstance(total, int) and number < total:
        same_size = {"page[size]": str(size)} if isinstance(size, int) else {}
        return {**same_size, "page[number]": str(number + 1)}
    return None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
