"""A real browser for the console's pages, one for the process; each test has its own profile."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from telnyx import AsyncTelnyx

from offhook.api.console.sign_in import COOKIE, PATH
from tests.api.stack import ADMIN, ROOT, Stack, sdk_at

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 60_000.0
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser; installs it where it is missing."""
    found = subprocess.run([ROOT / "scripts/chromium"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here run in one event loop, which is the browser's."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """It starts in a second, and there are tens of tests."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, stack: Stack) -> AsyncIterator[BrowserContext]:
    """A profile without cookies, at the console of `stack`; nothing but loopback is reached."""
    context = await browser.new_context(base_url=stack.api_url)
    context.set_default_timeout(WAIT_MS)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def sdk(stack: Stack) -> AsyncIterator[AsyncTelnyx]:
    """The official SDK at the API, in the browser's event loop."""
    async with sdk_at(f"{stack.api_url}/v2", ADMIN) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page signed in with every scope, by the cookie that the form leaves, which is faster.

    An error in a script or the policy fails the test.
    """
    await context.add_cookies(
        [
            {
                "name": COOKIE,
                "value": ADMIN,
                "domain": "127.0.0.1",
                "path": PATH,
                "httpOnly": True,
                "sameSite": "Lax",
            }
        ]
    )
    page = await context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda message: troubles.append(message.text) if message.type == "error" else None,
    )
    yield page
    assert not troubles, troubles


async def signed_in(page: Page, token: str) -> None:
    """Through the form, as a person would."""
    await page.goto("/console/")
    await page.get_by_label("API token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/console/")
