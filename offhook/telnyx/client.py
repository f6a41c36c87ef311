"""One request to the carrier over HTTP. What its answer means is told by `outcomes`."""

import asyncio
import re
from types import TracebackType
from typing import Self

import httpx
import msgspec

from offhook.commands.catalog import method_of, path_of, takes_command_id
from offhook.errors import SettingInvalid
from offhook.events import IssuedCommand
from offhook.telnyx.http_pool import HttpPool
from offhook.telnyx.outcomes import NoAnswer, Outcome, outcome_of

CONNECTIONS_MAX = 64
IDLE_CONNECTION_S = 30.0


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
            msgspec.json.encode(body),
        )
        if isinstance(answer, NoAnswer):
            return answer
        status, headers, body_bytes = answer
        if body_bytes is None and 400 <= status < 500 and status not in (408, 429):
            # The status alone does not tell which refusal it was, and asking again does no harm.
            detail = f"{status}, but the answer's body was lost"
            return NoAnswer(detail=detail, maybe_taken=False)
        return outcome_of(command.operation, status, headers, body_bytes or b"", repeated=repeated)

    async def _ask(
        self, method: str, path: str, content: bytes
    ) -> tuple[int, httpx.Headers, bytes | None] | NoAnswer:
        """Status, headers and body of one exchange; the body is None if it could not be read.

        From the first line on the carrier's mind is known, so a body that is cut off, or comes too
        late, does not make it "no answer".
        """
        response: httpx.Response | None = None
        body: bytes | None = None
        headers = {"content-type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.client(self._connect_s) as http,
                http.stream(method, path, content=content, headers=headers) as response,
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


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
