"""Who is signed in: an API token in a cookie that no script can read.

The cookie is sent with requests from our own pages, and with a link from elsewhere that is opened,
so that a view can be shared. It is never enough to change anything: such a request must also come
from our own pages, which the browser says in Sec-Fetch-Site or Origin, and carry a header of ours,
which no page of another site can set.
"""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

COOKIE = "offhook_token"
PATH = "/console"
HOME = f"{PATH}/"
OURS = "x-offhook-console"
"""The header that our scripts set on requests that change something."""

TOKEN_CHARS_MAX = 4_000


def token_of(request: HTTPConnection) -> str | None:
    """The token of who is signed in; None if nobody is."""
    return request.cookies.get(COOKIE) or None


def remember(response: Response, token: str, *, secure: bool) -> None:
    """Sign in: until the browser is closed, or the token is withdrawn."""
    response.set_cookie(COOKIE, token, path=PATH, httponly=True, samesite="lax", secure=secure)


def forget(response: Response, *, secure: bool) -> None:
    """Sign out."""
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="lax", secure=secure)


def from_our_pages(request: HTTPConnection) -> bool:
    """Whether the browser says that a page of this very site sent the request."""
    if (site := request.headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


def local_path(text: str) -> str:
    """Where to go after signing in: a page of the console, whatever the text is."""
    parts = urlsplit(text)
    is_ours = parts.path == PATH or parts.path.startswith(f"{PATH}/")
    if not is_ours or parts.scheme or parts.netloc or "\\" in text or text.startswith("//"):
        return HOME
    return text
