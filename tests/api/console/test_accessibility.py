"""Every page of the menu, a session, an error and the form for signing in under axe: dark and
light, wide and on a phone."""

import re
from typing import Any

import pytest
from axe_core_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import BrowserContext, Page, expect

from offhook.api.console.app import PAGES
from offhook.api.console.pages.live import LIVE
from offhook.api.console.pages.session import SESSION
from tests.api.stack import Stack

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
    for width in WIDTHS:
        await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        await page.set_viewport_size({"width": width, "height": 900})
        await page.goto(f"/console{path}")
        await page.wait_for_function(IS_WHOLE)
        await page.evaluate(Axe().axe_script)
        if width == PHONE and path == LIVE.path:
            await page.get_by_role("button", name="Menu").press("Enter")
            await expect(page.get_by_role("link", name="Health")).to_be_visible()
        found |= await _wrong(page, f"dark, {width} wide", width)
        await page.emulate_media(color_scheme="light", reduced_motion="reduce")
        found |= await _wrong(page, f"light, {width} wide", width, COLOURS)
    assert not found, found


async def test_the_colours_that_a_reader_chose_stay(stack: Stack, page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto("/console/queues")
    await page.get_by_role("button", name="Dark or light").click()
    for path in ("/queues", "/health"):
        await page.goto(f"/console{path}")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.get_by_role("button", name="Dark or light").click()
    await page.go_back()
    await expect(page).to_have_url(re.compile("/queues$"))
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    await page.goto("/console/sign-in")
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")


async def test_colours_that_were_chosen_in_an_earlier_version_are_taken_over_once(
    stack: Stack, page: Page
) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto("/console/queues")
    await page.evaluate("localStorage.setItem('theme', 'dark')")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await page.evaluate("localStorage.getItem('theme')") is None
    await page.get_by_role("button", name="Dark or light").click()
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")


async def _wrong(
    page: Page, shown: str, width: int, options: dict[str, Any] | None = None
) -> dict[str, Any]:
    options = {"resultTypes": ["violations"], **(options or {})}
    found: dict[str, Any] = {
        f"{shown}: {violation['id']}": [node["html"] for node in violation["nodes"][:3]]
        for violation in await page.evaluate(VIOLATIONS, options)
        if violation["impact"] in ("serious", "critical")
    }
    wide, high = await page.evaluate(SIZE)
    if wide > width or high > BAR_MAX:
        found[f"{shown}: page and bar"] = wide, high
    return found


IS_WHOLE = """() => {
  const series = document.getElementById("series");
  const said = document.getElementById("roles-said");
  return (!series || series.querySelector(".main-svg")) && !said?.textContent.startsWith("Asking");
}"""
"""Whether the chart is drawn, and the processes have answered."""

COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
"""In the other scheme the elements are the same; of the rules that run, this one sees colours."""

VIOLATIONS = "async options => (await axe.run(options)).violations"

SIZE = """[
  document.documentElement.scrollWidth, document.querySelector(".bar")?.offsetHeight ?? 0
]"""
"""How wide the page is, and how high its bar."""
