"""The console in a real browser: how far the live page is behind, and how soon a page has content.

    python -m bench.console [--calls 2000] [--rate 200] [--seconds 30] [--visits 15]
        [--records 151,10000]

Real NATS, Postgres, projector and API, and Chromium without a window. `--calls` are up; then
records are appended in an open loop: of every 20, one begins a call, one ends a shown call, one is
a webhook of a shown call, and the others are webhooks of calls that are not shown. The delay is
from before the append to the change of the row in the document. `frames` are the times between two
animation frames meanwhile: 16.7 ms is fluent.

First content is the browser's own first-contentful-paint of each page of the menu, and of sessions
with so many `--records`, with the calls up and nothing appended; the first visit is left out. It
may be the bar alone: `data` is the paint of the first row, figure or sentence that the API was
asked for, by the browser's element timing.
"""

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright
from rich.console import Console
from rich.table import Table

from bench.console.calls import Load
from bench.setting.children import role
from bench.setting.machine import describe, hold_collections, median, percentile
from offhook.api.console.app import PAGES
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.settings import Settings

TOKEN = "bench"
SETTLE_S = 4.0
LOOK_S = 1.0
"""From a visit to the next one: a page goes on loading what it needs after its first content."""

PROJECTED_MS = 60_000.0

console = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.console")
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--visits", type=int, default=15)
    parser.add_argument("--records", default="151,10000")
    chosen = parser.parse_args()
    console.print(describe("bench.console"), highlight=False)
    chromium = subprocess.run(["scripts/chromium"], check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        postgres = stack.enter_context(PostgresServer(folder / "postgres"))
        nats = stack.enter_context(NatsServer(folder / "nats"))
        settings = Settings(
            nats_url=nats.url,
            nats_monitor_urls=(nats.monitor_url,),
            postgres_url=postgres.create_database("console"),
            projector_port=0,
            api_port=0,
            api_tokens=(f"admin:{TOKEN}",),
        )
        prepare(settings)
        stack.enter_context(role("projections", settings, folder / "projector.log"))
        api = stack.enter_context(role("api", settings, folder / "api.log"))
        measurement = _Measurement(
            settings,
            chosen,
            url=f"http://127.0.0.1:{api.port}",
            cpu_s=api.cpu_s,
            chromium=chromium.stdout.strip(),
        )
        asyncio.run(measurement.run())


class _Measurement:
    """One run against the started roles."""

    def __init__(
        self,
        settings: Settings,
        chosen: argparse.Namespace,
        *,
        url: str,
        cpu_s: Callable[[], float],
        chromium: str,
    ) -> None:
        self._chromium = chromium
        self._settings = settings
        self._chosen = chosen
        self._url = url
        self._cpu_s = cpu_s

    async def run(self) -> None:
        client = await connect(self._settings.nats_url, "bench")
        self._load = Load(JetStreamLog(client))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=self._chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            context = await browser.new_context(viewport={"width": 1440, "height": 900})
            page = await context.new_page()
            await self._load.place(self._chosen.calls)
            await self._first_content(page)
            await self._delays(page)
            await browser.close()
        await close(client)

    # ---- first content

    async def _first_content(self, page: Page) -> None:
        found = Table(title="navigation → first content, ms", title_justify="left")
        for column in (
            "page",
            "first byte p50",
            "content p50",
            "content max",
            "data p50",
            "data max",
        ):
            found.add_column(column, justify="right")
        await page.add_init_script(_TIME_DATA)
        await page.goto(f"{self._url}/console/sign-in#token={TOKEN}")
        placed = f"{self._chosen.calls:,}"
        active = page.locator("#tiles .value").first
        await active.filter(has_text=placed).wait_for(timeout=PROJECTED_MS)
        pages = {page.in_menu: page.path for page in PAGES if page.in_menu}
        for count in (int(each) for each in self._chosen.records.split(",") if each):
            session_id = await self._load.ended_session(count)
            path = pages[f"a session, {count:,} records"] = f"/sessions/{session_id}"
            await page.goto(f"{self._url}/console{path}")
            await page.locator(".call-title", has_text="ended").wait_for(timeout=PROJECTED_MS)
        for name, path in pages.items():
            visits = []
            for _ in range(self._chosen.visits + 1):
                await page.goto(f"{self._url}/console{path}", wait_until="load")
                visits.append(await page.evaluate(_PAINT))
                await asyncio.sleep(LOOK_S)
            firsts, paints, data = zip(*visits[1:], strict=True)
            values = (median(firsts), median(paints), max(paints), median(data), max(data))
            found.add_row(name, *(f"{value:.0f}" for value in values))
        console.print(found)

    # ---- delays

    async def _delays(self, page: Page) -> None:
        await page.goto(f"{self._url}/console/")
        await page.wait_for_selector("#stream.active")
        await page.evaluate(_OBSERVE)
        hold_collections()
        cpu_before, began_at = self._cpu_s(), time.perf_counter()
        tasks = []
        for number in range(int(self._chosen.rate * self._chosen.seconds)):
            due_at = began_at + number / self._chosen.rate
            if (wait_s := due_at - time.perf_counter()) > 0.001:
                await asyncio.sleep(wait_s)
            tasks.append(asyncio.create_task(self._load.append(number)))
        await asyncio.gather(*tasks)
        took_s = time.perf_counter() - began_at
        used = (self._cpu_s() - cpu_before) / took_s
        await asyncio.sleep(SETTLE_S)
        seen, frames = await page.evaluate("[window.benchSeen, window.benchFrames]")
        self._print(seen, frames, used, len(tasks) / took_s)

    def _print(self, seen: list[list[Any]], frames: list[float], used: float, rate: float) -> None:
        observed: dict[tuple[str, str], list[float]] = {}
        for row_id, kind, at_ms in seen:
            observed.setdefault((row_id.removeprefix("call-"), kind), []).append(at_ms / 1000)
        found = Table(
            title=f"append → change on the page, ms; {rate:.0f} records/s, "
            f"{self._chosen.calls:,} calls up",
            title_justify="left",
        )
        for column in ("a call", "changes", "p50", "p99", "max", "not seen"):
            found.add_column(column, justify="right")
        for kind in ("begins", "changes", "ends"):
            wanted = [each for each in self._load.appended if each.kind == kind]
            delays = []
            for each in wanted:
                times = observed.get((each.session_id, kind), [])
                if (at := next((at for at in times if at >= each.at), None)) is not None:
                    delays.append((at - each.at) * 1000)
            found.add_row(
                kind,
                str(len(wanted)),
                *(f"{percentile(delays, percent):.0f}" for percent in (50, 99, 100)),
                str(len(wanted) - len(delays)),
            )
        console.print(found)
        p50, p99 = percentile(frames, 50), percentile(frames, 99)
        console.print(
            f"frames: p50 {p50:.1f}, p99 {p99:.1f}, max {max(frames):.1f} ms; "
            f"the API used {used:.2f} of a core",
            highlight=False,
        )


_PAINT = """async () => {
  const painted = () => performance.getEntriesByName("first-contentful-paint")[0];
  while (!painted() || !window.benchData) await new Promise((done) => setTimeout(done, 5));
  const { responseStart } = performance.getEntriesByType("navigation")[0];
  return [responseStart, painted().startTime, window.benchData];
}"""

_TIME_DATA = """(() => {
  new PerformanceObserver((found) => {
    window.benchData ??= found.getEntries().find((each) => each.identifier === "data")?.renderTime;
  }).observe({ type: "element", buffered: true });
  const parsed = new MutationObserver(() => {
    const data = document.querySelector("#main :is(.why span, .tile .value, tbody td)");
    if (!data) return;
    data.setAttribute("elementtiming", "data");
    parsed.disconnect();
  });
  parsed.observe(document, { childList: true, subtree: true });
})()"""

_OBSERVE = """() => {
  window.benchSeen = [];
  window.benchFrames = [];
  const saw = (row, kind) => row.id && window.benchSeen.push([row.id, kind, Date.now()]);
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "attributes") saw(change.target, "changes");
      for (const row of change.addedNodes) saw(row, "begins");
      for (const row of change.removedNodes) saw(row, "ends");
    }
  }).observe(document.getElementById("rows"), {
    childList: true, subtree: true, attributes: true, attributeFilter: ["data-version"],
  });
  let last = performance.now();
  const frame = (at) => {
    window.benchFrames.push(at - last);
    last = at;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


if __name__ == "__main__":
    main()
