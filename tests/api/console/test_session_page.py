"""The session's page in a browser: it follows the call, shows it as it was, and hangs it up."""

import re

from playwright.async_api import Page, Route, expect

from offhook.api.console.sign_in import COOKIE
from tests.api.console.conftest import WAIT_MS
from tests.api.imported import imported, received
from tests.api.stack import CALLER, FRIEND, OURS, READER, Stack, until

LONG = "Nobody can take your call at the moment. Please try again tomorrow from nine."


async def test_a_ladder_that_is_refused_is_below_the_sentence(stack: Stack) -> None:
    ids = await stack.ring()
    await stack.session(ids["call_session_id"])
    async with stack.http() as http:
        path = f"/console/sessions/{ids['call_session_id']}"
        found = await http.get(f"{path}?before=x", headers={"cookie": f"{COOKIE}={READER}"})
    assert found.status_code == 200
    sentence, refused = found.text.index('<p class="why'), found.text.index('role="alert"')
    assert sentence < refused < found.text.index("</html>")
    assert 'class="ladder' not in found.text


async def test_a_ladder_that_cannot_be_read_leaves_the_one_before(stack: Stack, page: Page) -> None:
    ids = await stack.ring()
    session_id = ids["call_session_id"]
    await stack.session(session_id)
    await page.goto(f"/console/sessions/{session_id}")
    await expect(page.locator("[data-live]")).to_have_text("live")
    number, said = page.get_by_label("Transfer to"), page.locator("[data-said]")
    await number.fill(FRIEND)

    async def without_ladder(route: Route) -> None:
        response = await route.fetch(url=f"{route.request.url.partition('?')[0]}?before=x")
        await route.fulfill(response=response)

    pages = re.compile(f"/console/sessions/{session_id}($|\\?)")
    await page.route(pages, without_ladder)
    async with stack.http() as http:
        path = f"/v2/calls/{ids['call_control_id']}/actions/answer"
        assert (await http.post(path, json={})).status_code == 200
    await expect(said).to_contain_text("could not be read")
    await expect(page.locator("[data-live]")).to_have_text("live")
    await expect(page.locator(".ladder-box [data-record]").first).to_be_visible()
    await expect(number).to_have_value(FRIEND)
    await expect(number).to_be_focused()

    await page.unroute_all(behavior="wait")
    await page.get_by_role("link", name="As they happened").click()
    await expect(said).to_have_text("")
    await expect(page.locator(".why")).to_have_text("The call is up.")
    await expect(number).to_have_value(FRIEND)


async def records_of(stack: Stack, session_id: str) -> list[str]:
    async with stack.http(READER) as http:
        timeline = await http.get(f"/sessions/{session_id}/timeline")
    return [str(record["seq"]) for record in timeline.json()["data"]]


async def test_a_page_follows_again_after_an_error(stack: Stack, page: Page) -> None:
    """A browser gives up if a stream is answered with an error."""
    ids = await stack.ring()
    session_id = ids["call_session_id"]
    await stack.session(session_id)
    # As after any status but 200; this one is no error in the console of the browser.
    await page.route("**/stream?*", lambda route: route.fulfill(status=204), times=1)
    await page.goto(f"/console/sessions/{session_id}")
    await expect(page.locator("[data-live]")).to_have_text("live", timeout=WAIT_MS)


async def test_a_call_is_followed_hung_up_and_seen_as_it_was(stack: Stack, page: Page) -> None:
    ids = await stack.ring()
    session_id = ids["call_session_id"]
    await stack.session(session_id)
    await page.goto(f"/console/sessions/{session_id}")
    why, ladder = page.locator(".why"), page.locator(".ladder-box svg")
    await expect(why).to_have_text("The call is not answered yet.")
    await expect(page.locator("[data-live]")).to_have_text("live")

    async with stack.http() as http:
        path = f"/v2/calls/{ids['call_control_id']}/actions"
        assert (await http.post(f"{path}/answer", json={})).status_code == 200
        speak = {"payload": LONG, "voice": "female"}
        assert (await http.post(f"{path}/speak", json=speak)).status_code == 200
    await expect(why).to_have_text("The call is up.")

    await page.get_by_label("Transfer to").fill(FRIEND)
    await page.get_by_role("button", name="Transfer").click()
    await expect(page.get_by_text("transfer: the carrier accepted it.")).to_be_visible()
    await expect(why).to_have_text("The call is up: two legs are connected.")
    await expect(ladder.locator(".bridge")).to_have_count(1)

    await page.get_by_role("button", name="Hang up").press("Enter")
    dialog = page.get_by_role("dialog", name="Hang up this leg?")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await page.get_by_role("button", name="Hang up").click()
    await expect(dialog).to_contain_text(f"{CALLER} → {OURS}, bridged")
    await dialog.get_by_role("button", name="Hang up").click()
    await expect(dialog.get_by_role("status")).to_have_text("The leg is hung up.")
    await expect(why).to_have_text(re.compile("^An application hung up .* after the answer"))
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.locator("[data-hangup], [data-transfer]")).to_have_count(0)
    await expect(page.locator("[data-live]")).to_have_text("")

    await stack.settled(session_id, "ended")  # or a later record would move the slider

    async def all_shown() -> bool:
        drawn = await ladder.locator("[data-record]").evaluate_all(
            "found => found.map(each => each.dataset.record)"
        )
        return sorted(drawn) == sorted(await records_of(stack, session_id))

    await until(all_shown, "the ladder to have every record of the log")

    slider = page.get_by_label("The session as of a record")
    await slider.fill("1")
    await expect(why).to_have_text("The call is not answered yet.")
    await expect(ladder.locator("[data-record]")).to_have_count(1)
    assert "as_of=" in page.url
    await page.get_by_role("link", name="One record on").click()
    await expect(ladder.locator("[data-record]")).to_have_count(2)
    await page.reload()
    await expect(ladder.locator("[data-record]")).to_have_count(2)

    await ladder.locator("[data-record]").first.click()
    await expect(page.locator("#record pre").first).to_contain_text('"call.initiated"')
    await expect(page.locator("#record")).to_contain_text("signature verified")

    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"/console/sessions/{session_id}")
    box = page.locator(".ladder-box")
    await expect(box.locator("svg.narrow .head").last).to_be_visible()
    await expect(box.locator(".pinned .head")).to_have_text(["Caller", "Offhook", "Called"])
    assert await box.evaluate("box => box.scrollWidth - box.clientWidth") == 0
    await page.set_viewport_size({"width": 1280, "height": 800})
    await expect(box.locator("svg.narrow")).to_have_count(0)

    records = await records_of(stack, session_id)
    await page.goto(f"/console/sessions/{session_id}?before={records[3]}")
    await expect(ladder.locator("[data-record]")).to_have_count(3)
    await expect(page.locator(".windows")).to_contain_text("The first 3 records")
    await page.get_by_role("link", name="Later").click()
    first = ladder.locator("[data-record]").first
    await expect(first).to_have_attribute("data-record", records[3])
    await expect(page.get_by_role("link", name="Earlier")).to_be_visible()

    async def all_of_its_text() -> bool:
        await ladder.locator("[data-cut]", has_text="speak").first.focus()
        return LONG in (await page.locator(".ladder-box .caption").text_content() or "")

    await until(all_of_its_text, "the row in focus to have all of its text below the ladder")


