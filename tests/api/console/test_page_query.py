"""No parameter of a page is ignored because its value is wrong: the page says which one it is."""

import html

from playwright.async_api import Page, expect

from tests.api.stack import Stack

STATES = "active, setting_up, waiting, talking, ended, empty or all"
WRONG = {
    "?status=zzz": f"status is 'zzz'; expected {STATES}",
    "?from=%2Bx": "from is '+x'; expected a number in E.164",
    "?to=%2Bx": "to is '+x'; expected a number in E.164",
    "?before=x": "before is 'x'; expected a whole number",
    "live/now?status=zzz": f"status is 'zzz'; expected {STATES}",
    "search?last=zzz": "last is 'zzz'; expected today, 1h, 24h, 7d or 31d",
    "search?last=today&tz=Mars": "tz is 'Mars'; expected a name such as Europe/Berlin or UTC",
    "search?status=zzz": "status is 'zzz'; expected empty, active or ended",
    "search?failed=zzz": "failed is 'zzz'; expected true or false",
    "search?any_leg=zzz": "any_leg is 'zzz'; expected true or false",
    "search?direction=zzz": "direction is 'zzz'; expected incoming, outgoing or !*",
    "search?started_from=zzz": "started_from is 'zzz'; expected a time in RFC 3339",
    "search?talk_s_min=-1": "talk_s_min is '-1'; expected 0 or more",
    "search?before_seq=x": "before_seq is 'x'; expected a whole number",
    "queues?last=zzz": "last is 'zzz'; expected 1h, 8h, 24h, 7d or 31d",
    "queues?from=zzz": "from is 'zzz'; expected a time in RFC 3339",
    "analytics?last=zzz": "last is 'zzz'; expected 1h, 8h, today, 24h, 7d or 31d",
    "analytics?show=zzz": "show is 'zzz'; expected calls, ",
    "analytics?by=zzz": "by is 'zzz'; expected connection_id, number_prefix, flow,flow_version",
    "analytics?direction=zzz": "direction is 'zzz'; expected incoming or outgoing",
    "analytics?to=zzz": "to is 'zzz'; expected a time such as 2026-11-22T10:00",
    "health?roles=zzz": "roles is 'zzz'; expected later or wait",
    "sessions/{id}?as_of=zzz": "as_of is 'zzz'; expected a position or a time",
    "sessions/{id}?order=zzz": "order is 'zzz'; expected arrival or true",
    "sessions/{id}?record=zzz": "record is 'zzz'; expected a position such as 2:1234",
    "sessions/{id}?before=zzz": "before is 'zzz'; expected a whole number",
    "sessions/{id}?after=zzz": "after is 'zzz'; expected a whole number",
}


async def test_a_value_that_is_not_known_is_named_with_what_is_expected(
    stack: Stack, page: Page
) -> None:
    session_id = (await stack.ring())["call_session_id"]
    await stack.session(session_id)
    for path, words in WRONG.items():
        answer = await page.request.get(f"/console/{path.format(id=session_id)}")
        assert words in html.unescape(await answer.text()), path
    spaces = await page.request.get("/console/queues?last=%2024h%20")
    assert "the last 24 hours" in await spaces.text()
    await page.goto("/console/search?last=zzz")
    await expect(page.get_by_role("alert")).to_contain_text(WRONG["search?last=zzz"])
    await page.goto("/console/analytics?last=zzz")
    await expect(page.get_by_role("alert")).to_contain_text(WRONG["analytics?last=zzz"])
