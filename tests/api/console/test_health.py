"""The page of health: what it says of roles and webhooks, and the button that retries."""

import re
from typing import Any

from playwright.async_api import BrowserContext, Page, expect

from offhook.api.console.pages.health import failures_of, webhooks_of, work_of, worst_lag_ms
from tests.api.console.conftest import signed_in
from tests.api.own.test_health import park
from tests.api.stack import CALLER, OURS, READER, Stack


def ingress(**counts: float) -> dict[str, Any]:
    figures = [
        {"name": "offhook_webhooks_total", "labels": {"result": name}, "value": value}
        for name, value in counts.items()
    ]
    return {"role": "ingress", "figures": figures}


def test_webhooks_of_all_ingresses_are_added_up() -> None:
    found = webhooks_of([ingress(stored=5, bad_signature=1), ingress(stored=2, api_v1=3)])
    assert [(each["result"], each["count"], each["is_refused"]) for each in found] == [
        ("stored", 7, False),
        ("duplicate", 0, False),
        ("api_v1", 3, True),
        ("bad_signature", 1, True),
    ]


def test_a_lag_that_is_not_known_is_not_shown_as_none() -> None:
    assert worst_lag_ms({"partitions": [{"lag_ms": 3}, {"lag_ms": 7}]}) == 7
    assert worst_lag_ms({"partitions": [{"lag_ms": 3}, {"lag_ms": None}]}) is None
    assert worst_lag_ms(None) is None


def test_failed_commands_lead_to_their_calls() -> None:
    failed = {"refused": 3, "call_ended": 5}
    overtaken, refused, only_late = failures_of({"failed": failed, "overtaken": 2})
    assert refused["link"] == "/console/search?failed_command=refused&last=24h"
    assert overtaken["link"] == "/console/search?failed_command=call_ended&last=24h"
    assert [each["count"] for each in (overtaken, refused, only_late)] == [2, 3, 3]
    assert only_late["link"] is None
    assert failures_of({"failed": {}, "overtaken": 0}) == failures_of(None) == []


def test_what_a_role_did_is_in_words() -> None:
    assert work_of(ingress(stored=1_200, duplicate=34)) == "1,234 webhooks"
    assert work_of({"role": "worker", "figures": []}) == ""
    one: list[dict[str, Any]] = [
        {"name": name, "labels": {}, "value": 1}
        for name in ("offhook_commands_total", "offhook_commands_waiting")
    ]
    assert work_of({"role": "worker", "figures": one}) == "1 command, 1 command waiting"


async def test_roles_and_views_are_shown(page: Page) -> None:
    await page.goto("/console/health")
    roles = page.locator("#roles")
    for role in ("ingress", "worker", "projector", "api"):
        row = roles.locator("tr", has=page.get_by_text(role, exact=True)).first
        await expect(row).to_contain_text("ready")
    await expect(page.locator("#views tr")).to_have_count(4)
    await page.get_by_text("Records behind").click()  # what it means is shown below
    await expect(page.locator("abbr:focus")).to_have_text("Records behind")
    await expect(page.locator("#rebuild")).to_contain_text("No rebuild is under way")


async def test_a_browser_without_scripts_waits_for_the_roles(stack: Stack, page: Page) -> None:
    browser = page.context.browser
    assert browser is not None
    context = await browser.new_context(base_url=stack.api_url, java_script_enabled=False)
    await context.add_cookies(await page.context.cookies())  # type: ignore[arg-type]
    plain = await context.new_page()
    await plain.goto("/console/health")
    row = plain.locator("#roles tr", has=plain.get_by_text("projector", exact=True)).first
    # Under load a role may answer too late, and this page asks once.
    await expect(row).to_contain_text(re.compile("ready|no answer"))
    assert plain.url.endswith("/console/health?roles=wait")
    await context.close()


async def test_a_parked_session_is_retried(stack: Stack, page: Page) -> None:
    session_id = await park(stack)
    await page.goto("/console/health")
    row = page.locator("#parked tr", has=page.locator(f'[data-retry="{session_id}"]'))
    await expect(row.locator(".open")).to_have_text(f"{CALLER} → {OURS}")
    await row.locator("summary").click()
    await expect(row.locator("pre")).to_contain_text("line 3, in decide")
    await row.get_by_role("button", name="Retry").click()
    outcome = page.get_by_role("status")
    await expect(outcome).to_contain_text("its flow has decided")
    await expect(row).to_have_count(0)
    found = page.locator(f"[id='call-{session_id}']")
    await page.get_by_role("link", name="calls of the last 24 hours whose flow raised").click()
    await expect(page.get_by_label("Flow raised", exact=True)).to_have_value("true")
    await expect(found.get_by_text("flow raised")).to_be_visible()
    await page.goto("/console/")
    await page.get_by_role("link", name="whose flow raised").click()
    await expect(found).to_be_visible()


async def test_a_traceback_has_its_lines_on_the_page_of_its_session(
    stack: Stack, page: Page
) -> None:
    session_id = await park(stack)
    await page.goto("/console/health")
    await page.locator(f'#parked a[href$="{session_id}"]').click()
    await page.locator(".records tr", has_text="SessionParked").get_by_role("link").click()
    traceback = page.locator("#record h4:has-text('Traceback') + pre")
    await expect(traceback).to_have_text(
        re.compile(r"File \"flow.py\", line 3, in decide\nValueError"), use_inner_text=True
    )
    await expect(page.locator("#record")).to_contain_text(re.compile(r'"cause_seq": "\d:\d+"'))


async def test_a_reader_cannot_retry(stack: Stack, context: BrowserContext) -> None:
    session_id = await park(stack)
    page = await context.new_page()
    await signed_in(page, READER)
    await page.goto("/console/health")
    await expect(page.locator(f'[data-retry="{session_id}"]')).to_be_disabled()
