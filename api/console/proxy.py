"""The API for the browser: /console/api/… is the API, with the token from the cookie."""

from starlette.requests import HTTPConnection

from offhook.api.console.sign_in import OURS, PATH, from_our_pages, token_of
from offhook.process.asgi import AsgiApp, Receive, Scope, Send, respond

PREFIX = f"{PATH}/api"
SAFE = frozenset({"GET", "HEAD"})
_NOT_PASSED = frozenset({b"cookie", b"authorization"})
_KEPT = ("type", "asgi", "http_version", "method", "scheme", "query_string", "client", "server")


class ApiForBrowser:
    """Passes a request on to the API, and its answer back as it comes: streams too."""

    def __init__(self, api: AsgiApp) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HTTPConnection(scope)
        path = request.url.path.removeprefix(PREFIX)
        token = token_of(request)
        if token is None:
            return await _refuse(send, 401, "10009", "Authentication failed", "Sign in first")
        if scope["method"] not in SAFE and not (
            OURS in request.headers and from_our_pages(request)
        ):
            detail = f"This did not come from a page of the console with the header {OURS}"
            return await _refuse(send, 403, "10010", "Authorization failed", detail)
        if path == PATH or path.startswith(f"{PATH}/"):
            return await _refuse(send, 404, "10005", "Resource not found", f"No API at {path}")
        headers = [(name, value) for name, value in scope["headers"] if name not in _NOT_PASSED]
        passed = {name: scope[name] for name in _KEPT if name in scope} | {
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "headers": [*headers, (b"authorization", b"Bearer " + token.encode())],
        }
        await self._api(passed, receive, send)
        return None


async def _refuse(send: Send, status: int, code: str, title: str, detail: str) -> None:
    body = f'{{"errors":[{{"code":"{code}","title":"{title}","detail":"{detail}"}}]}}'
    await respond(send, status, body.encode(), "application/json")
