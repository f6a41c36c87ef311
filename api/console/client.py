"""The public API for the console's pages: JSON by path, with the token of who signed in."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlencode

import msgspec

from offhook.process.asgi import AsgiApp, Message

_log = logging.getLogger(__name__)


class ApiRefused(Exception):
    """The API answered with an error; `detail` is for the reader."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        self.detail = detail


class ApiClient:
    """The API in this process, asked as any client asks it. One for all who are signed in."""

    def __init__(self, api: AsgiApp) -> None:
        self._api = api

    def signed_in(self, token: str) -> "Api":
        """The API as the owner of this token sees it."""
        return Api(api=self._api, token=token)


@dataclass(frozen=True, kw_only=True)
class Api:
    """The API as one person sees it."""

    api: AsgiApp
    token: str

    async def get(self, path: str, parameters: Mapping[str, object] | None = None) -> Any:
        """The JSON at a path, percent-encoded; parameters that are None are left out.

        Raises ApiRefused.
        """
        given = {
            name: str(value) for name, value in (parameters or {}).items() if value is not None
        }
        status, body = await self._answer(unquote(path), urlencode(given))
        if status >= 400:
            raise ApiRefused(status, _detail_of(status, body))
        return msgspec.json.decode(body)

    async def _answer(self, path: str, query: str) -> tuple[int, bytes]:
        """Status and body. An HTTP client in between would cost more than most of the answers."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"authorization", b"Bearer " + self.token.encode())],
            "client": None,
            "server": None,
        }
        status, body, is_asked = 0, bytearray(), False

        async def receive() -> Message:
            nonlocal is_asked
            if is_asked:
                await asyncio.Future()  # it stays connected
            is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                body.extend(message.get("body", b""))

        try:
            await self.api(scope, receive, send)
        except Exception:
            # Starlette raises what it has answered with 500, for a server to log.
            _log.exception("an error in the API", extra={"path": path})
            status = 500
        return status, bytes(body)


def _detail_of(status: int, body: bytes) -> str:
    try:
        first = msgspec.json.decode(body)["errors"][0]
        return str(first.get("detail") or first["title"])
    except (msgspec.DecodeError, LookupError, TypeError):
        return HTTPStatus(status).phrase