async def test_back_leads_to_the_place_before(stack: Stack, page: Page) -> None:
    ids = await stack.ring()
    session_id = ids["call_session_id"]
    async with stack.http() as http:
        path = f"/v2/calls/{ids['call_control_id']}/actions"
        assert (await http.post(f"{path}/answer", json={})).status_code == 200
        assert (await http.post(f"{path}/hangup", json={})).status_code == 200
    await stack.settled(session_id, "ended")
    records = await records_of(stack, session_id)
    await page.goto("/console/search")
    await page.goto(f"/console/sessions/{session_id}")
    drawn = page.locator(".ladder-box [data-record]")
    await expect(drawn).to_have_count(len(records))

    # The slider stays in the hand, and the page follows it; all of the way is one step.
    slider = page.get_by_label("The session as of a record")
    box = await slider.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + box["width"] - 8, y)
    await page.mouse.down()
    for share in (0.5, 0.01):
        await page.mouse.move(box["x"] + box["width"] * share, y)
        await expect(drawn).to_have_count(int(await slider.input_value()))
    await expect(drawn).to_have_count(1)
    await page.mouse.up()
    one_on = page.get_by_role("link", name="One record on")
    await expect(one_on).to_have_attribute("href", re.compile("as_of="))
    await one_on.click()
    await expect(drawn).to_have_count(2)
    await page.get_by_role("link", name="As they happened").click()
    await expect(page).to_have_url(re.compile("order=true"))

    await page.go_back()
    await expect(page.get_by_role("link", name="As they arrived")).to_have_attribute(
        "aria-current", "true"
    )
    await expect(drawn).to_have_count(2)
    await page.go_back()
    await expect(drawn).to_have_count(1)
    await page.go_back()
    await expect(drawn).to_have_count(len(records))
    assert "?" not in page.url
    await page.go_back()
    await page.wait_for_url("**/console/search")


async def test_a_session_is_copied_as_a_flow_test(stack: Stack, page: Page) -> None:
    session_id = await imported(stack, received("copied on the page", "1"))
    async with stack.http(READER) as http:
        code = (await http.get(f"/sessions/{session_id}/flow-test")).text
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"/console/sessions/{session_id}")
    await page.get_by_role("link", name="Copy as flow test").click()
    dialog = page.get_by_role("dialog", name="Flow test")
    await expect(dialog.get_by_role("status")).to_have_text("Copied.")
    assert await page.evaluate("navigator.clipboard.readText()") == code
    assert await dialog.locator("pre").text_content() == code
    await page.get_by_role("button", name="Close").click()
    await expect(dialog).to_be_hidden()


async def test_a_reader_sees_the_page_without_scripts(stack: Stack, page: Page) -> None:
    ids = await stack.ring()
    session_id = ids["call_session_id"]
    await stack.session(session_id)
    browser = page.context.browser
    assert browser is not None
    context = await browser.new_context(base_url=stack.api_url, java_script_enabled=False)
    cookie = {"name": "offhook_token", "value": READER, "url": f"{stack.api_url}/console"}
    await context.add_cookies([cookie])  # type: ignore[list-item]
    context.set_default_timeout(WAIT_MS)
    plain = await context.new_page()
    await plain.set_viewport_size({"width": 390, "height": 844})
    await plain.goto(f"/console/sessions/{session_id}?order=true")
    await expect(plain.get_by_role("group", name="Ladder of session")).to_be_visible()
    await expect(plain.get_by_role("button", name="Hang up")).to_have_count(0)
    assert await plain.evaluate("document.documentElement.scrollWidth") == 390
    await plain.get_by_role("link", name="call.initiated").click()
    assert "order=true" in plain.url
    assert "record=" in plain.url
    await expect(plain.locator("#record pre").first).to_contain_text('"call.initiated"')
    picture = await plain.request.get(f"/console/sessions/{session_id}/ladder.svg")
    assert picture.headers["content-type"].startswith("image/svg+xml")
    await context.close()
