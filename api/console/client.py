"""The public API for the console's pages: JSON by path, with the token of who signed in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from offhook.process.asgi import AsgiApp


class ApiRefused(Exception):
    """The API answered with an error; `detail` is for the reader."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        self.detail = detail


class ApiClient:
    """The API in this process, asked as any client asks it. One for all who are signed in."""

    def __init__(self, api: AsgiApp) -> None:
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=api, raise_app_exceptions=False),
            base_url="http://api",
            trust_env=False,
        )

    def signed_in(self, token: str) -> "Api":
        """The API as the owner of this token sees it."""
        return Api(http=self._http, token=token)


@dataclass(frozen=True, kw_only=True)
class Api:
    """The API as one person sees it."""

    http: httpx.AsyncClient
    token: str

    async def get(self, path: str, parameters: Mapping[str, object] | None = None) -> Any:
        """The JSON at a path; parameters that are None are left out. Raises ApiRefused."""
        given = {
            name: str(value) for name, value in (parameters or {}).items() if value is not None
        }
        response = await self.http.get(
            path, params=given, headers={"authorization": f"Bearer {self.token}"}
        )
        if response.status_code >= 400:
            raise ApiRefused(response.status_code, _detail_of(response))
        return msgspec.json.decode(response.content)


def _detail_of(response: httpx.Response) -> str:
    try:
        first = msgspec.json.decode(response.content)["errors"][0]
        return str(first.get("detail") or first["title"])
    except (msgspec.DecodeError, LookupError, TypeError):
        return response.reason_phrase
