"""Every page of the menu, a session, an error and the form for signing in under axe: dark and
light, wide and on a phone."""

from typing import Any, Literal

import pytest
from axe_core_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import BrowserContext, Page, expect

from offhook.api.console.app import PAGES
from offhook.api.console.pages.live import LIVE
from offhook.api.console.pages.session import SESSION
from tests.api.stack import Stack

SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
PHONE = 390
WIDTHS = (1440, PHONE)
BAR_MAX = 60
"""The height of the bar with one line, in pixels."""

MISSING = "/nothing"
PATHS = [*(page.path for page in PAGES if page.in_menu), SESSION.path, "/sign-in", MISSING]


@pytest.mark.parametrize("path", PATHS)
async def test_axe_finds_nothing_serious(
    stack: Stack, context: BrowserContext, page: Page, path: str
) -> None:
    session_id = (await stack.ring())["call_session_id"]
    first = (await stack.session(session_id))["data"]["session"]["first_seq"]
    if path == SESSION.path:
        path = f"/sessions/{session_id}?record={first}"
    if path == MISSING:
        page = await context.new_page()  # the browser reports the status as an error
    found: dict[str, Any] = {}
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            await page.goto(f"/console{path}")
            if width == PHONE and path == LIVE.path:
                await page.get_by_role("button", name="Menu").press("Enter")
                await expect(page.get_by_role("link", name="Health")).to_be_visible()
            for violation in (await Axe().run(page))["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    nodes = [node["html"] for node in violation["nodes"][:3]]
                    found[f"{scheme}, {width} wide: {violation['id']}"] = nodes
            wide, high = await page.evaluate(SIZE)
            if wide > width or high > BAR_MAX:
                found[f"{scheme}, {width} wide: page and bar"] = wide, high
    assert not found, found


SIZE = """[
  document.documentElement.scrollWidth, document.querySelector(".bar")?.offsetHeight ?? 0
]"""
"""How wide the page is, and how high its bar."""
