"""Live: the calls that are up, kept fresh by the event stream."""

from starlette.requests import Request

from offhook.api.console.client import Api
from offhook.api.console.page import Page, Shown

ROWS_MAX = 200


async def shown(request: Request, api: Api) -> Shown:
    """The active sessions, newest first."""
    reply = await api.get("/sessions", {"status": "active", "limit": ROWS_MAX})
    return {"sessions": reply["data"], "meta": reply["meta"]}


LIVE = Page(path="/", template="live.html", shown=shown, in_menu="Live")
