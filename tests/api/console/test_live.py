"""The live page in a real browser: a call of the simulator, from its ringing to its hangup."""

import re
from contextlib import suppress
from dataclasses import fields
from typing import Any

from playwright.async_api import BrowserContext, Page, TimeoutError, expect
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse
from telnyx import AsyncTelnyx

from offhook.api.console.client import Api
from offhook.api.console.pages.live import LIVE, LIVE_NOW
from offhook.process.asgi import Receive, Scope, Send
from offhook.projections.views.live.counts import Counts
from tests.api.console.conftest import WAIT_MS, signed_in
from tests.api.stack import READER, Stack, until


async def test_the_page_comes_with_the_first_rows_and_its_script_asks_for_all() -> None:
    limits = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        reply: dict[str, Any] = {"data": [], "meta": {"next": 7}}
        if scope["path"] == "/live":
            counts = {each.name: 0 for each in fields(Counts)}
            reply = {"data": counts, "limits": {"dials_per_s": None}, "meta": {"lag_ms": 0}}
        else:
            limits.append(QueryParams(scope["query_string"])["limit"])
        await JSONResponse(reply)(scope, receive, send)

    for each in (LIVE, LIVE_NOW):
        scope = {"type": "http", "path": each.path, "query_string": b"", "headers": []}
        shown = await each.shown(Request(scope), Api(api=answer, token="read"))
        assert limits[-1] == str(shown["rows_max"])
        assert shown["older"] == "?before=7"
    assert limits == ["25", "50"]


async def test_a_call_appears_moves_through_its_states_and_is_hung_up(
    stack: Stack, page: Page, sdk: AsyncTelnyx
) -> None:
    connection_id = await stack.connection()
    await page.goto(f"/console/?connection={connection_id}")
    await expect(page.locator("#stream")).to_have_text("connected")
    await expect(page.locator("#rows")).to_contain_text("No call matches.")
    ids = await stack.ring(connection_id)
    row = page.locator(f"[id='call-{ids['call_session_id']}']")
    await expect(row.locator("td").first).to_contain_text("setting up")
    await sdk.calls.actions.answer(ids["call_control_id"])
    await expect(row.locator("td").first).to_contain_text("talking")
    await expect(row).to_contain_text("call.answered")
    await expect(row).to_contain_text(re.compile(r"answer\s*succeeded"))
    await expect(row).to_contain_text("1 leg: incoming answered")
    await expect(page.locator("#rows tr")).to_have_count(1)
    tiles = page.locator("#tiles .tile")
    await expect(tiles).to_have_count(6)
    await expect(tiles.filter(has_text="talking").locator(".value")).not_to_have_text("0")

    await row.get_by_role("button", name="Hang up").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("(1 leg up)")
    await dialog.get_by_role("button", name="Hang up").click()
    await expect(dialog.get_by_role("status")).to_have_text("The call is hung up.")
    await dialog.get_by_role("button", name="Close").click()
    await expect(row).to_have_count(0)
    await stack.in_state(ids["call_control_id"], "ended")
    await page.goto(f"/console/?connection={connection_id}&status=ended")
    await expect(row.locator("td").first).to_contain_text("ended")
    started_at = (await stack.session(ids["call_session_id"], "ended"))["data"]["session"][
        "started_at"
    ]
    await expect(row.locator("time")).to_have_attribute("datetime", started_at)


async def test_keys_lead_through_rows_pages_and_to_the_filter(stack: Stack, page: Page) -> None:
    connection_id = await stack.connection()
    placed = [(await stack.ring(connection_id))["call_session_id"]]
    await stack.settled(placed[0])  # the rows are in the order of the log
    placed.append((await stack.ring(connection_id))["call_session_id"])
    await stack.settled(placed[1])
    await page.goto(f"/console/?connection={connection_id}&status=all")
    await expect(page.locator("#rows a.open")).to_have_count(2)
    await expect(page.locator("#keys")).to_be_visible()  # the script is at work
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(page.locator(f"[id='call-{placed[0]}'] a.open")).to_be_focused()
    await page.keyboard.press("k")
    await expect(page.locator(f"[id='call-{placed[1]}'] a.open")).to_be_focused()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Show")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Next row")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)

    async def led_to_live() -> bool:
        await page.keyboard.press("g")
        await page.keyboard.press("l")  # on a busy machine it may be too late for a sequence
        with suppress(TimeoutError):
            await page.wait_for_url("**/console/", timeout=1_000)
        return page.url.endswith("/console/")

    await until(led_to_live, "g and l to lead to the live page")


async def test_without_scripts_a_reader_sees_the_calls_and_no_button(
    stack: Stack, context: BrowserContext
) -> None:
    connection_id = await stack.connection()
    session_id = (await stack.ring(connection_id))["call_session_id"]
    await stack.session(session_id)
    browser = context.browser
    assert browser is not None
    plain = await browser.new_context(base_url=stack.api_url, java_script_enabled=False)
    plain.set_default_timeout(WAIT_MS)
    page = await plain.new_page()
    await signed_in(page, READER)
    await page.goto(f"/console/?connection={connection_id}&status=all")
    await expect(page.locator(f"[id='call-{session_id}'] a.open")).to_be_visible()
    await expect(page.get_by_role("button", name="Hang up")).to_have_count(0)
    await plain.close()


async def test_a_long_address_leaves_room_for_the_other_columns(stack: Stack, page: Page) -> None:
    connection_id = await stack.connection()
    caller = f"sip:{'a' * 180}@b.example"
    session_id = (await stack.ring(connection_id, **{"from": caller}))["call_session_id"]
    await stack.session(session_id)
    await page.set_viewport_size({"width": 1280, "height": 800})
    for path in ("/", "/search", f"/sessions/{session_id}"):
        ours = "connection_id" if path == "/search" else "connection"
        await page.goto(f"/console{path}?{'' if 'sessions' in path else f'{ours}={connection_id}'}")
        link = page.locator("td .open", has_text=caller).first
        await expect(link).to_be_visible()
        box = await link.bounding_box()
        assert box is not None
        assert box["width"] < 600, path
