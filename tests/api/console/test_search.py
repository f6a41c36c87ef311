"""The search page: its URL is the search, its rows open sessions, and what it finds is exported."""

import csv
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Page, expect
from telnyx import AsyncTelnyx

from offhook.api.console.client import ApiRefused
from offhook.api.console.pages.search import (
    STARTS,
    causes_of,
    filters_of,
    given_in,
    in_utc,
    offers_for,
)
from tests.api.console.conftest import WAIT_MS
from tests.api.own.sessions.asking import refused_speak
from tests.api.stack import CALLER, OURS, Stack, until

BUSY = "+12025550186"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

expect.set_options(timeout=WAIT_MS)


def test_the_query_is_in_the_names_of_the_api() -> None:
    given = given_in({"number": " +4930* ", "failed": "true", "flow": "", "page": "2"})
    assert given == {"number": "+4930*", "failed": "true"}
    assert filters_of(given, NOW) == given


def test_a_range_until_now_becomes_a_start() -> None:
    given = given_in({"last": "24h", "started_before": "2026-11-01T00:00"})
    assert given == {"last": "24h"}
    assert filters_of(given, NOW) == {"started_from": "2026-11-21T12:00:00+00:00"}
    with pytest.raises(ApiRefused, match="last is 'a week'; expected today, 1h, 24h, 7d or 31d"):
        filters_of(given_in({"last": "a week"}), NOW)
    raised = given_in({"last": "24h", "flow_raised_from": "2026-11-01T10:00"})
    assert filters_of(raised, NOW) == {
        "started_from": "2026-11-21T12:00:00+00:00",
        "flow_raised_from": "2026-11-01T10:00:00Z",
    }


def test_the_first_searches_of_causes_look_at_any_leg() -> None:
    by_cause = [each for _, each in STARTS if {"hangup_cause", "sip_hangup_cause"} & each.keys()]
    assert by_cause
    assert all(each["any_leg"] == "true" for each in by_cause)


@pytest.mark.parametrize(
    ("given", "links"),
    [
        ({"number": "6242ac23-f9f8"}, ["?session_id=6242ac23-f9f8*"]),
        ({"number": "6242ac*"}, ["?session_id=6242ac*"]),
        ({"number": "+12025550101"}, []),
        ({"number": "(202) 555-0101", "last": "1h"}, ["?number=*2025550101&last=1h"]),
        ({"number": "0101"}, ["?number=*0101"]),
        ({"number": "*0101"}, []),
        ({"number": "sip:agent@example.com"}, []),
        ({}, []),
        ({"hangup_cause": "user_busy"}, ["?hangup_cause=user_busy&any_leg=true"]),
        ({"hangup_cause": "user_busy", "any_leg": "true"}, []),
        ({"failed": "true"}, []),
    ],
)
def test_a_search_that_finds_nothing_offers_what_may_have_been_meant(
    given: dict[str, str], links: list[str]
) -> None:
    assert [link for _, _, link in offers_for(given)] == links


