"""What a page is: a path, a template, and a function from a request to what the template shows."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from offhook.api.console.client import Api, ApiClient, ApiRefused
from offhook.api.console.rendering import render, rendered_parts
from offhook.api.console.sign_in import PATH, token_of

Shown = Mapping[str, Any]

UNEXPECTED = "An unexpected error occurred; see the log of the API."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Later:
    """A part of a page that is asked for once what is above it is sent.

    It stands where the page's template has `{{ later }}`, and has the names of the page too, and
    those of the parts before it.
    """

    template: str
    shown: Callable[[], Awaitable[Shown]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the console.

    `shown` asks the API for what the template needs. The query and the path's parameters are the
    whole state of a page, so that its URL can be shared. `in_menu` is its name in the menu.
    The `Later`s in the name "later" come one after the other, and the browser shows what is above
    them meanwhile. `at_once` is the number of the template's first parts that need none of what
    `shown` returns.
    """

    path: str
    template: str
    shown: Callable[[Request, Api], Awaitable[Shown]]
    in_menu: str = ""
    media_type: str = "text/html"
    at_once: int = 0


HEAD, BAR = 1, 2
"""The first parts of base.html: styles and scripts of all pages, then the title and the bar."""


def route_of(page: Page, client: ApiClient, menu: list[Page]) -> Route:
    """The page as a route below /console.

    A window of a browser gets its first parts at once, and an error of the API has the status 200
    there, below the bar. All others wait for the API and get its status.
    """

    async def endpoint(request: Request) -> Response:
        if (token := token_of(request)) is None:
            return to_sign_in(request)
        api = client.signed_in(token)
        shown = asyncio.ensure_future(page.shown(request, api))
        shown.add_done_callback(_noted)
        names: Shown = {"request": request, "page": page, "menu": menu}
        is_at_once = page.at_once > 0 and request.headers.get("sec-fetch-dest") == "document"
        try:
            names = {**names, "who": (await api.get("/whoami"))["data"]}
            if not is_at_once:
                await shown
        except ApiRefused as refused:
            shown.cancel()
            if refused.status == 401:
                return to_sign_in(request)
            return await trouble_page(request, refused, client, menu)
        if is_at_once:
            parts = parts_at_once(page, names, shown)
        else:
            # What cannot be rendered is a 500, if it shows in the first part.
            parts = await _begun(in_parts(page, names, await shown))
        return StreamingResponse(parts, media_type=page.media_type)

    return Route(page.path, endpoint, methods=["GET"])


def _noted(shown: asyncio.Future[Shown]) -> None:
    """What was not waited for is no error that nobody saw."""
    if not shown.cancelled():
        shown.exception()


async def _begun(parts: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The same parts; the first one is rendered already."""
    first = await anext(parts)

    async def found() -> AsyncGenerator[str, None]:
        yield first
        async for part in parts:
            yield part

    return found()


async def parts_at_once(
    page: Page, names: Shown, shown: asyncio.Future[Shown]
) -> AsyncGenerator[str, None]:
    """The first parts, and the others once `shown` has returned, or what was wrong."""
    try:
        yield "".join(islice(rendered_parts(page.template, **names), page.at_once))
        try:
            found = await shown
        except ApiRefused as refused:
            parts = _trouble(page, names, refused)
        except Exception:
            _log.exception("a page cannot be shown", extra={"path": page.path})
            parts = _trouble(page, names, ApiRefused(500, UNEXPECTED))
        else:
            parts = in_parts(page, names, found, sent=page.at_once)
        try:
            async for part in parts:
                yield part
        except Exception:
            _log.exception("a page cannot be rendered", extra={"path": page.path})
            yield render("not_read.html", refused=ApiRefused(500, UNEXPECTED))
    finally:
        shown.cancel()


async def _trouble(page: Page, names: Shown, refused: ApiRefused) -> AsyncGenerator[str, None]:
    found = {**names, "page": None, "refused": refused}
    for part in islice(rendered_parts("trouble.html", **found), page.at_once, None):
        yield part


async def in_parts(
    page: Page, names: Shown, shown: Shown, *, sent: int = 0
) -> AsyncGenerator[str, None]:
    """The HTML part by part, without those that were sent; the later ones are where they belong."""
    found = {**names, **shown}
    later: Sequence[Later] = found.pop("later", ())
    for part in islice(rendered_parts(page.template, later=_LATER, **found), sent, None):
        above, mark, below = part.partition(_LATER)
        yield above
        await asyncio.sleep(0)  # other requests are served in between
        if mark:
            async for each in _later_parts(later, found):
                yield each
                await asyncio.sleep(0)
            yield below


async def _later_parts(later: Sequence[Later], names: Shown) -> AsyncGenerator[str, None]:
    """Those that come after one that cannot be shown would lack its names: they are left out."""
    for each in later:
        try:
            names = {**names, **await each.shown()}
            for part in rendered_parts(each.template, **names):
                yield part
        except ApiRefused as refused:
            yield render("not_read.html", refused=refused)
            return
        except Exception:
            # The status is sent, and what is below the later parts can be shown.
            _log.exception("a part of a page cannot be shown", extra={"template": each.template})
            yield render("not_read.html", refused=ApiRefused(500, UNEXPECTED))
            return


# A reader's text has its angle brackets escaped.
_LATER = Markup("<!-- later -->")


def to_sign_in(request: Request) -> Response:
    """To the form, and from there back to here."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{PATH}/sign-in?next={quote(wanted)}", status_code=303)


async def trouble_page(
    request: Request, refused: ApiRefused, client: ApiClient, menu: list[Page]
) -> Response:
    """An error in words, below the bar of who is signed in."""
    who = None
    if (token := token_of(request)) is not None:
        with suppress(ApiRefused):
            who = (await client.signed_in(token).get("/whoami"))["data"]
    html = render("trouble.html", request=request, page=None, menu=menu, who=who, refused=refused)
    return HTMLResponse(html, status_code=refused.status)
