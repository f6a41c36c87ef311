"""A page is sent part by part, and one part may come later than the rest."""

import asyncio
from collections.abc import Iterator

import pytest
from jinja2 import DictLoader

from offhook.api.console import rendering
from offhook.api.console.client import ApiRefused
from offhook.api.console.page import UNEXPECTED, Later, Page, Shown, in_parts, parts_at_once


async def nothing(*_: object) -> Shown:
    raise AssertionError("the page was shown already")


@pytest.fixture(autouse=True)
def _templates(monkeypatch: pytest.MonkeyPatch) -> None:
    templates = {
        "page.html": "bar{{ part }}above {{ later }} below",
        "rows.html": "{{ part }}<ol>{% for row in rows %}<li>{{ row }}{{ part }}{% endfor %}</ol>",
        "part.html": "{{ figure }}",
        "trouble.html": "bar{{ part }}{{ refused.status }}: {{ refused.detail }}",
        "not_read.html": "not read: {{ refused.detail }}",
    }
    environment = rendering._environment.overlay(loader=DictLoader(templates))
    monkeypatch.setattr(rendering, "_environment", environment)


PAGE = Page(path="/", template="page.html", shown=nothing)


async def test_what_takes_long_is_asked_for_once_the_rest_is_sent() -> None:
    asked = []

    async def shown() -> Shown:
        asked.append(True)
        return {"figure": 7}

    parts = in_parts(PAGE, {}, {"figure": 1, "later": [Later(template="part.html", shown=shown)]})
    assert [await anext(parts), await anext(parts)] == ["bar", "above "]
    assert asked == []
    assert [part async for part in parts] == ["7", " below"]


async def test_what_the_api_refuses_later_is_said_where_it_belongs() -> None:
    async def shown() -> Shown:
        raise ApiRefused(503, "Postgres does not answer")

    parts = in_parts(PAGE, {}, {"later": [Later(template="part.html", shown=shown)]})
    assert "".join([part async for part in parts]) == (
        "barabove not read: Postgres does not answer below"
    )


@pytest.mark.parametrize("template", ["part.html", "rows.html"])
async def test_what_fails_in_a_later_part_is_said_and_the_page_ends(template: str) -> None:
    async def raises() -> Shown:
        raise KeyError("x")

    async def lacks_a_name() -> Shown:
        return {}

    shown = raises if template == "part.html" else lacks_a_name
    later = [Later(template=template, shown=shown), Later(template="part.html", shown=raises)]
    text = "".join([part async for part in in_parts(PAGE, {}, {"later": later})])
    assert text.startswith("barabove ")
    assert text.endswith(f"not read: {UNEXPECTED} below")


def test_who_is_not_signed_in_any_more_is_led_to_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    refused = rendering.render("not_read.html", refused=ApiRefused(401, "no such token"))
    assert 'data-status="401"' in refused
    assert '<a href="/console/sign-in">' in refused
    assert "sign-in" not in rendering.render("not_read.html", refused=ApiRefused(503, "away"))


async def test_one_later_part_follows_the_other_until_one_is_refused() -> None:
    async def rows() -> Shown:
        return {"rows": ["a"], "figure": 7}

    async def more() -> Shown:
        return {"figure": 8}

    async def refused() -> Shown:
        raise ApiRefused(422, "as_of is x")

    later = [
        Later(template="rows.html", shown=rows),
        Later(template="part.html", shown=more),
        Later(template="part.html", shown=refused),
        Later(template="no such template", shown=more),
    ]
    parts = in_parts(PAGE, {}, {"later": later})
    assert [part async for part in parts] == [
        *("bar", "above ", "<ol><li>a", "</ol>", "8"),
        *("not read: as_of is x", " below"),
    ]


async def test_each_part_is_sent_before_the_next_one_is_rendered() -> None:
    rendered = []

    def rows() -> Iterator[str]:
        for row in ("<b>", "\x01", "<!-- part -->"):
            rendered.append(row)
            yield row

    page = Page(path="/", template="rows.html", shown=nothing)
    parts = in_parts(page, {}, {"rows": rows()})
    assert await anext(parts) == "<ol><li>&lt;b&gt;"
    assert rendered == ["<b>"]
    assert [part async for part in parts] == ["<li>\ufffd", "<li>&lt;!-- part --&gt;", "</ol>"]


AT_ONCE = Page(path="/", template="rows.html", shown=nothing, at_once=1)


async def test_the_first_parts_are_sent_while_the_api_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    templates = {"rows.html": "bar{{ part }}{{ rows }}{{ part }}end"}
    monkeypatch.setattr(rendering._environment, "loader", DictLoader(templates))
    shown: asyncio.Future[Shown] = asyncio.get_running_loop().create_future()
    parts = parts_at_once(AT_ONCE, {}, shown)
    assert await anext(parts) == "bar"
    shown.set_result({"rows": 3})
    assert [part async for part in parts] == ["3", "end"]


@pytest.mark.parametrize(
    ("raised", "words"),
    [(ApiRefused(422, "tz is Mars"), "422: tz is Mars"), (KeyError("x"), f"500: {UNEXPECTED}")],
)
async def test_an_error_follows_what_was_sent_at_once(raised: Exception, words: str) -> None:
    shown: asyncio.Future[Shown] = asyncio.get_running_loop().create_future()
    shown.set_exception(raised)
    page = Page(path="/", template="page.html", shown=nothing, at_once=1)
    parts = parts_at_once(page, {}, shown)
    assert [part async for part in parts] == ["bar", words]


async def test_what_cannot_be_rendered_is_said_where_the_page_breaks_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = {"rows.html": "bar{{ part }}{{ rows.no_such.name }}", "not_read.html": "not read"}
    monkeypatch.setattr(rendering._environment, "loader", DictLoader(broken))
    shown: asyncio.Future[Shown] = asyncio.get_running_loop().create_future()
    shown.set_result({"rows": {}})
    assert [part async for part in parts_at_once(AT_ONCE, {}, shown)] == ["bar", "not read"]


async def test_what_nobody_waits_for_any_more_is_not_asked_for() -> None:
    shown: asyncio.Future[Shown] = asyncio.get_running_loop().create_future()
    parts = parts_at_once(Page(path="/", template="page.html", shown=nothing, at_once=1), {}, shown)
    assert await anext(parts) == "bar"
    await parts.aclose()
    assert shown.cancelled()


def test_a_text_cannot_turn_the_direction_of_what_follows_it() -> None:
    names: Shown = {"figure": "sip:\u202eevil@x \u2067\u0007שלום"}
    assert rendering.render("part.html", **names) == "sip:\ufffdevil@x \ufffd\ufffdשלום"
    assert list(rendering.rendered_parts("part.html", **names)) == [
        "sip:\ufffdevil@x \ufffd\ufffdשלום"
    ]
