"""Legs and commands by their ids, and the legs that are up."""

from typing import Any

from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
)
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.views.commands import read_commands
from offhook.projections.views.legs import read_leg
from offhook.projections.views.live.active_legs import list_active_legs
from tests.projections.story import (
    NOON,
    call,
    caught_up,
    dial_of,
    events_of,
    projecting,
    publish,
    webhook,
)


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
