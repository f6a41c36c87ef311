"""The one way to the carrier over HTTP: a request with the account's key, and what came back.

Offhook's own API answers in the same form, so the command line uses this for both. It does not
judge answers: what one means for a command is in `offhook.telnyx.outcomes`.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from offhook.errors import SettingInvalid, shown_url
from offhook.telnyx.http_pool import HttpPool

IDLE_CONNECTION_S = 30.0

JSON_BODY = {"content-type": "application/json"}
"""The header of a request whose content is JSON."""


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    """What a server answered. `body` is None if it broke off, or was not complete in time."""

    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes | None


@dataclass(frozen=True, kw_only=True)
class NoHttpAnswer:
    """No status line came. `maybe_taken` is False if the request certainly did not arrive."""

    detail: str
    maybe_taken: bool


class TelnyxHttp:
    """Requests to `base_url` with `key` as the bearer token; without a key, none is sent.

    `timeout_s` bounds a whole request, from waiting for a connection to the last byte of the
    answer; half of it is for the connection, so that "certainly not sent" is known. At most
    `connections_max` requests run at once, the others wait.
    Raises SettingInvalid, naming `url_name` or `key_name`, for values that no request can have.
    """

    def __init__(
        self,
        *,
        base_url: str,
        key: str,
        timeout_s: float,
        connections_max: int = 1,
        url_name: str = "OFFHOOK_CARRIER_URL",
        key_name: str = "OFFHOOK_CARRIER_KEY",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        require_http_url(base_url, url_name)
        self._headers = {"accept": "application/json", "user-agent": "offhook"}
        if key:
            require_header_value(key, key_name)
            self._headers["authorization"] = f"Bearer {key}"
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._connect_s = timeout_s / 2
        self._transport = transport
        self._tls = httpx.create_ssl_context()  # slow to make, so all connections share it
        self._pool = HttpPool(self._opened, clients_max=connections_max, idle_s=IDLE_CONNECTION_S)

    def _opened(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._base_url,
            headers=self._headers,
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
        """Close idle connections now, and those in use after their requests."""
        await self._pool.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | Sequence[tuple[bytes, bytes]] = (),
        query: Mapping[str, str] | None = None,
    ) -> HttpAnswer | NoHttpAnswer:
        """Send one request, once. `path` is below `base_url`; `headers` replace the usual ones.

        From the status line on the server's mind is known, so a body that breaks off or comes too
        late does not make it "no answer". Raises httpx.InvalidURL for a path that is too long.
        """
        response: httpx.Response | None = None
        body: bytes | None = None
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.client(self._connect_s) as http,
                http.stream(
                    method, path, content=content, headers=headers, params=query or None
                ) as response,
            ):
                body = await response.aread()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NoHttpAnswer(detail=_words(error), maybe_taken=False)
        except (TimeoutError, httpx.TransportError, httpx.DecodingError) as error:
            if response is None:
                return NoHttpAnswer(detail=_words(error), maybe_taken=True)
        assert response is not None
        # httpx's stream refers back to its response: with it, each would be garbage in a circle.
        response.stream = httpx.ByteStream(b"")
        return HttpAnswer(status=response.status_code, headers=response.headers, body=body)


def require_http_url(url: str, name: str) -> None:
    """Raise SettingInvalid, naming the setting, unless requests can be sent to `url`."""
    try:
        parsed = httpx.URL(url)
        is_usable = parsed.scheme in ("http", "https") and bool(parsed.host)
    except httpx.InvalidURL:
        is_usable = False
    if not is_usable:
        raise SettingInvalid(f"{name} is {shown_url(url)!r}; expected http://… or https://…")


def require_header_value(key: str, name: str) -> None:
    """Raise SettingInvalid, naming the setting but never its value, unless it fits a header.

    Found here, because the HTTP library's own error would show the key, and errors are logged.
    """
    if not key:
        raise SettingInvalid(f"{name} is empty")
    if not _IN_A_HEADER.fullmatch(key):
        raise SettingInvalid(
            f"{name} is not valid in a header; expected printable ASCII without spaces or line ends"
        )


_IN_A_HEADER = re.compile(r"[!-~]+")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
