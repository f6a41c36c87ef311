"""Errors that no request should meet, in the carrier's shape all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI, Request
from nats.aio.client import Client
from starlette.types import Message

from offhook.api.app import application
from offhook.api.auth import tokens_from
from offhook.api.errors import ErrorAnswer, install, parameter_invalid
from offhook.api.freshness import Views
from offhook.api.own.sessions.sessions import sessions_router
from offhook.api.telnyx.bodies import body_of
from offhook.errors import ArchiveUnreadable, LogUnavailable, ParameterInvalid
from offhook.jetstream.lookup import StreamLookup
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.progress.waiting import PositionWatch


@asynccontextmanager
async def refusing_postgres(sqlstate: str) -> AsyncIterator[int]:
    """A server that lets nobody in; its port."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = f"SFATAL\0VFATAL\0C{sqlstate}\0Mnobody is let in\0\0".encode()
        try:
            await reader.read(1024)
            writer.write(b"N")  # no TLS
            await reader.read(1024)
            writer.write(b"E" + (len(said) + 4).to_bytes(4) + said)
        finally:
            writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("with_docs", "status"), [(True, 200), (False, 404)])
async def test_the_documentation_can_be_turned_off(with_docs: bool, status: int) -> None:
    app = application(with_docs=with_docs)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://api"
    ) as client:
        for path in ("/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == status
        assert (await client.get("/redoc")).status_code == 404


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [("57P03", 503), ("53300", 503), ("3D000", 500)],  # it starts; too many; no such database
)
async def test_what_postgres_says_passes_or_not(sqlstate: str, status: int) -> None:
    async with refusing_postgres(sqlstate) as port, api(port) as client:
        response = await client.get("/sessions")
    assert response.status_code == status


@pytest.fixture
async def http(free_port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with api(free_port) as client:
        yield client


@asynccontextmanager
async def api(postgres_port: int) -> AsyncIterator[httpx.AsyncClient]:
    """An API without Postgres, and with endpoints that fail."""
    engine = open_database(f"postgresql://postgres@127.0.0.1:{postgres_port}/nothing")
    views = Views(engine, PositionWatch(engine), StreamLookup(Client()), lambda: datetime.now(UTC))
    app = FastAPI()
    app.include_router(
        sessions_router(tokens=tokens_from(["read:r"]), views=views, now=lambda: datetime.now(UTC))
    )
    install(app)

    @app.api_route("/mistake", methods=["GET", "POST"])
    async def mistake() -> None:
        raise AssertionError("our own")

    @app.get("/archive")
    async def archive() -> None:
        raise ArchiveUnreadable("session s is archived, and its file cannot be read: x")

    @app.get("/log")
    async def log() -> None:
        raise LogUnavailable("no acknowledgement in 8 s")

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://api",
        headers={"authorization": "Bearer r"},
    ) as client:
        yield client
    await engine.dispose()


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/mistake", 500, "unexpected"),
        ("/log", 503, "no acknowledgement in 8 s"),
        ("/archive", 503, "The archive cannot be read: session s is archived"),
        ("/sessions", 503, "Postgres does not answer"),
        ("/sessions/x", 503, "Postgres does not answer"),
    ],
)
async def test_what_is_not_the_callers_fault(
    http: httpx.AsyncClient, path: str, status: int, told: str
) -> None:
    response = await http.get(path)
    assert response.status_code == status
    (error,) = response.json()["errors"]
    assert error["code"] == "10007"
    assert told in error["detail"]
    assert "our own" not in response.text


async def test_only_what_changes_nothing_may_be_repeated_after_a_mistake(
    http: httpx.AsyncClient,
) -> None:
    assert "x-should-retry" not in (await http.get("/mistake")).headers
    assert (await http.post("/mistake")).headers["x-should-retry"] == "false"


async def test_the_connection_that_is_dropped_after_a_mistake_is_not_used_again(
    http: httpx.AsyncClient,
) -> None:
    assert (await http.get("/mistake")).headers["connection"] == "close"


@pytest.mark.parametrize(
    ("inside", "pointer"),
    [
        ("", "/to"),
        ("[1]", "/to/1"),
        (".type", "/to/type"),
        ("[1].targets[0].to", "/to/1/targets/0/to"),
    ],
)
def test_a_wrong_parameter_is_pointed_at_in_the_body(inside: str, pointer: str) -> None:
    invalid = ParameterInvalid("dial", "to", "110", "expected a number in E.164", inside=inside)
    (error,) = parameter_invalid(invalid).errors
    assert error["source"] == {"pointer": pointer}
    assert error["code"] == "10016"


@pytest.mark.parametrize("said", ["nothing", "goodbye"])
async def test_a_body_that_never_ends(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.api.telnyx.bodies.BODY_TIMEOUT_S", 0.01)
    parts: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}]
    if said == "goodbye":
        parts.append({"type": "http.disconnect"})

    async def receive() -> Message:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop(0)

    with pytest.raises(ErrorAnswer) as raised:
        await body_of(Request({"type": "http", "method": "POST"}, receive))
    assert raised.value.status == (400 if said == "goodbye" else 408)
