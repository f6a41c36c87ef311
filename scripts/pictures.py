"""Takes pictures of every page of the console, dark and light, wide and on a phone, whole pages.

    python -m scripts.pictures [--folder .pictures] [--readme]

Runs `offhook up` on free ports with the simulator, imports fifteen days of made-up calls for the
charts, places live calls to several flows, and signs in with Chromium. `--readme` also writes those
that the README shows to docs/pictures.
"""

import argparse
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from offhook.codec.webhooks import wire_body
from offhook.events import CallAnswered, CallEvent, CallHangup, CallInitiated
from scripts.palette import with_palette
from scripts.picture_flows import BILLING, DESK, SUPPORT

OFFHOOK = Path(sys.executable).parent / "offhook"
README = Path("docs/pictures")
IN_README = ("live", "session", "analytics", "health")
SIZES = {"wide": (1280, 800), "phone": (390, 844), "readme": (1440, 960)}
HISTORY_CALLS = 2_800
HISTORY = timedelta(days=15)
LIVE_CALLS = 36
READY_S = 120.0
SHOWN_MS = 60_000.0
MARGIN_PX = 16
SETTLE_MS = 1_500.0
"""For charts, which are drawn after their page has loaded."""

ENDINGS = (
    ("user_busy", "486"),
    ("no_answer", "480"),
    ("call_rejected", "603"),
    ("unspecified", "503"),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path(".pictures"))
    parser.add_argument("--readme", action="store_true")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="offhook-pictures-") as name:
        ready_file, log = Path(name) / "ready.json", Path(name) / "up.log"
        names = ("support", "billing", "frontdesk")
        flows = ",".join(f"scripts.picture_flows:{each}" for each in names)
        environment = os.environ | {
            "OFFHOOK_FLOWS": f"{flows},examples.reception:reception",
            "PYTHONPATH": ".",
        }
        up = [OFFHOOK, "up", "--free-ports", "--ready-file", ready_file]
        with log.open("wb") as output:
            process = subprocess.Popen(up, env=environment, stdout=output, stderr=output)
        try:
            ready = _ready(process, ready_file, log)
            _import_history(Path(name) / "history", ready_file)
            sessions = _place_calls(ready)
            _take(ready, sessions, chosen.folder, readme=chosen.readme)
        finally:
            process.terminate()
            process.wait()


def _ready(process: "subprocess.Popen[bytes]", path: Path, log: Path) -> Mapping[str, str]:
    until = time.monotonic() + READY_S
    while not path.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"offhook up did not start:\n{log.read_text()}")
        time.sleep(0.2)
    addresses: Mapping[str, str] = json.loads(path.read_text())
    return addresses


# ---- traffic


def _import_history(folder: Path, ready_file: Path) -> None:
    """Ended calls of the last days, as captured webhooks: no flow acts on them."""
    folder.mkdir()
    dice = random.Random(11)
    file = folder / "webhooks.jsonl"
    with file.open("wb") as lines:
        for number in range(HISTORY_CALLS):
            for event in _old_call(number, dice):
                lines.write(wire_body(event) + b"\n")
    subprocess.run([OFFHOOK, "import", file, "--ready-file", ready_file], check=True)


def _old_call(number: int, dice: random.Random) -> Iterator[CallEvent]:
    day = datetime.now(UTC) - timedelta(hours=1) - HISTORY * dice.random()
    # More calls in the day than in the night.
    start = day.replace(hour=min(day.hour, int(dice.triangular(0, 23, 14))))
    leg: dict[str, Any] = {
        "call_control_id": f"v3:history-{number}",
        "call_leg_id": f"history-leg-{number}",
        "call_session_id": f"history-{number}",
        "connection_id": "2811212257810187800",
        "from_": "+12025550100",
        "to": dice.choice(("+1202555", "+1312555", "+4930555")) + f"{dice.randrange(10_000):04d}",
        "start_time": start,
    }
    yield CallInitiated(
        event_id=f"history-{number}-1", occurred_at=start, direction="outgoing", **leg
    )
    end, cause, sip = start + timedelta(seconds=dice.uniform(5, 30)), *dice.choice(ENDINGS)
    if dice.random() < 0.72:
        answered = start + timedelta(seconds=dice.triangular(1, 25, 5))
        yield CallAnswered(event_id=f"history-{number}-2", occurred_at=answered, **leg)
        end, cause, sip = (
            answered + timedelta(seconds=dice.expovariate(1 / 140)),
            "normal_clearing",
            "200",
        )
    yield CallHangup(
        event_id=f"history-{number}-3",
        occurred_at=end,
        end_time=end,
        hangup_cause=cause,
        hangup_source="callee",
        sip_hangup_cause=sip,
        **leg,
    )


