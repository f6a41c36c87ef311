"""Analytics against an oracle that shares no code with them, and the rules it cannot show."""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.events import CallHangup, CallInitiated
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import STREAM, consumer_configs, stream_config
from offhook.projections.projector.project import Projector
from offhook.projections.rebuild.run import build_version, cut_over_version
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.groups import Cost, read_groups
from offhook.projections.views.analytics.hourly.keeping import make_old
from offhook.projections.views.analytics.hourly.kept import KEPT_DAYS, KEPT_HOURS
from offhook.projections.views.analytics.leg_facts import BOUNDS_US
from offhook.projections.views.analytics.timeseries import (
    CallFilter,
    read_summary,
    read_timeseries,
)
from tests.projections.rollups import assert_rolled_up, current_days, current_hours, rolled_up
from tests.projections.story import (
    NOON,
    call,
    caught_up,
    progress_at_end,
    projecting,
    publish,
    webhook,
)
from tests.projections.views.analytics.appending import append, decide, record
from tests.projections.views.analytics.leg_checks import (
    assert_equal,
    assert_groups,
    flat,
    groups_wanted,
    summaries_of,
    timeseries_of,
)
from tests.projections.views.analytics.oracle import Numbers, cut, legs_of
from tests.projections.views.analytics.subject_checks import Sent
from tests.projections.views.analytics.traffic import (
    NOW,
    REPEATED,
    flows_of,
    traffic,
)
from tests.projections.views.analytics.traffic_decisions import decisions_of, stored_at

CALLS = int(os.environ.get("OFFHOOK_TEST_ANALYTICS_CALLS", "600"))
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def quick_nats() -> Iterator[NatsServer]:
    """It may lose acknowledged writes, and takes them ten times faster: nothing crashes it here."""
    with NatsServer(sync_always=False) as server:
        yield server


@pytest.fixture
async def client(quick_nats: NatsServer) -> AsyncIterator[Client]:
    client = await connect(quick_nats.url, "test")
    js = client.jetstream()
    await js.add_stream(stream_config(1))
    for config in consumer_configs():
        await js.add_consumer(STREAM, config)
    yield client
    await js.delete_stream(STREAM)
    await close(client)


async def test_every_number_is_the_one_of_an_independent_count(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown if it fails
    events = traffic(seed, CALLS)
    flows = flows_of(seed, events)
    legs = legs_of(events, flows)
    sent = Sent(events=events, facts=decisions_of(seed, events, flows), legs=legs)
    bids = sent.bids()
    assert len(events) > CALLS * 3
    chance = random.Random(seed)
    times = [stored_at(chance, event) for event in events]
    async with projecting(Projector(client, engine)) as projector:
        async with making_hours(engine):
            webhooks, *_ = await asyncio.gather(
                append(log, events, times), decide(log, flows), record(log, sent.facts)
            )
            progress = await progress_at_end(client, projector)
        assert progress.repeated > REPEATED / 2 * len(events)
    async with engine.connect() as connection:
        for wanted in summaries_of(random.Random(seed), legs):
            found = await read_summary(connection, wanted, NOW)
            assert_equal([found], legs, wanted, [(wanted.start, wanted.end)])
        for wanted, width in timeseries_of(random.Random(seed)):
            series = await read_timeseries(connection, wanted, width, NOW)
            edges = cut(wanted.start, wanted.end, int(width.total_seconds()))
            assert_equal(series, legs, wanted, edges)
        for groups in groups_wanted(random.Random(seed)):
            assert_groups(await read_groups(connection, groups, NOW), legs, groups, bids)
        await sent.assert_all(connection, random.Random(seed), webhooks=webhooks)
        assert min(map(len, (await rolled_up(connection)).values())) > 0
    await assert_rolled_up(engine)
    await make_old(engine)
    async with engine.connect() as connection:
        for subject in KEPT_HOURS:
            assert len(await current_hours(connection, subject)) > 24
        for daily in KEPT_DAYS:
            assert await current_days(connection, daily)
        await sent.assert_hourly(connection, random.Random(seed))
    await assert_rolled_up(engine)
    await rebuilt(engine)
    await assert_rolled_up(engine)
    async with engine.connect() as connection:
        for groups in groups_wanted(random.Random(seed)):
            assert_groups(await read_groups(connection, groups, NOW), legs, groups, bids)
        await sent.assert_all(connection, random.Random(seed), webhooks=webhooks)


@asynccontextmanager
async def making_hours(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hours are made while their rows still change."""

    async def make() -> None:
        while True:
            await make_old(engine)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(make())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def rebuilt(engine: AsyncEngine) -> None:
    """Another version of the views is in use."""
    url = engine.url.render_as_string(hide_password=False)
    parity = await build_version(engine, url, workers=1)
    assert parity is not None
    assert parity.identical
    await cut_over_version(engine)


async def summary(connection: AsyncConnection, **chosen: Any) -> Numbers:
    wanted = CallFilter(start=NOON - DAY, end=NOON + DAY, **chosen)
    return flat(await read_summary(connection, wanted, NOON + timedelta(seconds=30)))


async def test_a_transferred_call_is_two_calls_up_at_once(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await publish(log, call("s"))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        found = await summary(connection)
        assert (found["calls"], found["answered"], found["asr"][0], found["peak"]) == (2, 2, 1, 2)
        # They talk for 57 s and 51 s, and are answered after 3 s and 5 s.
        assert found["acd_s"] == (54.0, 108.0, 2)
        assert (found["p50_s"], found["p95_s"]) == (3.0, 5.0)
        assert found["causes"] == [("normal_clearing", "200", 2)]
        assert (await summary(connection, direction="incoming"))["calls"] == 1
        assert (await summary(connection, connection_id="connection\0-1"))["calls"] == 0


async def test_a_leg_whose_events_lack_the_session_counts_once(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    leg: dict[str, Any] = {"call_control_id": "v3:l", "start_time": NOON}
    begun = CallInitiated(event_id="1", occurred_at=NOON, call_session_id="s", **leg)
    ended = CallHangup(event_id="2", occurred_at=NOON + timedelta(seconds=9), **leg)
    await publish(log, [webhook("s", begun), webhook("of-its-own", ended)])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        found = await summary(connection)
    assert (found["calls"], found["unanswered"], found["in_progress"]) == (1, 1, 0)
    assert found["causes"] == [(None, None, 1)]


async def test_calls_of_an_hour_are_added_up_over_partitions(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "insert into legs (call_control_id, session_id, state, started_at, answered_at,"
                " ended_at, cost, currency, last_seq) select n, n, 'ended', :noon, :noon,"
                " :noon + interval '9 s', 0.5, 'USD', n::bigint << 47"
                " from generate_series(1, 4) as n"
            ).bindparams(noon=NOON)
        )
        wanted = GroupsWanted(start=NOON - DAY, end=NOON + DAY, unit="hour", with_histograms=True)
        [group] = await read_groups(connection, wanted, NOON + DAY)
    assert group.costs == [Cost(currency="USD", micros=2_000_000, calls=4)]
    assert group.durations.talk is not None
    assert group.durations.talk.histogram is not None
    assert [each.calls for each in group.durations.talk.histogram] == [4]
    assert group.durations.talk.p99_s == next(each for each in BOUNDS_US if each >= 9e6) / 1e6
