"""The documentation pages without the internet: they show their content and load nothing else."""

from pathlib import Path

from playwright.async_api import BrowserContext, expect

from offhook.workers.asyncapi.page import page as asyncapi_html
from tests.api.stack import Stack


async def test_docs_load_only_what_the_api_serves(stack: Stack, context: BrowserContext) -> None:
    page = await context.new_page()
    wanted: list[str] = []
    page.on("request", lambda request: wanted.append(request.url))
    await page.goto("/docs#/calls/send_sip_info")
    await expect(page.get_by_text("Send SIP info", exact=True)).to_be_visible()
    await expect(page.get_by_text("The leg, by the id")).to_be_visible()
    elsewhere = [url for url in wanted if not url.startswith((stack.api_url, "data:"))]
    assert elsewhere == []


async def test_the_log_is_described_without_scripts(
    context: BrowserContext, tmp_path: Path
) -> None:
    page = await context.new_page()
    wanted: list[str] = []
    page.on("request", lambda request: wanted.append(request.url))
    file = tmp_path / "asyncapi.html"
    file.write_text(asyncapi_html(), encoding="utf-8")
    await page.goto(file.as_uri())
    await page.get_by_role("navigation").get_by_role("link", name="Decided").click()
    await expect(page.locator("#Decided pre")).to_contain_text('"flow_version": "3"')
    assert wanted == [file.as_uri()]
