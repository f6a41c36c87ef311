"""The page of analytics in a browser, and without its scripts."""

import json
import re

import pytest
from playwright.async_api import BrowserContext, Page, Route, expect

from tests.api.console.conftest import WAIT_MS
from tests.api.stack import Stack


async def test_the_figures_of_a_call_are_explained_drawn_and_open_it(
    stack: Stack, page: Page
) -> None:
    connection_id = await stack.connection()
    session_id = (await stack.ring(connection_id))["call_session_id"]
    await stack.session(session_id)
    await page.goto(f"/console/analytics?last=1h&connection_id={connection_id}&tz=Europe/Berlin")
    await expect(page.locator("#figure-calls .value")).to_have_text("1")
    asr = page.get_by_role("link", name="ASR", exact=True)
    await asr.focus()
    about = page.locator("#about-asr")
    await expect(about).to_contain_text("answered / (answered + unanswered)")
    await expect(about).to_contain_text("E.425")
    await page.keyboard.press("Escape")
    await expect(about).to_be_hidden()
    await expect(page.locator("#figure-asr .full")).to_have_text("answer-seizure ratio")
    await page.get_by_text("What these figures mean").click()
    meaning = page.locator(".glossary dt", has_text=re.compile("^ACD$")).locator("+ dd")
    await expect(meaning).to_contain_text("Average call duration")
    await expect(page.locator("#series .main-svg").first).to_be_visible()
    await page.get_by_role("row", name="no cause yet").get_by_title("100.0 % of all").click()
    await page.wait_for_url("**/console/search?**")
    await expect(page.locator(f"#call-{session_id}")).to_be_visible()
    await page.go_back()
    load = page.get_by_role("region", name="Load", exact=True)
    await expect(load.locator(".tile", has_text="Calls at once")).to_contain_text("1")
    await expect(load.locator(".column").first).to_have_attribute("title", re.compile("1 at once"))
    await expect(page.get_by_role("region", name="Webhooks", exact=True)).to_contain_text(
        "Delay p95"
    )
    await asr.press("Enter")
    await page.wait_for_url("**show=asr#over-time")
    await expect(page.get_by_role("heading", name="ASR over time")).to_be_visible()
    assert connection_id in page.url
    await page.get_by_label("Direction").select_option("outgoing")
    await page.get_by_role("button", name="Show").click()
    await page.wait_for_url("**direction=outgoing**")
    await expect(page.get_by_text("No call started in this range")).to_be_visible()
    assert {"show=asr", "flow="} & {*page.url.split("?")[1].split("&")} == {"show=asr"}


async def test_the_week_before_is_drawn_in_whole_buckets_only(stack: Stack, page: Page) -> None:
    connection_id = await stack.connection()
    await stack.session((await stack.ring(connection_id))["call_session_id"])

    async def with_a_week_before(route: Route) -> None:
        response = await route.fetch()
        start, data, end = re.split(r'(?<=id="data">)(.*?)(?=</script>)', await response.text())
        chart = json.loads(data)
        point = chart["points"][0]
        chart["before"] = [
            {**point, "at": "2026-11-20T10:00:00", "part": "from 10:33"},
            {**point, "at": "2026-11-20T11:00:00", "part": ""},
            {**point, "at": "2026-11-20T12:00:00", "part": "until 12:33"},
        ]
        await route.fulfill(response=response, body=start + json.dumps(chart) + end)

    await page.route("**/console/analytics?*", with_a_week_before)
    await page.goto(f"/console/analytics?last=1h&connection_id={connection_id}")
    await expect(page.locator("#series .main-svg").first).to_be_visible()
    drawn = await page.evaluate(
        """document.getElementById("series").data
            .filter(each => each.name === "One week earlier" && each.y.some(y => y !== null))
            .flatMap(each => each.x.filter((_, place) => each.y[place] !== null))"""
    )
    assert set(drawn) == {"2026-11-20T11:00:00"}


async def test_it_needs_no_script(stack: Stack, context: BrowserContext, page: Page) -> None:
    connection_id = await stack.connection()
    await stack.session((await stack.ring(connection_id))["call_session_id"])
    assert context.browser is not None
    bare = await context.browser.new_context(
        base_url=stack.api_url,
        java_script_enabled=False,
        storage_state=await context.storage_state(),
    )
    bare.set_default_timeout(WAIT_MS)
    without = await bare.new_page()
    await without.goto(f"/console/analytics?last=1h&connection_id={connection_id}")
    await without.get_by_text("Table", exact=True).click()
    over_time = without.get_by_role("region", name="Calls over time").locator("tbody tr")
    await expect(over_time).to_have_count(1)
    await expect(without.get_by_role("row", name="no cause yet")).to_contain_text("1")
    await bare.close()


@pytest.mark.parametrize("query", ["tz=Mars/Olympus", "from=yesterday", "number_prefix=abc"])
async def test_a_wrong_parameter_is_explained(page: Page, query: str) -> None:
    answer = await page.request.get(f"/console/analytics?{query}")
    assert answer.status == 422
    assert query.partition("=")[0] in await answer.text()
