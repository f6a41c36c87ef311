"""A session's records, and what it was after any of them."""

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.codec.facts import Encoded
from offhook.errors import RecordUnreadable
from offhook.events import CommandSucceeded, Decided, UnknownEvent
from offhook.jetstream.log import JetStreamLog
from offhook.position import BIGINT_MAX
from offhook.projections.projector import deliveries
from offhook.projections.projector.project import Projector
from offhook.projections.views.past import timeline
from offhook.projections.views.past.session_as_of import read_session_as_of
from offhook.projections.views.past.timeline import read_timeline
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from offhook.projections.views.sessions import read_session
from tests.projections.story import (
    NOON,
    Entry,
    call,
    caught_up,
    fact,
    progress_at_end,
    projecting,
    publish,
    request_of,
    webhook,
)


async def test_a_session_as_it_was(projected: int, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        now = await read_session(connection, "s1")
        assert now is not None
        assert await read_session_as_of(connection, "s1", projected) == now
        first = now.session.first_seq
        before = await read_session_as_of(connection, "s1", first)
        assert before is not None
        assert (before.session.status, len(before.legs), before.commands) == ("active", 1, [])
        assert await read_session_as_of(connection, "s1", first - 1) is None


async def test_a_timeline_is_the_log_of_the_session(projected: int, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        entries = (await read_timeline(connection, "s1")).entries
        assert len(entries) == len(call("s1"))
        assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)
        assert entries[0].fields["event_type"] == "call.initiated"
        assert entries[1].fields["commands"][0]["operation"] == "answer"
        rest = (await read_timeline(connection, "s1", after_seq=entries[4].seq, limit=2)).entries
        assert rest == entries[5:7]
        page = await read_timeline(connection, "s1", before_seq=entries[4].seq, limit=2)
        assert (page.entries, page.has_more) == (entries[2:4], True)
        last = await read_timeline(connection, "s1", before_seq=BIGINT_MAX, limit=3)
        assert (last.entries, last.has_more) == (entries[-3:], False)


async def test_a_page_of_a_timeline_has_a_bound_in_bytes(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [
        UnknownEvent(event_type="call.said", event_id=str(number), payload={"text": "x" * 40_000})
        for number in range(5)
    ]
    await publish(log, [webhook("s", event) for event in said])
    monkeypatch.setattr(timeline, "TIMELINE_BYTES_MAX", 100_000)
    monkeypatch.setattr(deliveries, "BATCH_BYTES_MAX", 100_000)
    async with projecting(Projector(client, engine)) as projector:
        assert (await progress_at_end(client, projector)).batches >= 3
    pages = []
    async with engine.connect() as connection:
        after_seq, has_more = 0, True
        while has_more:
            page = await read_timeline(connection, "s", after_seq=after_seq)
            pages.append(len(page.entries))
            after_seq, has_more = page.entries[-1].seq, page.has_more
        assert pages == [3, 2]
        last = await read_timeline(connection, "s", limit=5)
        assert (len(last.entries), last.has_more) == (3, True)
        monkeypatch.setattr(timeline, "TIMELINE_BYTES_MAX", 1_000_000)
        for limit, has_more in ((4, True), (5, False), (6, False)):
            page = await read_timeline(connection, "s", limit=limit)
            assert (len(page.entries), page.has_more) == (min(limit, 5), has_more)


async def test_a_timeline_has_the_dial_that_placed_the_call(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    request = request_of("desk")
    decided = Decided(
        cause_seq=1, cause_id="x", flow="api", flow_version="1", worker="w", lease_s=3.0,
        commands=(request.command,),
    )  # fmt: skip
    answer = {"data": {"call_session_id": "placed"}}
    await publish(
        log,
        [
            fact("desk", request, "in"),
            fact("desk", decided),
            fact("desk", CommandSucceeded(command_id="desk-dial", answer=answer)),
            fact("desk", CommandSucceeded(command_id="something-else")),
            *call("placed"),
        ],
    )
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        entries = (await read_timeline(connection, "placed")).entries
    types = [entry.type for entry in entries]
    assert types[:4] == ["CommandRequested", "Decided", "CommandSucceeded", "WebhookReceived"]
    assert len(entries) == 3 + len(call("placed"))


async def test_an_unreadable_record_is_in_the_timeline_and_marks_the_session(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    unheard = Encoded(type="Unheard", version=3, fact_id="", body=b"{}")
    await publish(log, [*call("s")[:2], Entry(session_id="s", side="out", encoded=unheard)])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        entries = (await read_timeline(connection, "s")).entries
        assert (entries[-1].type, entries[-1].fields) == ("Unheard", {})
        assert "Unheard" in entries[-1].error
        [session] = await list_sessions(connection, SessionFilter(), limit=10, now=NOON)
        assert "Unheard" in str(session.fold_error)
        with pytest.raises(RecordUnreadable, match="Unheard"):
            await read_session_as_of(connection, "s", 3)