def _place_calls(ready: Mapping[str, str]) -> dict[str, str]:
    """Live calls; the session of one to a busy desk."""
    dice = random.Random(5)
    sessions = {}
    for number in range(LIVE_CALLS):
        match number % 6:
            case 1:
                caller, called = f"+12025550{dice.randrange(112, 120)}", SUPPORT
            case 3:
                caller, called = dice.choice(("+12025550110", "+12025550111")), BILLING
            case _:
                caller, called = f"+1202555016{dice.choice('1225')}", "+12025550101"
        name = {7: "parked", 13: "refused", 20: "busy"}.get(number, "")
        if name == "parked":
            caller, called = "+12025550199", BILLING
        elif name == "refused":
            caller, called = "+12025550134", "+12025550154"
        elif name == "busy":
            caller, called = "+12025550133", DESK
        body = {
            "from": caller,
            "to": called,
            "connection_id": ready["connection_id"],
            "hangup_after_s": dice.choice((15, 400, 600)),
        }
        answer = httpx.post(f"{ready['simulator']}/simulator/calls", json=body).raise_for_status()
        if name:
            sessions[name] = answer.json()["data"]["call_session_id"]
        time.sleep(0.5)
    return sessions


# ---- pictures


def _take(
    ready: Mapping[str, str], sessions: Mapping[str, str], folder: Path, *, readme: bool
) -> None:
    busy = f"/sessions/{sessions['busy']}"
    paths = {
        "live": "/",
        "session": busy,
        "session-record": f"{busy}?record={_first_record(ready, sessions['busy'])}",
        "session-parked": f"/sessions/{sessions['parked']}",
        "search": "/search?last=1h",
        "search-nothing": "/search?number=%2B999*&flow=none",
        "analytics": "/analytics?last=7d",
        "analytics-asr": "/analytics?last=24h&show=asr&by=flow%2Cflow_version",
        "queues": "/queues",
        "health": "/health",
        "trouble": "/sessions/none",
        "sign-in": "/sign-in",
    }
    found = subprocess.run(["scripts/chromium"], check=True, capture_output=True, text=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.stdout.strip(), args=["--no-sandbox", "--disable-gpu"]
        )
        if readme:  # taken first, while the calls are in all states
            README.mkdir(exist_ok=True)
            page = _signed_in(browser, ready, "light", "readme")
            for name in IN_README:
                _open(page, f"{ready['api']}/console{paths[name]}")
                _grow_to_ladder(page)
                picture = page.screenshot()
                (README / f"{name}.png").write_bytes(with_palette(picture))
        for scheme, size in itertools.product(("light", "dark"), ("wide", "phone")):
            page = _signed_in(browser, ready, scheme, size)
            for name, path in paths.items():
                _open(page, f"{ready['api']}/console{path}")
                page.screenshot(path=folder / f"{name}-{scheme}-{size}.png", full_page=True)
            if size == "phone":
                _open(page, f"{ready['api']}/console/")
                page.get_by_role("button", name="Menu").click()
                page.screenshot(path=folder / f"menu-{scheme}-{size}.png")
            page.context.close()
        browser.close()


def _open(page: Page, url: str) -> None:
    """The page with what a browser leaves out because it is below the window."""
    page.goto(url, wait_until="load")
    page.add_style_tag(content=".later, .slice { content-visibility: visible !important; }")
    if page.locator("#series").count():
        page.locator("#series .main-svg").first.wait_for()
    page.wait_for_timeout(SETTLE_MS)


def _grow_to_ladder(page: Page) -> None:
    """Make the window as high as a ladder and its legend need: the last row would be cut."""
    width, height = SIZES["readme"]
    legend = page.locator(".legend")
    if legend.count() and (box := legend.bounding_box()):
        height = math.ceil(box["y"] + box["height"] + MARGIN_PX)
    page.set_viewport_size({"width": width, "height": height})


def _first_record(ready: Mapping[str, str], session_id: str) -> int:
    headers = {"authorization": f"Bearer {ready['token']}"}
    url = f"{ready['api']}/sessions/{session_id}/timeline"
    found = httpx.get(url, headers=headers).raise_for_status().json()
    return int(found["data"][0]["seq"])


def _signed_in(browser: Browser, ready: Mapping[str, str], scheme: Any, size: str) -> Page:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
    )
    page = context.new_page()
    page.set_default_timeout(SHOWN_MS)
    page.goto(f"{ready['api']}/console/sign-in#token={ready['token']}")
    page.wait_for_url("**/console/")
    return page


if __name__ == "__main__":
    main()
