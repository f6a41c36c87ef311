"""Exports of sessions: the same as the list, without a bound on their number, within others."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from offhook.api.errors import ErrorAnswer
from offhook.api.freshness import Views
from offhook.api.own.csv_cells import cell_of
from offhook.api.own.sessions import exports as exports_module
from offhook.api.own.sessions.exports import COLUMNS, EXPORTS_MAX, Export, Exports, in_turns
from offhook.process.asgi import Message
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.transactions import open_transactions
from offhook.projections.views.progress.waiting import PositionWatch
from offhook.projections.views.search.session_filter import SessionFilter
from tests.api.stack import COMMANDER, READER, Stack, until


@pytest.fixture
async def exports(stack: Stack) -> AsyncIterator[Exports]:
    """What reads exports in an API, in this process."""
    engine = open_database(stack.settings.postgres_url)
    no_log = cast(Any, None)  # an export needs connections alone
    yield Exports(Views(engine, PositionWatch(engine), no_log, _now), _now)
    await engine.dispose()


async def _are_named(exports: Exports) -> bool:
    async with exports._views.connection() as connection:
        opened = await open_transactions(connection, longer_s=0.0)
    return [each.application for each in opened] == ["offhook-api: export"] * EXPORTS_MAX


def _now() -> datetime:
    return datetime.now(UTC)


async def test_an_export_has_what_the_list_has(stack: Stack) -> None:
    connection_id = await stack.connection()
    for _ in range(3):
        await stack.settled((await stack.ring(connection_id))["call_session_id"])
    asked = {"connection_id": connection_id, "number": "+1202*", "status": "active"}
    async with stack.http(READER) as http:
        listed = (await http.get("/sessions", params=asked)).json()["data"]
        lines = await http.get("/sessions.jsonl", params=asked)
        rows = await http.get("/sessions.csv", params=asked)
        older = {"limit": 1, "before_seq": listed[0]["first_seq"]}
        second = await http.get("/sessions.jsonl", params=asked | older)
        nothing = await http.get("/sessions.csv", params={"connection_id": "nobody's"})
        refused = await http.get("/sessions.csv", params={"number": "a*b"})
    assert len(listed) == 3
    assert [json.loads(line) for line in lines.text.splitlines()] == listed
    assert [json.loads(line) for line in second.text.splitlines()] == listed[1:2]
    assert lines.headers["content-type"].startswith("application/jsonl")
    assert rows.headers["content-type"].startswith("text/csv")
    assert rows.headers["content-disposition"] == 'attachment; filename="sessions.csv"'
    found = [*csv.DictReader(io.StringIO(rows.text))]
    assert [*found[0]] == [*listed[0]]
    assert [each["session_id"] for each in found] == [each["session_id"] for each in listed]
    assert found[0]["from_number"] == listed[0]["from_number"]
    assert found[0]["started_at"] == listed[0]["started_at"]
    assert found[0]["ended_at"] == cell_of(listed[0]["ended_at"]) == ""
    assert nothing.text.splitlines() == [",".join(COLUMNS)]
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["source"] == {"parameter": "number"}


async def test_exports_at_the_same_time_are_bounded(stack: Stack, exports: Exports) -> None:
    await stack.session((await stack.ring())["call_session_id"])
    begun = [await exports.begun(SessionFilter(), None, None) for _ in range(EXPORTS_MAX)]
    with pytest.raises(ErrorAnswer) as refused:
        await exports.begun(SessionFilter(), None, None)
    assert refused.value.status == 429
    await until(lambda: _are_named(exports), "the exports in the list of open transactions")
    await begun[0].others.aclose()
    begun.append(await exports.begun(SessionFilter(), None, None))
    for each in begun:
        await each.others.aclose()


async def test_an_export_whose_client_has_gone_gives_back_its_connection(
    stack: Stack, exports: Exports
) -> None:
    await stack.session((await stack.ring())["call_session_id"])

    async def never_read() -> AsyncIterator[bytes]:
        yield b""

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def lost(_: Message) -> None:
        raise OSError

    for _ in range(EXPORTS_MAX + 1):
        found = await exports.begun(SessionFilter(), None, None)
        export = Export(found, cast(Any, never_read()), "text/csv", "sessions.csv")
        await export({"type": "http", "asgi": {"spec_version": "2.4"}}, gone, lost)


async def test_an_export_that_is_cut_off_ends_without_its_last_chunk(
    exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By that a client knows: curl ends with 18, and a browser reports it."""
    monkeypatch.setattr(exports_module, "EXPORT_S_MAX", 0.1)
    sent: list[Message] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"a line\n"
            await asyncio.sleep(0.01)

    async def still_there() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def noted(message: Message) -> None:
        sent.append(message)

    found = await exports.begun(SessionFilter(), None, None)
    export = Export(found, cast(Any, endless()), "text/csv", "sessions.csv")
    with pytest.raises(TimeoutError):  # then the server closes the connection
        await export({"type": "http", "asgi": {"spec_version": "2.4"}}, still_there, noted)
    assert sent[0]["type"] == "http.response.start"
    assert all(each["more_body"] for each in sent[1:])


async def test_other_requests_have_their_turn_during_an_export(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows that were fetched come without a pause: hundreds in a row kept commands waiting."""
    monkeypatch.setattr(exports_module, "BUSY_S_MAX", 0.0)
    seen: list[Any] = []
    turns = 0

    async def fetched() -> AsyncIterator[Any]:
        for number in range(10):
            yield number

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async for each in in_turns(fetched()):
        seen.append(each)
    task.cancel()
    assert seen == list(range(10))
    assert turns >= len(seen)


async def test_an_export_needs_the_scope_of_reading(stack: Stack) -> None:
    async with stack.http(None) as http:
        assert (await http.get("/sessions.csv")).status_code == 401
    async with stack.http(COMMANDER) as http:
        assert (await http.get("/sessions.jsonl", params={"limit": 1})).status_code == 200