@pytest.mark.parametrize(
    ("text", "asked", "shown"),
    [
        ("2026-11-22T10:00", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00"),
        ("2026-11-22T10:00:05", "2026-11-22T10:00:05Z", "2026-11-22T10:00:05"),
        ("2026-11-22T10:00:00.000Z", "2026-11-22T10:00:00.000Z", "2026-11-22T10:00:00"),
        ("2026-11-22T10:00:00+01:00", "2026-11-22T10:00:00+01:00", "2026-11-22T09:00:00"),
        ("yesterday", "yesterday", ""),
    ],
)
def test_a_time_without_an_offset_is_in_utc(text: str, asked: str, shown: str) -> None:
    assert filters_of({"started_from": text}, NOW) == {"started_from": asked}
    assert in_utc(text) == shown


def test_causes_lead_to_their_calls() -> None:
    counted = {
        "legs": [{"hangup_cause": "not_found", "sip_hangup_cause": "404", "sessions": 3}],
        "flow_raised": 2,
        "operations": [{"operation": "dial", "sessions": 5}],
        "reasons": [{"reason": "call_ended", "sessions": 1}],
    }
    legs, raised = causes_of({"failed": "true", "last": "today"}, counted)
    assert (legs.sessions, legs.words) == (3, "not_found 404")
    assert legs.title == "the number does not exist or cannot be routed, SIP 404 Not Found"
    assert legs.link == (
        "?failed=true&last=today&leg_hangup_cause=not_found&leg_sip_hangup_cause=404"
    )
    assert (raised.sessions, raised.link) == (2, "?failed=true&last=today&flow_raised=true")
    dials, ended = causes_of({"failed_command": "*"}, counted)
    assert (dials.sessions, dials.words, dials.link) == (5, "dial", "?failed_command=dial")
    assert ended.link == "?failed_command=call_ended"
    # Where the link would find other calls, because it replaces a filter, there is none.
    assert [each.link for each in causes_of({"failed_command": "speak"}, counted)] == [None, None]
    given = {"failed": "true", "leg_hangup_cause": "!user_busy"}
    assert causes_of(given, counted)[0].link is None


def test_today_is_since_midnight_in_a_time_zone() -> None:
    now = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    assert filters_of({"last": "today"}, now) == {"started_from": "2026-11-22T00:00:00+00:00"}
    given = given_in({"last": "today", "tz": "Asia/Tokyo"})
    assert filters_of(given, now) == {"started_from": "2026-11-22T00:00:00+09:00"}
    assert given_in({"last": "24h", "tz": "Asia/Tokyo"}) == {"last": "24h"}
    with pytest.raises(ApiRefused, match="tz is 'Mars'"):
        filters_of({"last": "today", "tz": "Mars"}, now)


async def test_a_call_is_found_opened_and_exported(
    stack: Stack, page: Page, sdk: AsyncTelnyx, tmp_path: Path
) -> None:
    connection_id = await stack.connection()
    ids = await stack.ring(connection_id)
    other = await stack.ring(connection_id)
    for each in (ids, other):
        await stack.session(each["call_session_id"])
    await sdk.calls.actions.answer(ids["call_control_id"])
    await sdk.calls.actions.hangup(ids["call_control_id"])
    await stack.session(ids["call_session_id"], "ended")

    await page.goto("/console/search")
    await page.get_by_text("More filters").click()
    await page.get_by_label("Connection id").fill(connection_id)
    await page.get_by_label("Number, any leg or failed dial").fill(f"*{CALLER[-4:]},!+999*")
    await page.get_by_label("Number, any leg or failed dial").press("Enter")
    await expect(page.locator("#rows tr")).to_have_count(2)
    await page.get_by_label("State").select_option("Ended")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("#rows tr")).to_have_count(1)
    asked = {"number": f"*{CALLER[-4:]},!+999*", "status": "ended", "connection_id": connection_id}
    assert page.url.endswith(f"/console/search?{urlencode(asked, safe='*')}")
    row = page.locator(f"[id='call-{ids['call_session_id']}']")
    await expect(row).to_contain_text(f"{CALLER} → {OURS}")
    await expect(row).to_contain_text("answered")

    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    exported = tmp_path / "sessions.csv"
    await (await download.value).save_as(exported)
    with exported.open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert (found["session_id"], found["from_number"]) == (ids["call_session_id"], CALLER)

    await row.locator("td").last.click()
    await page.wait_for_url(f"**/console/sessions/{ids['call_session_id']}")
    await page.go_back()
    await expect(page.get_by_label("Connection id")).to_have_value(connection_id)

    await page.goto(f"/console/search?{urlencode({'number': 'a*b', 'flow': 'x'})}")
    await expect(page.get_by_role("alert")).to_contain_text("number has the pattern 'a*b'")
    await expect(page.get_by_label("Number, any leg or failed dial")).to_have_value("a*b")


async def test_today_is_that_of_the_reader(stack: Stack, page: Page) -> None:
    browser = page.context.browser
    assert isinstance(browser, Browser)
    context = await browser.new_context(
        base_url=stack.api_url,
        timezone_id="Asia/Tokyo",
        storage_state=await page.context.storage_state(),
    )
    context.set_default_timeout(WAIT_MS)
    tokyo = await context.new_page()
    await tokyo.goto("/console/")
    await tokyo.get_by_role("link", name="failed calls").click()
    await tokyo.wait_for_url("**/console/search?failed=true&last=today&tz=Asia%2FTokyo")
    started = tokyo.get_by_label("Started", exact=True)
    await expect(started.locator("option:checked")).to_have_text("Today, your time")
    await started.select_option("Last 24 hours")
    await tokyo.get_by_role("button", name="Search").click()
    await tokyo.wait_for_url("**/console/search?failed=true&last=24h")
    await tokyo.goto("/console/search?last=today&tz=Europe%2FBerlin")
    await expect(started.locator("option:checked")).to_have_text("Today, Europe/Berlin")
    # A URL without a time zone is searched in UTC, and says so with scripts too.
    await tokyo.goto("/console/search?last=today")
    await expect(tokyo.locator("form.search .zone").first).to_have_text("your time")
    await expect(started.locator("option:checked")).to_have_text("Today, UTC")
    await tokyo.get_by_role("button", name="Search").click()
    await tokyo.wait_for_url("**/console/search?last=today&tz=UTC")
    await context.close()


