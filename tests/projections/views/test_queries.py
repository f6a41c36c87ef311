"""What the API reads off the views."""

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.codec import Encoded
from offhook.errors import RecordUnreadable
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CommandFailed,
    CommandSucceeded,
    Decided,
    UnknownEvent,
)
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector import deliveries
from offhook.projections.projector.project import Projector
from offhook.projections.views import history
from offhook.projections.views.checkpoint import read_checkpoint
from offhook.projections.views.commands import read_commands
from offhook.projections.views.history import read_session_as_of, read_timeline
from offhook.projections.views.legs import list_active_legs, read_leg
from offhook.projections.views.sessions import SessionFilter, list_sessions, read_session
from offhook.projections.views.waiting import PositionWatch
from tests.projections.story import (
    NOON,
    TIMEOUT_S,
    Entry,
    call,
    caught_up,
    dial_of,
    events_of,
    fact,
    last_seq,
    projecting,
    publish,
    request_of,
    webhook,
)


@pytest.fixture
async def projected(client: Client, log: JetStreamLog, engine: AsyncEngine) -> int:
    """The last seq, with calls s0 to s4 in the views; s4 is still up."""
    for number in range(4):
        await publish(log, call(f"s{number}"))
    await publish(log, call("s4")[:6])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    return await last_seq(client)


