"""The console as one application, to be mounted at /console beside the API that it asks."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from offhook.api.console.assets import chart_assets, own_assets
from offhook.api.console.client import ApiClient, ApiRefused
from offhook.api.console.page import UNEXPECTED, Page, route_of, trouble_page
from offhook.api.console.pages.analytics import ANALYTICS
from offhook.api.console.pages.health import HEALTH
from offhook.api.console.pages.live import LIVE, LIVE_NOW
from offhook.api.console.pages.queues import QUEUES
from offhook.api.console.pages.search import SEARCH
from offhook.api.console.pages.session import LADDER, SESSION
from offhook.api.console.proxy import ApiForBrowser
from offhook.api.console.rendering import render
from offhook.api.console.sign_in import (
    HOME,
    PATH,
    TOKEN_CHARS_MAX,
    forget,
    from_our_pages,
    local_path,
    remember,
)
from offhook.process.asgi import AsgiApp, Message, Receive, Scope, Send

PAGES = [LIVE, LIVE_NOW, SEARCH, SESSION, LADDER, QUEUES, ANALYTICS, HEALTH]
FORM_BYTES_MAX = 8_000


def console(api: AsgiApp) -> Starlette:
    """The console of this API."""
    client = ApiClient(api)
    menu = [page for page in PAGES if page.in_menu]
    return Starlette(
        routes=[
            Mount("/api", ApiForBrowser(api)),
            own_assets().route,
            chart_assets().route,
            Route("/sign-in", _form, methods=["GET"]),
            Route("/sign-in", _signing_in(client), methods=["POST"]),
            Route("/sign-out", _signed_out, methods=["POST"]),
            *(route_of(page, client, menu) for page in PAGES),
        ],
        middleware=[Middleware(_Guarded)],
        exception_handlers={
            404: _trouble(client, menu, "There is no page at {path}."),
            500: _trouble(client, menu, UNEXPECTED),
        },
    )


def _trouble(
    client: ApiClient, menu: list[Page], detail: str
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def trouble(request: Request, raised: Exception) -> Response:
        status = raised.status_code if isinstance(raised, HTTPException) else 500
        refused = ApiRefused(status, detail.format(path=request.url.path))
        return await trouble_page(request, refused, client, menu)

    return trouble


async def _form(request: Request) -> Response:
    return _form_page(request, "", following=request.query_params.get("next", HOME))


def _form_page(
    request: Request, error: str, status: int = 200, *, following: str = HOME
) -> Response:
    """`following` is where signing in leads to."""
    html = render("sign_in.html", request=request, following=local_path(following), error=error)
    return HTMLResponse(html, status_code=status)


def _signing_in(client: ApiClient) -> Callable[[Request], Awaitable[Response]]:
    async def sign_in(request: Request) -> Response:
        if not from_our_pages(request):
            return _form_page(request, "Sign in with the form on this page.", 403)
        form = await _form_of(request)
        token = form.get("token", "").strip()
        following = form.get("next", HOME)
        again = partial(_form_page, request, following=following)
        if not token or len(token) > TOKEN_CHARS_MAX or not token.isascii():
            return again("Enter a token of OFFHOOK_API_TOKENS.", 422)
        try:
            await client.signed_in(token).get("/whoami")
        except ApiRefused as refused:
            if refused.status == 401:
                return again("This API does not know the token.", 401)
            return again(refused.detail, refused.status)
        response = RedirectResponse(local_path(following), status_code=303)
        remember(response, token, secure=request.url.scheme == "https")
        return response

    return sign_in


async def _signed_out(request: Request) -> Response:
    if not from_our_pages(request):
        return _form_page(request, "Sign out with the button of the console.", 403)
    response = RedirectResponse(f"{PATH}/sign-in?next={quote(HOME)}", status_code=303)
    forget(response, secure=request.url.scheme == "https")
    return response


async def _form_of(request: Request) -> Mapping[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


class _Guarded:
    """Every answer says what its page may load, and that no other page may frame it."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, guarded)


_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]
