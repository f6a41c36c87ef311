"""A page with a part that comes later than the rest."""

from typing import Any

import pytest

from offhook.api.console import page as pages
from offhook.api.console.client import ApiRefused
from offhook.api.console.page import Later, Page, Shown, in_parts


async def nothing(*_: object) -> Shown:
    raise AssertionError("the page was shown already")


@pytest.fixture(autouse=True)
def _templates(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(template: str, **names: Any) -> str:
        if template == "not_read.html":
            return f"not read: {names['refused'].detail}"
        return f"above {names['later']} below" if template == "page.html" else str(names["figure"])

    monkeypatch.setattr(pages, "render", render)


PAGE = Page(path="/", template="page.html", shown=nothing)


async def test_what_takes_long_is_asked_for_once_the_rest_is_sent() -> None:
    asked = []

    async def shown() -> Shown:
        asked.append(True)
        return {"figure": 7}

    parts = in_parts(PAGE, Later(template="part.html", shown=shown), {"figure": 1})
    assert await anext(parts) == "above "
    assert asked == []
    assert [part async for part in parts] == ["7", " below"]


async def test_what_the_api_refuses_later_is_said_where_it_belongs() -> None:
    async def shown() -> Shown:
        raise ApiRefused(503, "Postgres does not answer")

    parts = in_parts(PAGE, Later(template="part.html", shown=shown), {})
    assert [part async for part in parts] == [
        "above ",
        "not read: Postgres does not answer",
        " below",
    ]
