"""Every page of the menu and a session under axe: dark and light, wide and on a phone."""

from typing import Any, Literal

import pytest
from axe_core_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import BrowserContext, Page

from offhook.api.console.app import PAGES
from offhook.api.console.pages.session import SESSION
from tests.api.stack import Stack

SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
WIDTHS = (1440, 390)


@pytest.mark.parametrize("path", [*(page.path for page in PAGES if page.in_menu), SESSION.path])
async def test_axe_finds_nothing_serious(
    stack: Stack, context: BrowserContext, page: Page, path: str
) -> None:
    session_id = (await stack.ring())["call_session_id"]
    first = (await stack.session(session_id))["data"]["session"]["first_seq"]
    if path == SESSION.path:
        path = f"/sessions/{session_id}?record={first}"
    found: dict[str, Any] = {}
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            await page.goto(f"/console{path}")
            for violation in (await Axe().run(page))["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    nodes = [node["html"] for node in violation["nodes"][:3]]
                    found[f"{scheme}, {width} wide: {violation['id']}"] = nodes
            wide = await page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                found[f"{scheme}, {width} wide: scrolls sideways"] = wide
    assert not found, found
