"""Signing in to the console: the cookie, what it permits, and what another site cannot do."""

import re

import httpx
import pytest
from playwright.async_api import BrowserContext, Page, expect
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from offhook.api.console.app import console
from offhook.api.console.sign_in import local_path
from tests.api.console.conftest import signed_in
from tests.api.stack import ADMIN, DEADLINE_S, READER, Stack

OURS = {"x-offhook-console": "1", "sec-fetch-site": "same-origin"}


async def test_a_page_leads_to_the_form_and_back(stack: Stack, context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto("/")
    assert page.url.endswith("/console/sign-in?next=/console/")
    await page.goto("/console/?status=active")
    await page.get_by_label("API token").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    assert "does not know the token" in await page.get_by_role("alert").inner_text()
    await page.get_by_label("API token").fill(READER)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/console/?status=active")


async def test_the_form_keeps_the_token_from_scripts_until_signing_out(
    page: Page, context: BrowserContext
) -> None:
    await context.clear_cookies()
    await signed_in(page, ADMIN)
    (cookie,) = await context.cookies()
    assert (cookie["name"], cookie["value"]) == ("offhook_token", ADMIN)
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/console/sign-in**")
    assert await context.cookies() == []


async def test_a_link_with_the_token_signs_in(stack: Stack, context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto(f"/console/sign-in#token={READER}")
    await page.wait_for_url("**/console/")
    assert await page.locator(".scope").inner_text() == "read"
    assert READER not in page.url


def at_console(stack: Stack, token: str = ADMIN, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"{stack.api_url}/console",
        cookies={"offhook_token": token},
        headers=headers,
        timeout=DEADLINE_S,
        trust_env=False,
    )


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/sessions/none", 404, "none"),
        ("/nothing", 404, "There is no page at /console/nothing."),
        ("/queues?last=1h&service_level_s=-1", 422, "service_level_s"),
    ],
)
async def test_an_error_keeps_who_is_signed_in(
    stack: Stack, path: str, status: int, words: str
) -> None:
    async with at_console(stack, READER) as http:
        response = await http.get(path)
        in_a_window = await http.get(path, headers={"sec-fetch-dest": "document"})
    assert response.status_code == status
    for text in (response.text, in_a_window.text):
        (alert,) = re.findall(r'role="alert">(.*?)</p>', text)
        assert words in alert
        assert text.count('action="/console/sign-out"') == 1
        assert text.count(">read</span>") == 1
        assert text.count("</title>") == 1


async def test_a_tab_names_the_error_of_a_page_whose_title_was_sent(
    stack: Stack, page: Page
) -> None:
    await page.goto("/console/?before=yesterday")
    await expect(page.get_by_role("alert")).to_contain_text("before is 'yesterday'")
    await expect(page).to_have_title("Not a valid request · Offhook")


async def test_an_error_of_ours_is_a_page_too() -> None:
    async def unforeseen(scope: Scope, receive: Receive, send: Send) -> None:
        answer = JSONResponse({"data": {"name": "reader", "scope": "read"}})
        await answer(scope, receive, send)

    transport = httpx.ASGITransport(console(unforeseen), raise_app_exceptions=False)
    cookies = {"offhook_token": READER}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://here", cookies=cookies
    ) as http:
        response = await http.get("/")
    assert response.status_code == 500
    assert "see the log of the API" in response.text
    assert ">read</span>" in response.text


async def test_the_api_answers_the_browser_as_it_answers_the_token(stack: Stack) -> None:
    async with at_console(stack, READER) as http:
        response = await http.get("/api/whoami")
        assert response.json()["data"]["scope"] == "read"
        response = await http.get("/api/sessions", params={"limit": "no"})
        assert response.status_code == 422
        assert "limit" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-offhook-console": "1"},
        {"sec-fetch-site": "same-origin"},
        {"x-offhook-console": "1", "sec-fetch-site": "cross-site"},
        {"x-offhook-console": "1", "origin": "https://elsewhere.example"},
    ],
    ids=["nothing", "no origin", "no header of ours", "another site", "another origin"],
)
async def test_another_site_changes_nothing(stack: Stack, headers: dict[str, str]) -> None:
    async with at_console(stack) as http:
        response = await http.post("/api/v2/calls", json={}, headers=headers)
    assert response.status_code == 403


async def test_our_own_page_may_send_what_the_token_may(stack: Stack) -> None:
    async with at_console(stack, READER) as http:
        response = await http.post("/api/v2/calls", json={}, headers=OURS)
        assert response.status_code == 403
        assert "'read'" in response.json()["errors"][0]["detail"]
    async with at_console(stack, ADMIN) as http:
        response = await http.post("/api/v2/calls", json={}, headers=OURS)
        assert response.status_code == 422


async def test_without_a_cookie_there_is_nothing(stack: Stack) -> None:
    async with stack.http(None) as http:
        assert (await http.get("/console/api/whoami")).status_code == 401
        assert (await http.get("/console/")).status_code == 303
        assert (await http.get("/console/api/console/")).status_code == 401


async def test_no_other_page_may_frame_it_or_load_from_elsewhere(stack: Stack) -> None:
    async with stack.http(None) as http:
        response = await http.get("/console/sign-in")
    policy = response.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/console", "/console"),
        ("/console/sessions/1?as_of=2", "/console/sessions/1?as_of=2"),
        ("https://elsewhere.example/console/", "/console/"),
        ("//elsewhere.example/console/", "/console/"),
        ("/console/\\elsewhere", "/console/"),
        ("/v2/calls", "/console/"),
        ("/consoles", "/console/"),
        ("javascript:alert(1)", "/console/"),
    ],
)
def test_after_signing_in_it_stays_in_the_console(text: str, path: str) -> None:
    assert local_path(text) == path
