"""Liveness, readiness and metrics, of which anybody may ask as often as he likes."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.routing import Mount

from offhook.process import health
from offhook.process.health import Readiness, health_routes


def client(ready: Callable[[], Awaitable[str]], *, metrics_token: str = "") -> httpx.AsyncClient:
    registry = CollectorRegistry()
    Counter("asked", "Something to show.", registry=registry).inc()
    routes = health_routes(Readiness(ready), registry, metrics_token=metrics_token)
    app = Starlette(routes=[Mount(path, app=endpoint) for path, endpoint in routes])
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://role", follow_redirects=True
    )


async def test_who_asks_at_once_shares_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each opened a connection to Postgres: 150 clients took all that it has."""
    monkeypatch.setattr(health, "READY_FOR_S", 3600.0)
    checks = running = most = 0
    because = "the log is away"

    async def ready() -> str:
        nonlocal checks, running, most
        checks, running = checks + 1, running + 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return because

    async with client(ready) as http:
        answers = await asyncio.gather(*(http.get("/health/ready") for _ in range(150)))
        assert (checks, most) == (1, 1)
        assert {answer.status_code for answer in answers} == {503}
        assert answers[0].json() == {"ready": False, "because": "the log is away"}
        because = ""
        assert (await http.get("/health/ready")).status_code == 503  # still the same answer
        assert checks == 1


async def test_an_answer_is_given_again_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "READY_FOR_S", 0.01)
    reasons = iter(["the log is away", ""])

    async def ready() -> str:
        return next(reasons)

    async with client(ready) as http:
        assert (await http.get("/health/ready")).status_code == 503
        await asyncio.sleep(0.02)
        assert (await http.get("/health/ready")).status_code == 200


async def test_one_who_leaves_does_not_end_the_check_of_the_others() -> None:
    going_on = asyncio.Event()

    async def ready() -> str:
        await going_on.wait()
        return ""

    async with client(ready) as http:
        first = asyncio.create_task(http.get("/health/ready"))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(http.get("/health/ready"))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.wait([first])
        going_on.set()
        assert (await second).status_code == 200


async def test_a_check_that_fails_or_never_ends_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "READY_FOR_S", 0.0)
    monkeypatch.setattr(health, "READY_TIMEOUT_S", 0.05)

    async def broken() -> str:
        raise ValueError("unforeseen")

    async def endless() -> str:
        await asyncio.Event().wait()
        return ""

    for ready, words in ((broken, "unforeseen"), (endless, "did not end within 0.05 s")):
        async with client(ready) as http:
            for _ in range(2):
                answer = await http.get("/health/ready")
                assert answer.status_code == 503
                assert words in answer.json()["because"]


async def test_metrics_ask_for_their_token_where_there_is_one() -> None:
    async def ready() -> str:
        return ""

    async with client(ready) as http:
        assert "asked_total 1.0" in (await http.get("/metrics")).text
    async with client(ready, metrics_token="let-me-see") as http:
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "let-me-see"}):
            answer = await http.get("/metrics", headers=given)
            assert answer.status_code == 401
            assert "asked" not in answer.text
        answer = await http.get("/metrics", headers={"authorization": "Bearer let-me-see"})
        assert "asked_total 1.0" in answer.text
        for path in ("/health/live", "/health/ready"):
            assert (await http.get(path)).status_code == 200
