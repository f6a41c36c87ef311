"""What is shown of legs and sessions whose hangup was lost, at different times."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.api.telnyx.resources import call_status
from offhook.events import CallAnswered, CallCost, CallEvent, CallHangup, CallInitiated
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.views.fold import folded_from
from offhook.projections.views.legs import LegView, leg_at, leg_rows, read_leg
from offhook.projections.views.live.active_legs import list_active_legs
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from offhook.projections.views.sessions import (
    SessionView,
    session_at,
    session_rows,
)
from tests.projections.story import NOON, caught_up, projecting, publish, webhook
from tests.projections.views.stored_entries import records

ANSWERED_S = 3
LIMIT = NOON + timedelta(seconds=ANSWERED_S, hours=4)
JUST_BEFORE = LIMIT - timedelta(microseconds=1)
LONG_AFTER = NOON + timedelta(days=2)


def told(name: str) -> dict[str, Any]:
    return {"call_control_id": f"v3:{name}", "call_session_id": name, "connection_id": "c"}


def up(name: str) -> list[CallEvent]:
    answered_at = NOON + timedelta(seconds=ANSWERED_S)
    return [
        CallInitiated(
            event_id=f"{name}-1",
            occurred_at=NOON,
            start_time=NOON,
            direction="incoming",
            **told(name),
        ),
        CallAnswered(event_id=f"{name}-2", occurred_at=answered_at, start_time=NOON, **told(name)),
    ]


def hangup(name: str) -> CallHangup:
    ended_at = NOON + timedelta(minutes=5)
    return CallHangup(event_id=f"{name}-3", occurred_at=ended_at, end_time=ended_at, **told(name))


def cost(name: str) -> CallCost:
    at = NOON + timedelta(minutes=6)
    return CallCost(event_id=f"{name}-4", occurred_at=at, total_cost="0.01", **told(name))


def views_of(*events: CallEvent) -> tuple[SessionView, LegView]:
    folded = folded_from("s", records([webhook("s", event) for event in events]))
    [session], [leg] = session_rows(folded), leg_rows(folded)
    return session, leg


@pytest.mark.parametrize(
    ("events", "at", "state", "is_inferred"),
    [
        (up("s"), JUST_BEFORE, "answered", False),
        (up("s"), LIMIT, "ended", True),
        (up("s"), LONG_AFTER, "ended", True),
        ([*up("s"), hangup("s")], LONG_AFTER, "ended", False),
        ([*up("s"), cost("s")], JUST_BEFORE, "ended", True),
        ([cost("s")], NOON, "ended", True),
        ([*up("s"), hangup("s"), cost("s")], LONG_AFTER, "ended", False),
    ],
)
def test_without_a_hangup_a_leg_has_ended_once_it_must_have(
    events: list[CallEvent], at: datetime, state: str, is_inferred: bool
) -> None:
    session, leg = views_of(*events)
    shown = leg_at(leg, at)
    assert (shown.state, shown.end_inferred) == (state, is_inferred)
    assert shown.ended_at == leg.ended_at, "an end that was not reported is not made up"
    status = "ended" if state == "ended" else "active"
    assert (session_at(session, at).status, session_at(session, at).end_inferred) == (
        status,
        is_inferred,
    )
    assert call_status(leg, at)["is_alive"] == (state != "ended")


def test_a_call_of_two_days_ago_is_not_alive_and_lasted_no_longer_than_it_can() -> None:
    _, leg = views_of(*up("s"))
    assert call_status(leg, LONG_AFTER) == {
        "call_control_id": "v3:s",
        "call_duration": 4 * 3600,
        "call_leg_id": "",
        "call_session_id": "s",
        "client_state": "",
        "is_alive": False,
        "record_type": "call",
        "start_time": "2026-11-22T12:00:00.123Z",
    }


async def test_lists_agree_on_what_is_up_at_a_time(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    calls: dict[str, list[CallEvent]] = {
        "lost": up("lost"),
        "over": [*up("over"), hangup("over")],
        "cost": [cost("cost")],
    }
    for name, events in calls.items():
        await publish(log, [webhook(name, event) for event in events])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)

    async def listed(status: str, now: datetime) -> set[str]:
        async with engine.connect() as connection:
            found = await list_sessions(connection, SessionFilter(status=status), limit=9, now=now)
        assert {each.status for each in found} <= {status}
        return {each.session_id for each in found}

    async def active(now: datetime) -> list[str]:
        async with engine.connect() as connection:
            page = await list_active_legs(connection, "c", now=now, limit=9)
        assert page.total == len(page.legs)
        return [leg.session_id for leg in page.legs]

    assert await listed("active", JUST_BEFORE) == {"lost"}
    assert await listed("ended", JUST_BEFORE) == {"over", "cost"}
    assert await active(JUST_BEFORE) == ["lost"]
    assert await listed("active", LIMIT) == set()
    assert await listed("ended", LIMIT) == {"lost", "over", "cost"}
    assert await active(LIMIT) == []

    await publish(log, [webhook("lost", hangup("lost"))])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        leg = await read_leg(connection, "v3:lost")
    assert leg is not None
    assert (leg.ended_at, leg_at(leg, LONG_AFTER).end_inferred) == (
        NOON + timedelta(minutes=5),
        False,
    )