async def test_a_session_with_its_legs_and_commands(projected: int, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = await read_session(connection, "s1")
        assert found is not None
        assert found.session.status == "ended"
        assert found.session.fold_error is None
        assert [leg.call_control_id for leg in found.legs] == ["v3:s1", "v3:s1-2"]
        assert [command.operation for command in found.commands] == ["answer", "hangup"]
        assert found.commands[0].answer == {"data": {"result": "ok"}}
        assert await read_session(connection, "unheard-of") is None


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


async def test_sessions_come_newest_first_page_by_page(projected: int, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        page = await list_sessions(connection, SessionFilter(), limit=3, now=NOON)
        assert [session.session_id for session in page] == ["s4", "s3", "s2"]
        page = await list_sessions(
            connection, SessionFilter(), limit=3, now=NOON, before_seq=page[-1].first_seq
        )
        assert [session.session_id for session in page] == ["s1", "s0"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (SessionFilter(status="active"), 1),
        (SessionFilter(status="ended", connection_id="connection-1"), 4),
        (SessionFilter(connection_id="another"), 0),
        (SessionFilter(from_number="+12025550100", to_number="+12025550101"), 5),
        (SessionFilter(to_number="+12025550100"), 0),
        (SessionFilter(from_number="1-202-555-0100", to_number="12025550101"), 5),
        (SessionFilter(started_from=NOON), 5),
        (SessionFilter(started_from=NOON + timedelta(seconds=1)), 0),
        (SessionFilter(started_before=NOON), 0),
    ],
)
async def test_sessions_by_what_they_have_in_common(
    projected: int, engine: AsyncEngine, wanted: SessionFilter, found: int
) -> None:
    async with engine.connect() as connection:
        assert len(await list_sessions(connection, wanted, limit=250, now=NOON)) == found


async def test_a_timeline_is_the_log_of_the_session(projected: int, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        entries = (await read_timeline(connection, "s1")).entries
        assert len(entries) == len(call("s1"))
        assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)
        assert entries[0].fields["event_type"] == "call.initiated"
        assert entries[1].fields["commands"][0]["operation"] == "answer"
        rest = (await read_timeline(connection, "s1", after_seq=entries[4].seq, limit=2)).entries
        assert rest == entries[5:7]


async def test_a_page_of_a_timeline_has_a_bound_in_bytes(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [
        UnknownEvent(event_type="call.said", event_id=str(number), payload={"text": "x" * 40_000})
        for number in range(5)
    ]
    await publish(log, [webhook("s", event) for event in said])
    monkeypatch.setattr(history, "TIMELINE_BYTES_MAX", 100_000)
    monkeypatch.setattr(deliveries, "BATCH_BYTES_MAX", 100_000)
    async with projecting(Projector(client, engine)) as projector:
        await caught_up(client, engine)
        assert projector.progress.batches >= 3
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
        monkeypatch.setattr(history, "TIMELINE_BYTES_MAX", 1_000_000)
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


async def test_a_call_that_was_dialled_is_known_from_the_answer_alone(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await publish(log, dial_of("asked", "placed"))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        leg = await read_leg(connection, "v3:placed")
        assert leg is not None
        assert (leg.session_id, leg.state, leg.direction) == ("placed", "initiated", "outgoing")
        assert (leg.to_number, leg.ended_at) == ("+12025550102", None)
        active = await list_active_legs(connection, "connection-1", now=NOON, limit=10)
        assert [each.call_control_id for each in active.legs] == ["v3:placed"]


@pytest.mark.parametrize("known", [True, False], ids=["now", "recorded before"])
async def test_a_dial_and_the_call_it_placed_are_one_session_by_either_id(
    client: Client, log: JetStreamLog, engine: AsyncEngine, known: bool
) -> None:
    await publish(log, [*call("s0"), *dial_of("asked", "placed", known=known), *call("placed")])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        listed = await list_sessions(connection, SessionFilter(), limit=10, now=NOON)
        assert [session.session_id for session in listed] == ["placed", "s0"]
        assert len((await read_timeline(connection, "s0")).entries) == len(call("s0"))
        one, other = [await read_session(connection, each) for each in ("asked", "placed")]
        assert one == other
        assert one is not None
        assert (one.session.session_id, len(one.legs)) == ("placed", 2)
        assert {each.operation for each in one.commands} == {"dial", "answer", "hangup"}
        (dial,) = [each for each in one.commands if each.operation == "dial"]
        assert (dial.session_id, dial.answer_session_id) == ("asked", "placed")
        timeline = (await read_timeline(connection, "asked")).entries
        assert timeline == (await read_timeline(connection, "placed")).entries
        latest = timeline[-1].seq
        for session_id in ("asked", "placed"):
            as_of = await read_session_as_of(connection, session_id, latest)
            assert as_of is not None
            assert (as_of.legs, as_of.commands) == (one.legs, one.commands)
        # Before it had placed the call, the dial was all there was.
        requested = await read_session_as_of(connection, "asked", timeline[0].seq)
        assert requested is not None
        assert [each.status for each in requested.commands] == ["requested"]
        assert await read_session_as_of(connection, "placed", timeline[0].seq) is None


async def test_what_is_no_call_is_listed_only_by_its_status(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    request = request_of("refused")
    failed = CommandFailed(
        command_id=request.command.command_id, operation="dial", reason="refused", http_status=422
    )
    await publish(log, [*call("s"), fact("refused", request, "in"), fact("refused", failed)])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        listed = await list_sessions(connection, SessionFilter(), limit=10, now=NOON)
        assert [session.session_id for session in listed] == ["s"]
        wanted = SessionFilter(status="empty")
        empty = await list_sessions(connection, wanted, limit=10, now=NOON)
        assert [session.session_id for session in empty] == ["refused"]
        alone = await read_session(connection, "refused")
        assert alone is not None
        assert [each.status for each in alone.commands] == ["failed"]


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


async def test_commands_and_legs_by_their_ids(projected: int, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        [command] = await read_commands(connection, "s2-answer")
        assert (command.session_id, command.status) == ("s2", "succeeded")
        assert await read_commands(connection, "unheard-of") == []
        leg = await read_leg(connection, "v3:s2")
        assert leg is not None
        assert (leg.session_id, leg.state, leg.talk_s) == ("s2", "ended", 57.0)
        assert await read_leg(connection, "unheard-of") is None


async def test_a_leg_that_is_told_of_in_several_sessions_is_active_once_or_not(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    """As where its later events lack the session, and have one of their own each."""
    legs: list[dict[str, Any]] = [
        {"call_control_id": f"v3:{name}", "connection_id": "connection-1", "occurred_at": NOON}
        for name in ("up", "over")
    ]
    for leg in legs:
        name = leg["call_control_id"]
        begun = CallInitiated(event_id=f"1-{name}", call_session_id="s", **leg)
        answered = CallAnswered(event_id=f"2-{name}", **leg)
        await publish(log, [webhook("s", begun), webhook(f"of-its-own-{name[3:]}", answered)])
    ended = CallHangup(event_id="3", **legs[1])
    await publish(log, [webhook("of-its-own-too", ended)])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        found = await list_active_legs(connection, "connection-1", now=NOON, limit=9)
    assert [(leg.call_control_id, leg.state) for leg in found.legs] == [("v3:up", "answered")]
    assert found.total == 1


async def test_active_legs_by_offset_and_by_cursor(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    names = [f"s{number}" for number in range(7)]
    await publish(log, [webhook(name, events_of(name)[0]) for name in names])
    await publish(log, call("over"))
    elsewhere = CallInitiated(
        event_id="e", call_control_id="v3:e", connection_id="another", occurred_at=NOON
    )
    await publish(log, [webhook("elsewhere", elsewhere)])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)

    async def page(**position: object) -> tuple[list[str], int, bool]:
        async with engine.connect() as connection:
            found = await list_active_legs(connection, "connection-1", now=NOON, **position)  # type: ignore[arg-type]
        return [leg.session_id for leg in found.legs], found.total, found.has_more

    assert await page(limit=3) == (["s0", "s1", "s2"], 7, True)
    assert await page(limit=3, offset=6) == (["s6"], 7, False)
    assert await page(limit=3, after="v3:s2") == (["s3", "s4", "s5"], 7, True)
    assert await page(limit=3, before="v3:s3") == (["s0", "s1", "s2"], 7, False)
    assert await page(limit=2, before="v3:s3") == (["s1", "s2"], 7, True)


async def test_readers_wait_until_the_views_have_a_record(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    async with PositionWatch(engine) as watch, projecting(Projector(client, engine)):
        waiting = [asyncio.create_task(watch.wait_for(seq, TIMEOUT_S)) for seq in range(1, 14)]
        await publish(log, call("s"))
        reached = await asyncio.gather(*waiting)
        assert all(position >= seq for seq, position in enumerate(reached, start=1))
        assert watch.seq == len(call("s"))
        async with asyncio.timeout(TIMEOUT_S):
            assert await watch.wait_for(1000, 0.1) == watch.seq


async def test_a_watch_hears_of_views_that_were_emptied(
    projected: int, engine: AsyncEngine
) -> None:
    """Or it would say of them that they have everything, until they are filled again."""
    async with PositionWatch(engine) as watch:
        assert await watch.wait_for(projected, TIMEOUT_S) == projected
        async with engine.begin() as connection:
            await connection.execute(text("truncate checkpoint"))
        async with asyncio.timeout(TIMEOUT_S):
            while watch.seq:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_watch_survives_its_connection(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    async with PositionWatch(engine) as watch, projecting(Projector(client, engine)):
        await publish(log, call("a"))
        assert await watch.wait_for(1, TIMEOUT_S) >= 1
        async with engine.connect() as connection:
            await connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        await publish(log, call("b"))
        wanted = await last_seq(client)
        assert await watch.wait_for(wanted, TIMEOUT_S) == wanted


async def test_a_watch_survives_a_connection_that_breaks_before_it_listens(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, broken = asyncpg.Connection.add_listener, 0

    async def break_first(connection: asyncpg.Connection, *channel: Any) -> None:
        nonlocal broken
        broken += 1
        if broken == 1:
            connection.terminate()
        await listen(connection, *channel)

    monkeypatch.setattr(asyncpg.Connection, "add_listener", break_first)
    async with PositionWatch(engine) as watch, projecting(Projector(client, engine)):
        await publish(log, call("a"))
        wanted = await last_seq(client)
        assert await watch.wait_for(wanted, TIMEOUT_S) == wanted
    assert broken == 2


async def test_the_checkpoint_tells_how_far_and_how_fast(
    projected: int, engine: AsyncEngine
) -> None:
    async with engine.connect() as connection:
        found = await read_checkpoint(connection, PROJECTOR)
    assert found is not None
    assert found.seq == projected
    assert 0 <= found.lag_ms < 60_000
    assert "lag_ms" not in asdict(found)
