"""One request from the command line to Offhook's API or the carrier, which answer in one form."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx
import msgspec

from offhook.cli.tokens import widest_token
from offhook.codec.lenient_json import NotJson, read_json
from offhook.commands.webhook_targets import WARNING_HEADER
from offhook.errors import OperatorFault, SenderFault, SettingInvalid, shown_url
from offhook.position import SESSION_ID_HEADER
from offhook.settings import Settings
from offhook.telnyx.http import JSON_BODY, NoHttpAnswer, TelnyxHttp

PAGES_MAX = 1_000

ANSWER_GRACE_S = 5.0
"""How much longer to wait than the API itself waits for the carrier."""

_TEXT_SHOWN_MAX = 200

Result = TypeVar("Result")


class ErrorResponse(SenderFault):
    """A server responded with errors. `body` is its whole response.

    `session_id` is where the API recorded a command that failed; empty if it recorded none.
    """

    def __init__(
        self, server: str, status: int, body: dict[str, Any], session_id: str = ""
    ) -> None:
        self.status = status
        self.body = body
        self.session_id = session_id
        recorded = [f"  It is recorded: offhook show {session_id}"] if session_id else []
        super().__init__("\n".join([f"{server} answers {status}", *_lines_of(body), *recorded]))


class Unanswered(OperatorFault):
    """No answer, or one that is not JSON. `maybe_taken`: the request may have had its effect."""

    def __init__(self, message: str, *, maybe_taken: bool) -> None:
        self.maybe_taken = maybe_taken
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class SuccessAnswer:
    """A 2xx answer. `warning` is from the API's header Offhook-Warning."""

    status: int
    body: dict[str, Any]
    warning: str = ""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A response that came whole."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class RemoteServer:
    """The API or the carrier; closed on leaving the `with` block.

    Errors call it `name`, and name what to check: `see`. Raises OperatorFault for an unusable URL
    or token.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        token: str,
        timeout_s: float,
        see: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._name = name
        self._url = shown_url(url)  # for messages only
        self._see = see
        try:
            self._http = TelnyxHttp(
                base_url=url,
                key=token,
                timeout_s=timeout_s,
                url_name=f"the address of {name}",
                key_name=f"the token for {name}",
                transport=transport,
            )
        except SettingInvalid as invalid:
            raise OperatorFault(f"{invalid}; see {see}") from None
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            self._runner.run(self._http.aclose())

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> SuccessAnswer:
        """Send a request and return its answer. Raises ErrorResponse or Unanswered."""
        return self.run(self.asked(method, path, body=body, query=query))

    def read_text(self, path: str, query: Mapping[str, str]) -> str:
        """What GET returns, as text. Raises ErrorResponse or Unanswered."""
        found = self.run(self._exchanged("GET", path, body=None, query=query))
        if found.status != 200:
            self._read(found.status, found.body, found.headers, path)
        return found.body.decode()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine that uses `asked`, in the loop of this server's connections."""
        return self._runner.run(work)

    async def asked(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> SuccessAnswer:
        """As `ask`, within `run`."""
        found = await self._exchanged(method, path, body=body, query=query)
        return self._read(found.status, found.body, found.headers, path)

    async def _exchanged(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
    ) -> _Found:
        found = await self._http.request(
            method,
            path,
            content=None if body is None else msgspec.json.encode(body),
            headers={} if body is None else JSON_BODY,
            query=query,
        )
        if isinstance(found, NoHttpAnswer):
            raise Unanswered(
                f"{self._name} does not answer at {self._url}: {found.detail}; see {self._see}",
                maybe_taken=found.maybe_taken,
            )
        if found.body is None:
            raise Unanswered(
                f"{self._name} at {self._url} answered {found.status}, but the answer broke off",
                maybe_taken=True,
            )
        return _Found(status=found.status, body=found.body, headers=found.headers)

    def _read(
        self, status: int, content: bytes, headers: Mapping[str, str], path: str
    ) -> SuccessAnswer:
        body = _json_of(content)
        is_success = 200 <= status < 300
        if not is_success and "errors" in body:
            session_id = headers.get(SESSION_ID_HEADER, "")
            raise ErrorResponse(f"{self._name} at {self._url}", status, body, session_id)
        if not is_success or (content and not body):
            text = content.decode(errors="replace")[:_TEXT_SHOWN_MAX].strip()
            raise Unanswered(
                f"what answers {status} at {self._url}{path} is not {self._name}; see "
                f"{self._see}. It says: {text!r}",
                maybe_taken=True,
            )
        warning = headers.get(WARNING_HEADER, "")
        return SuccessAnswer(status=status, body=body, warning=warning)

    def pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The bodies of all pages of a list. Follows cursors or page numbers."""
        following: Mapping[str, str] | None = query
        for _ in range(PAGES_MAX):
            if following is None:
                return
            body = self.ask("GET", path, query=following).body
            yield body
            following = _next_page(body.get("meta"), query) if body.get("data") else None


def open_api(settings: Settings) -> RemoteServer:
    """The API of these settings, with the token of the widest scope. Raises SettingInvalid."""
    url, token = api_address(settings)
    return RemoteServer(
        name="the API",
        url=url,
        token=token,
        timeout_s=settings.answer_timeout_s + ANSWER_GRACE_S,
        see="OFFHOOK_API_URL, or give --ready-file",
    )


def api_address(settings: Settings) -> tuple[str, str]:
    """The API's URL and the token of the widest scope. Raises SettingInvalid."""
    token = settings.api_token or widest_token(settings.api_tokens)
    if not token:
        raise SettingInvalid(
            "there is no token for the API: set OFFHOOK_API_TOKEN, or give the --ready-file of "
            "`offhook up`"
        )
    # The official SDKs' base_url ends in /v2; here it may.
    url = settings.api_url.removesuffix("/").removesuffix("/v2")
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return url or f"http://{host}:{settings.api_port}", token


def _next_page(meta: object, query: Mapping[str, str]) -> Mapping[str, str] | None:
    if not isinstance(meta, dict):
        return None
    cursors = meta.get("cursors")
    if meta.get("next") and isinstance(cursors, dict) and cursors.get("after"):
        return {**query, "page[after]": str(cursors["after"])}
    number, total = meta.get("page_number"), meta.get("total_pages")
    if not meta.get("cursors") and isinstance(number, int) and isinstance(total, int):
        return {**query, "page[number]": str(number + 1)} if number < total else None
    return None


def _json_of(content: bytes) -> dict[str, Any]:
    try:
        document, _ = read_json(content)
    except NotJson:
        return {}
    return document if isinstance(document, dict) else {}


def _lines_of(body: Mapping[str, Any]) -> Iterator[str]:
    """The errors, a line or two each: "10016 Phone number must be …: the detail (at /to)"."""
    errors = body.get("errors")
    for error in errors if isinstance(errors, list) else []:
        if not isinstance(error, dict):
            continue
        place = error.get("source")
        where = next(iter(place.values()), "") if isinstance(place, dict) else ""
        yield f"  {error.get('code', '')} {error.get('title', '')}".rstrip()
        if detail := error.get("detail"):
            yield f"    {detail}" + (f" (at {where})" if where else "")
