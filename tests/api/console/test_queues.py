"""The page of queues: who waits, the figures of a range, and what its URL keeps."""

import secrets
from datetime import UTC, datetime
from typing import Any

from playwright.async_api import Page, expect
from telnyx import AsyncTelnyx

from offhook.api.console.pages.queues import range_of, total_of
from tests.api.stack import CALLER, Stack

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def ratio(numerator: float, denominator: float) -> dict[str, Any]:
    return {"numerator": numerator, "denominator": denominator}


def queue_row(waiting: int, level: tuple[int, int], longest_s: float | None) -> dict[str, Any]:
    return {
        "waiting": waiting,
        "longest_wait_now_s": longest_s,
        "offered": 10,
        "answered": level[0],
        "abandoned": 2,
        "short_abandoned": 1,
        "service_level": ratio(*level),
        "abandon_rate": ratio(2, 10),
        "asa_s": ratio(30.0, level[0]),
    }


def test_ratios_of_all_queues_are_of_the_sums() -> None:
    found = total_of([queue_row(1, (1, 2), 4.0), queue_row(0, (9, 10), None)])
    assert found["service_level"] == {"value": 10 / 12, "numerator": 10, "denominator": 12}
    assert found["asa_s"]["value"] == 6.0
    assert (found["waiting"], found["longest_wait_now_s"]) == (1, 4.0)


def test_without_a_queue_no_ratio_has_a_value() -> None:
    found = total_of([])
    assert found["service_level"]["value"] is found["longest_wait_now_s"] is None


def test_the_url_has_the_range() -> None:
    assert range_of({}, "24h", NOW) == ("the last 24 hours", "2026-11-21T12:00:00+00:00", None)
    assert range_of({}, "1h", NOW)[1] == "2026-11-22T11:00:00+00:00"
    assert range_of({"from": "2026-11-01T00:00:00Z"}, "1h", NOW) == (
        "2026-11-01T00:00:00Z to now",
        "2026-11-01T00:00:00Z",
        None,
    )


async def test_a_caller_appears_waits_and_leaves(
    stack: Stack, sdk: AsyncTelnyx, page: Page
) -> None:
    queue = f"desk-{secrets.token_hex(4)}"
    ids = await stack.ring()
    await stack.session(ids["call_session_id"])
    await sdk.calls.actions.answer(ids["call_control_id"])
    await page.goto(f"/console/queues?queue={queue}&service_level_s=7&short_abandon_s=0&last=1h")
    await expect(page.locator("#waiting")).to_contain_text(f"Nobody waits in {queue}")
    await expect(page.get_by_label("In time within, s")).to_have_value("7")
    await sdk.calls.actions.enqueue(ids["call_control_id"], queue_name=queue)
    row = page.locator("#waiting tr", has_text=queue)
    await expect(row).to_contain_text(CALLER)
    link = row.get_by_role("link")
    assert await link.get_attribute("href") == f"/console/sessions/{ids['call_session_id']}"
    await sdk.calls.actions.hangup(ids["call_control_id"])
    await expect(page.locator("#waiting")).to_contain_text("Nobody waits")
    visit = page.locator("#visits tr", has_text=queue)
    await expect(visit).to_contain_text("abandoned")
    figures = page.locator("#queues tr", has_text=queue)
    await expect(figures).to_contain_text("0.0 %")


async def test_every_queue_is_shown_and_a_wrong_parameter_explained(page: Page) -> None:
    assert (await page.request.get("/console/queues")).status == 200
    answer = await page.request.get("/console/queues?service_level_s=-1")
    assert answer.status == 422
    assert "service_level_s" in await answer.text()
