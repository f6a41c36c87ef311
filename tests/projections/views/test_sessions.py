"""Sessions as the views have them: one, and lists of them."""

from datetime import timedelta

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.events import CommandFailed
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.views.past.session_as_of import read_session_as_of
from offhook.projections.views.past.timeline import read_timeline
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from offhook.projections.views.sessions import read_session
from tests.projections.story import (
    NOON,
    call,
    caught_up,
    dial_of,
    fact,
    projecting,
    publish,
    request_of,
)


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
        wanted = SessionFilter(failed_command="dial")
        found = await list_sessions(connection, wanted, limit=10, now=NOON)
        assert found == empty
        assert empty[0].failed_commands == [
            {"operation": "dial", "reason": "refused", "http_status": 422, "count": 1}
        ]
        alone = await read_session(connection, "refused")
        assert alone is not None
        assert [each.status for each in alone.commands] == ["failed"]
