"""Templates, and how times and ids are written in them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request

from offhook.api.console.assets import CHARTS, chart_assets, own_assets
from offhook.position import position_text
from offhook.wording.durations import age, duration

DIRECTIONS = "\u202a-\u202e\u2066-\u2069"
"""Characters that turn the direction of writing, as a class of a regular expression."""

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("offhook.api.console"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **shown: Any) -> str:
    """The template with these names in it; a name that is missing is an error.

    A character that XML does not allow is replaced: a caller's name may have any, and an SVG with
    one does not open. So is one that turns the direction of writing, which would show what follows
    it backwards: a caller could seem to be somebody else.
    """
    return _NOT_SHOWN.sub("\ufffd", _environment.get_template(template).render(**shown))


def rendered_parts(template: str, **shown: Any) -> Iterator[str]:
    """The same in parts, for the browser to begin with: one ends wherever it has `{{ part }}`."""
    pieces: list[str] = []
    for piece in _environment.get_template(template).generate(**shown):
        if piece != _PART:
            pieces.append(piece)
        elif pieces:
            yield _NOT_SHOWN.sub("\ufffd", "".join(pieces))
            pieces = []
    yield _NOT_SHOWN.sub("\ufffd", "".join(pieces))


# A reader's text has its angle brackets escaped.
_PART = Markup("<!-- part -->")

# XML 1.0, section 2.2; without lone surrogates, which UTF-8 cannot encode either.
_NOT_XML = "[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]"
_NOT_SHOWN = re.compile(f"{_NOT_XML}|[{DIRECTIONS}]")


def moment(text: str | None) -> Markup:
    """A time of the API as an element: UTC as text, which a script changes to the reader's zone."""
    if not text:
        return Markup('<span class="none">–</span>')
    at = datetime.fromisoformat(text).astimezone(UTC)
    shown = at.strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}">{} UTC</time>').format(text, shown)


def theme(request: Request) -> Markup:
    """The attribute of a page in the colours that its reader chose; empty for those of the system.

    From a cookie, because a script that reads it holds up the page.
    """
    chosen = request.cookies.get(THEME_COOKIE)
    return Markup(f' data-theme="{chosen}"' if chosen in ("dark", "light") else "")


THEME_COOKIE = "offhook_theme"
"""Set by static/common.js."""


def shortened(text: str | None, most: int = 12) -> str:
    """An id as far as it fits; the whole of it belongs into a title."""
    if not text:
        return "–"
    return text if len(text) <= most else f"{text[: most - 1]}…"


_environment.globals |= {
    "static": own_assets().url,
    "charts": f"{chart_assets().url}/{CHARTS}",
    "part": _PART,
}
_environment.filters |= {
    "age": partial(age, missing="–"),
    "duration": partial(duration, missing="–"),
    "grouped": "{:,}".format,
    "moment": moment,
    "position": position_text,
    "shortened": shortened,
    "theme": theme,
}
