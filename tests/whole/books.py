"""The end of a run: calls over, webhooks delivered, views caught up; then the verdict."""

import asyncio
import sys
import time
from typing import Any

import httpx

from offhook.cli.demo.verdict import Verdict, verdict
from offhook.projections.views.database.engine import open_database

QUIET_TIMEOUT_S = 120.0
VIEWS_TIMEOUT_S = 180.0


async def books_when_quiet(simulator_url: str) -> dict[str, Any]:
    """The carrier's books, once no leg is up and no webhook is on its way.

    Fails if nothing changes for QUIET_TIMEOUT_S.
    """
    deadline, before = time.monotonic() + QUIET_TIMEOUT_S, None
    async with httpx.AsyncClient(base_url=simulator_url, timeout=60) as http:
        while True:
            # The books of a long run are large: they are asked for once the calls are over.
            health = (await http.get("/simulator/health")).raise_for_status().json()
            pending: Any = "not asked for yet"
            if not health["live_legs"]:
                books: dict[str, Any] = (await http.get("/simulator/effects")).json()
                pending = books["webhooks"]["pending"]
                if not pending:
                    return books
            if before != (before := (health["live_legs"], pending)):
                deadline = time.monotonic() + QUIET_TIMEOUT_S
            assert time.monotonic() < deadline, f"{health['live_legs']} legs up, pending: {pending}"
            await asyncio.sleep(0.25)


async def settled_verdict(postgres_url: str, books: dict[str, Any]) -> Verdict:
    """Once it is clean; else what it is when the views have had their time."""
    engine = open_database(postgres_url)
    deadline = time.monotonic() + VIEWS_TIMEOUT_S
    try:
        while True:
            found = await verdict(engine, books)
            if found.is_clean or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.5)
    finally:
        await engine.dispose()


def say(line: str) -> None:
    """Shown by `pytest -s`, and beside a failure."""
    sys.stdout.write(f"{line}\n")


def said(found: Verdict) -> str:
    """The verdict in a line."""
    return (
        f"{found.calls} calls, {found.events} webhooks, {found.commands} commands: "
        f"{len(found.lost)} lost, {len(found.doubled)} doubled"
    )