async def test_pages_and_times_work_without_scripts(stack: Stack, page: Page) -> None:
    connection_id = await stack.connection()
    for _ in range(2):
        newest = (await stack.ring(connection_id))["call_session_id"]
        await stack.session(newest)
    async with stack.http() as http:
        listed = (await http.get("/sessions", params={"connection_id": connection_id})).json()
    browser = page.context.browser
    assert isinstance(browser, Browser)
    plain = await browser.new_context(
        base_url=stack.api_url,
        java_script_enabled=False,
        storage_state=await page.context.storage_state(),
    )
    plain.set_default_timeout(WAIT_MS)
    search = await plain.new_page()
    older = {"connection_id": connection_id, "before_seq": listed["data"][0]["first_seq"]}
    await search.goto(f"/console/search?{urlencode(older)}")
    await expect(search.locator("#rows tr")).to_have_count(1)
    await expect(search.locator("#rows")).to_contain_text("UTC")
    await search.get_by_role("link", name="Newest").click()
    await expect(search.locator("#rows tr")).to_have_count(2)
    await search.get_by_label("Started before (UTC)").fill("2026-01-01T00:00:05")
    await search.get_by_role("button", name="Search").click()
    await expect(search.get_by_role("status")).to_contain_text("No call matches.")
    await expect(search.get_by_label("Started before (UTC)")).to_have_value("2026-01-01T00:00:05")
    await search.locator("form.search .actions a").click()
    await expect(search.get_by_label("Connection id")).to_have_value("")
    await plain.close()


async def at_noon(page: Page) -> None:
    """Put the page's reader where it is noon: the calls of a minute ago were today."""
    devtools = await page.context.new_cdp_session(page)
    zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # by POSIX: +5 is 5 hours behind UTC
    await devtools.send("Emulation.setTimezoneOverride", {"timezoneId": zone})


async def test_a_call_with_a_busy_transfer_is_found_from_the_front_page(
    stack: Stack, page: Page
) -> None:
    ids = await stack.ring()
    session_id = ids["call_session_id"]
    async with stack.http() as http:
        path = f"/v2/calls/{ids['call_control_id']}/actions"
        assert (await http.post(f"{path}/answer", json={})).status_code == 200
        transfer = await http.post(f"{path}/transfer", json={"to": BUSY})
        assert transfer.status_code == 200

        async def is_found() -> bool:
            asked = {"leg_hangup_cause": "user_busy", "session_id": session_id}
            return bool((await http.get("/sessions", params=asked)).json()["data"])

        await until(is_found, "the leg to be busy")
    await at_noon(page)
    await page.goto("/console/")
    await page.get_by_role("link", name="unanswered legs").click()
    row = page.locator(f"[id='call-{session_id}']")
    await expect(row.get_by_text("leg user_busy 486")).to_be_visible()


async def test_a_failed_command_is_found_from_the_front_page_and_from_health(
    stack: Stack, page: Page
) -> None:
    session_id, _ = await refused_speak(stack)
    row = page.locator(f"[id='call-{session_id}']")
    await at_noon(page)
    await page.goto("/console/")
    await page.get_by_role("link", name="with failed commands").click()
    await expect(row.get_by_text("speak refused 422")).to_be_visible()
    await row.locator("td").last.click()
    await expect(page.locator(".why")).to_contain_text("The command speak failed: the carrier")

    await page.goto("/console/")
    await page.get_by_role("link", name="failed commands", exact=True).click()
    await page.get_by_role("link", name=re.compile(r"^speak \([0-9,]+\)$")).click()
    await expect(page.get_by_label("Failed command")).to_have_value("speak")
    await expect(row).to_be_visible()

    await page.goto("/console/health")
    await page.get_by_role("link", name="failed: refused").click()
    await expect(page.get_by_label("Failed command")).to_have_value("refused")
    await expect(row).to_be_visible()

    await page.get_by_role("link", name="Clear").click()
    await page.get_by_label("Number, any leg or failed dial").fill(session_id)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name="Search for the session").click()
    await expect(row).to_be_visible()
