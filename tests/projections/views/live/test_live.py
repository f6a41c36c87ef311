"""Calls that are up: their phases, how many there are, and what a list includes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.events import SessionParked
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.views.fold import folded_from
from offhook.projections.views.legs import leg_rows
from offhook.projections.views.live.counts import count_live
from offhook.projections.views.live.included import IncludingSession, including
from offhook.projections.views.live.phases import (
    Phase,
    PhaseName,
    has_phase,
    is_up,
    phase_at,
    phase_column,
)
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from offhook.projections.views.sessions import (
    session_at,
    session_rows,
)
from tests.projections.story import (
    NOON,
    Entry,
    call,
    caught_up,
    dial_of,
    fact,
    projecting,
    publish,
    queued,
)
from tests.projections.views.search.test_failures import failed, not_up
from tests.projections.views.stored_entries import records

CALLS: dict[str, list[Entry]] = {
    "ringing": call("ringing")[:3],
    "answered": call("answered")[:6],
    "queued": [*call("queued")[:6], *queued("queued")[:1]],
    "start-was-lost": queued("start-was-lost")[:1],
    "returned": [*call("returned")[:6], *queued("returned")],
    "hung-up-in-the-queue": [
        *call("hung-up-in-the-queue"),
        *queued("hung-up-in-the-queue")[:1],
    ],
}
PHASES: dict[str, Phase | None] = {
    "ringing": Phase(name="setting_up", since=NOON),
    "answered": Phase(name="talking", since=NOON + timedelta(seconds=3)),
    "queued": Phase(name="waiting", since=NOON + timedelta(seconds=5)),
    "start-was-lost": Phase(name="waiting", since=NOON + timedelta(seconds=5)),
    "returned": Phase(name="talking", since=NOON + timedelta(seconds=3)),
    "hung-up-in-the-queue": None,
}
AT = NOON + timedelta(seconds=20)


@pytest.mark.parametrize("name", CALLS)
def test_the_phase_of_a_call_and_when_it_began(name: str) -> None:
    folded = folded_from(name, records(CALLS[name]))
    [session] = session_rows(folded)
    assert phase_at(session_at(session, AT), leg_rows(folded), AT) == PHASES[name]


def test_a_call_whose_hangup_was_lost_has_no_phase_once_it_must_have_ended() -> None:
    folded = folded_from("queued", records(CALLS["queued"]))
    [session] = session_rows(folded)
    later = NOON + timedelta(hours=5)
    assert phase_at(session_at(session, later), leg_rows(folded), later) is None


async def listed(
    engine: AsyncEngine, phase: PhaseName | None, at: datetime
) -> Sequence[IncludingSession]:
    async with engine.connect() as connection:
        also = None if phase is None else has_phase(phase, at)
        found = await list_sessions(connection, SessionFilter(), limit=50, now=at, also=also)
        return await including(connection, found, {"legs", "last"}, at)


async def test_lists_and_counts_agree_with_the_phase_of_each_call(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    for entries in CALLS.values():
        await publish(log, entries)
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    assert {each.session_id: each.phase for each in await listed(engine, None, AT)} == PHASES
    expected: dict[PhaseName, set[str]] = {
        "setting_up": {"ringing"},
        "waiting": {"queued", "start-was-lost"},
        "talking": {"answered", "returned"},
    }
    for phase, names in expected.items():
        assert {each.session_id for each in await listed(engine, phase, AT)} == names
    async with engine.connect() as connection:
        counts = await count_live(connection, AT)
        later = await count_live(connection, NOON + timedelta(days=2))
    assert (counts.active, counts.setting_up, counts.waiting, counts.talking) == (5, 1, 2, 2)
    assert (later.active, later.waiting) == (0, 0)


async def test_the_legs_that_wait_are_looked_up_once(engine: AsyncEngine) -> None:
    """For each session it was as much work as there are legs: 2 s with 2,000 calls."""
    query = (
        select(phase_column(AT))
        .where(is_up(AT))
        .compile(
            dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]  # as SQLAlchemy leaves it
            compile_kwargs={"literal_binds": True},
        )
    )
    explained = text(f"explain (verbose) {query}".replace(":", r"\:"))
    async with engine.connect() as connection:
        plan = (await connection.execute(explained)).scalars().all()
    assert "hashed SubPlan" in "\n".join(plan)


async def test_a_list_includes_the_last_webhook_and_the_last_command(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await publish(log, [*call("s")[:6], *dial_of("asked", "placed")])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    found = {each.session_id: each for each in await listed(engine, None, AT)}
    called, placed = found["s"], found["placed"]
    assert called.last_event is not None
    assert called.last_event.event_type == "call.answered"
    assert called.last_event.call_control_id == "v3:s-2"
    assert called.last_event.occurred_at == NOON + timedelta(seconds=9)
    assert called.legs is not None
    assert [each.call_control_id for each in called.legs] == ["v3:s", "v3:s-2"]
    assert called.last_command is not None
    assert called.last_command.command_id == "s-hangup"
    assert called.last_command.status == "pending"
    assert (called.asked, placed.asked) == (None, None)
    async with engine.connect() as connection:
        empty = SessionFilter(status="empty")
        dials = await list_sessions(connection, empty, limit=1, now=AT)
        [dial] = await including(connection, dials, {"legs"}, AT)
    assert (dial.session_id, dial.legs) == ("asked", [])
    assert dial.asked is not None
    assert (dial.asked.operation, dial.asked.to_number) == ("dial", "+12025550102")
    assert (dial.asked.from_number, dial.asked.asked_at) == (None, dial.first_stored_at)
    # The dial is stored under the session that asked for it.
    assert placed.last_event is None
    assert placed.last_command is not None
    assert (placed.last_command.session_id, placed.last_command.operation) == ("asked", "dial")
    assert placed.last_command.status == "succeeded"


async def test_new_calls_and_dials_of_the_last_seconds_are_counted(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await publish(log, [*call("s")[:6], *dial_of("asked", "placed")])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        stored = [each.first_stored_at for each in await listed(engine, None, AT)]
        counts = await count_live(connection, max(stored) + timedelta(seconds=1))
        later = await count_live(connection, max(stored) + timedelta(seconds=30))
    assert (counts.calls_per_s, counts.dials_per_s) == (0.2, 0.1)
    assert (later.calls_per_s, later.dials_per_s) == (0.0, 0.0)


async def test_what_failed_in_the_last_hour_is_counted_as_its_search_lists_it(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    now = datetime.now(UTC)
    yesterday = now - timedelta(days=1)
    for entries in (
        not_up("now", "not_found", "404", occurred_at=now, start_time=now),
        # Stored now, as history that is imported.
        not_up("earlier", "not_found", "404", occurred_at=yesterday, start_time=yesterday),
        [failed("dialled", 1, operation="dial")],
        [fact("parked", SessionParked(cause_seq=1, error="ValueError: x", attempts=5))],
    ):
        await publish(log, entries)
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    hour: dict[str, Any] = {"started_from": now - timedelta(hours=1)}
    searches: dict[str, dict[str, Any]] = {
        "failed": {"failed": True},
        "failed_commands": {"failed_command": "*"},
        "flow_raised": {"flow_raised": True},
    }
    async with engine.connect() as connection:
        counts = await count_live(connection, now)
        found = {
            name: await list_sessions(connection, SessionFilter(**asked, **hour), limit=50, now=now)
            for name, asked in searches.items()
        }
    ids = {name: [each.session_id for each in listed] for name, listed in found.items()}
    assert ids == {"failed": ["now"], "failed_commands": ["dialled"], "flow_raised": ["parked"]}
    assert {name: getattr(counts, name) for name in searches} == dict.fromkeys(searches, 1)
