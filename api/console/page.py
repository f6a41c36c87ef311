"""What a page is: a path, a template, and a function from a request to what the template shows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Later:
    """A part of a page that is asked for once what is above and below it is sent.

    It stands where the page's template has `{{ later }}`, and has the names of the page too.
    """

    template: str
    shown: Callable[[], Awaitable[Shown]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the console.

    `shown` asks the API for what the template needs. The query and the path's parameters are the
    whole state of a page, so that its URL can be shared. `in_menu` is its name in the menu.
    A `Later` with the name "later" comes after the rest, which the browser shows meanwhile; so
    does the template `below`, which has the page's names.
    """

    path: str
    template: str
    shown: Callable[[Request, Api], Awaitable[Shown]]
    in_menu: str = ""
    media_type: str = "text/html"
    below: str = ""


def route_of(page: Page, client: ApiClient, menu: list[Page]) -> Route:
    """The page as a route below /console."""

    async def endpoint(request: Request) -> Response:
        if (token := token_of(request)) is None:
            return to_sign_in(request)
        api = client.signed_in(token)
        try:
            who, shown = await asyncio.gather(api.get("/whoami"), page.shown(request, api))
        except ApiRefused as refused:
            if refused.status == 401:
                return to_sign_in(request)
            return await trouble_page(request, refused, client, menu)
        names = {"request": request, "page": page, "menu": menu, "who": who["data"], **shown}
        later = names.pop("later", None)
        if page.below:
            later = Later(template=page.below, shown=_nothing_more)
        return StreamingResponse(in_parts(page, names, later), media_type=page.media_type)

    return Route(page.path, endpoint, methods=["GET"])


async def in_parts(page: Page, names: Shown, later: Later | None = None) -> AsyncIterator[str]:
    """The HTML part by part; the one that comes later is where it belongs."""
    for part in rendered_parts(page.template, later=_LATER, **names):
        above, mark, below = part.partition(_LATER)
        yield above
        await asyncio.sleep(0)  # other requests are served in between
        if mark:
            if later is not None:
                yield await _rendered(later, names)
            yield below


async def _rendered(later: Later, names: Shown) -> str:
    try:
        return render(later.template, **{**names, **await later.shown()})
    except ApiRefused as refused:
        return render("not_read.html", refused=refused)


async def _nothing_more() -> Shown:
    return {}


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
