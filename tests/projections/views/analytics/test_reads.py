"""Analytics against an oracle that shares no code with them, and the rules it cannot show."""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import FACTS, encode, encoded_webhook
from offhook.codec.webhooks import read_webhook
from offhook.events import CallHangup, CallInitiated, Decided
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.message import imported_headers
from offhook.jetstream.stream import STREAM, consumer_configs, stream_config
from offhook.projections.projector.project import Projector
from offhook.projections.rebuild.run import build_version, cut_over_version
from offhook.projections.views.analytics.grouping.buckets import INTERVALS
from offhook.projections.views.analytics.grouping.percentiles import Percentiles
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.groups import Cost, GroupView, read_groups
from offhook.projections.views.analytics.hourly.keeping import make_old
from offhook.projections.views.analytics.hourly.kept import KEPT_DAYS, KEPT_HOURS
from offhook.projections.views.analytics.kpis import Ratio
from offhook.projections.views.analytics.leg_facts import BOUNDS_US, DIMENSIONS
from offhook.projections.views.analytics.timeseries import (
    BucketView,
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
from tests.projections.views.analytics.more import More
from tests.projections.views.analytics.oracle import Leg, Numbers, cut, legs_of, numbers_of
from tests.projections.views.analytics.oracle_groups import Bid, groups_of
from tests.projections.views.analytics.traffic import (
    CONNECTIONS,
    NOW,
    OPENS_AT,
    REPEATED,
    Event,
    flows_of,
    traffic,
)
from tests.projections.views.analytics.traffic_more import decisions_of, stored_at

CALLS = int(os.environ.get("OFFHOOK_TEST_ANALYTICS_CALLS", "600"))
APPENDING_MAX = 256
APPEND_TIMEOUT_S = 600.0  # thousands of calls are appended beside the projector that reads them
DAY = timedelta(days=1)
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")


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
    more = More(events=events, facts=decisions_of(seed, events, flows), legs=legs)
    bids = more.bids()
    assert len(events) > CALLS * 3
    chance = random.Random(seed)
    times = [stored_at(chance, event) for event in events]
    async with projecting(Projector(client, engine)) as projector:
        async with making_hours(engine):
            webhooks, *_ = await asyncio.gather(
                append(log, events, times), decide(log, flows), record(log, more.facts)
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
        await more.assert_all(connection, random.Random(seed), webhooks=webhooks)
        assert min(map(len, (await rolled_up(connection)).values())) > 0
    await assert_rolled_up(engine)
    await make_old(engine)
    async with engine.connect() as connection:
        for subject in KEPT_HOURS:
            assert len(await current_hours(connection, subject)) > 24
        for daily in KEPT_DAYS:
            assert await current_days(connection, daily)
        await more.assert_hourly(connection, random.Random(seed))
    await assert_rolled_up(engine)
    await rebuilt(engine)
    await assert_rolled_up(engine)
    async with engine.connect() as connection:
        for groups in groups_wanted(random.Random(seed)):
            assert_groups(await read_groups(connection, groups, NOW), legs, groups, bids)
        await more.assert_all(connection, random.Random(seed), webhooks=webhooks)


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


def summaries_of(chance: random.Random, legs: Sequence[Leg]) -> list[CallFilter]:
    """All there is, and parts of it; some begin or end amid calls, before all or after `NOW`."""
    starts = [at_us(leg.start) for leg in legs]
    ends = [at_us(leg.end) for leg in legs if leg.end is not None]
    instants = [at_us(leg.start) for leg in legs if leg.start == leg.end and leg.answer is not None]
    edges = [chance.choice(each) for each in (starts, ends, instants or ends) for _ in range(2)]
    whole: dict[str, Any] = {"start": OPENS_AT - DAY, "end": OPENS_AT + 3 * DAY}
    at = OPENS_AT + timedelta(microseconds=chance.randrange(36 * 3600 * 10**6))
    return [
        CallFilter(**whole),
        *(CallFilter(**whole, direction=direction) for direction in ("incoming", "outgoing")),
        *(CallFilter(**whole, connection_id=each) for each in CONNECTIONS),
        CallFilter(start=OPENS_AT, end=NOW, direction="outgoing", connection_id=CONNECTIONS[0]),
        CallFilter(start=at, end=at + timedelta(hours=2, microseconds=7)),
        CallFilter(start=at, end=at + timedelta(microseconds=1)),
        CallFilter(start=NOW - timedelta(hours=1), end=NOW + timedelta(hours=1)),
        CallFilter(start=NOW, end=NOW + DAY),
        CallFilter(start=OPENS_AT - 9 * DAY, end=OPENS_AT - 8 * DAY),
        CallFilter(**whole, connection_id="nobody's"),
        # On the very instant at which a call starts, ends or does both.
        *(CallFilter(start=edge, end=edge + DAY) for edge in edges),
        *(CallFilter(start=edge - DAY, end=edge) for edge in edges),
    ]


def at_us(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def timeseries_of(chance: random.Random) -> list[tuple[CallFilter, timedelta]]:
    at = OPENS_AT + timedelta(microseconds=chance.randrange(36 * 3600 * 10**6))
    hour = timedelta(hours=1)
    return [
        (CallFilter(start=OPENS_AT - hour, end=OPENS_AT + 2 * DAY), hour),
        (CallFilter(start=OPENS_AT - DAY, end=OPENS_AT + 2 * DAY, direction="incoming"), DAY),
        (CallFilter(start=at, end=at + 3 * hour, direction="outgoing"), timedelta(minutes=1)),
        (CallFilter(start=at, end=at + 9 * hour, connection_id=CONNECTIONS[1]), 5 * hour / 60),
        (CallFilter(start=NOW - hour, end=NOW + hour), timedelta(minutes=15)),
        (CallFilter(start=at, end=at + timedelta(seconds=1)), hour),
    ]


def groups_wanted(chance: random.Random) -> list[GroupsWanted]:
    """Every unit, every dimension, each with and without the others."""
    whole: dict[str, Any] = {"start": OPENS_AT - DAY, "end": OPENS_AT + 3 * DAY}
    at = OPENS_AT + timedelta(microseconds=chance.randrange(30 * 3600 * 10**6))
    part: dict[str, Any] = {"start": at, "end": at + timedelta(hours=9, microseconds=7)}
    months: dict[str, Any] = {"start": at - 40 * DAY, "end": at + 40 * DAY}
    midnight = OPENS_AT.replace(hour=0, minute=0)
    cut = {"start": midnight + DAY / 6, "end": midnight + 2 * DAY - DAY / 6}
    us: dict[str, Any] = {"connection_id": CONNECTIONS[0]}
    cases: list[dict[str, Any]] = [
        whole,
        part,
        *(whole | {"by": [name]} for name in DIMENSIONS),
        *(part | {"by": [name], "unit": "hour", "top": 3} for name in DIMENSIONS),
        *(part | {"unit": unit, "filters": us} for unit in INTERVALS),
        *(whole | {"unit": unit, "tz": tz} for unit in ("hour", "day", "week") for tz in ZONES),
        whole | {"unit": "month", "tz": "Asia/Tokyo", "by": ["connection_id", "direction"]},
        part | {"unit": "hour", "by": ["connection_id", "direction"]},
        part | {"unit": "15m", "tz": "Asia/Kathmandu", "by": ["direction"]},
        whole | {"by": ["hangup_cause", "hangup_source", "sip_hangup_cause"], "top": 10},
        whole | {"by": ["flow", "flow_version"], "filters": us, "unit": "day"},
        whole | {"by": ["flow", "hangup_cause", "number_prefix"], "top": 20},
        whole | {"by": ["number_prefix"], "filters": {"number_prefix": "+4"}, "unit": "hour"},
        part | {"by": ["hangup_cause"], "filters": {"flow": "notice", "direction": "outgoing"}},
        whole | {"filters": {"hangup_source": "caller", "flow_version": "2"}, "unit": "day"},
        months | {"by": ["direction"]},
        *(months | {"unit": unit, "tz": tz} for unit in ("day", "week", "month") for tz in ZONES),
        # More than half of the first day and of the last.
        *(cut | {"unit": "day", "tz": tz} for tz in ZONES[:2]),
        cut | {"unit": "day", "by": ["direction"]},
        cut,
        whole | {"filters": {"connection_id": "nobody's"}},
        {"start": NOW, "end": NOW + DAY, "unit": "hour"},
    ]
    return [GroupsWanted(**each, with_histograms=True) for each in cases]


def assert_groups(
    found: Sequence[GroupView], legs: Sequence[Leg], wanted: GroupsWanted, bids: Sequence[Bid]
) -> None:
    expected = groups_of(
        legs,
        wanted.start,
        wanted.end,
        NOW,
        unit=wanted.unit,
        tz=wanted.tz,
        by=wanted.by,
        filters=wanted.filters,
        top=wanted.top,
        bounds=[bound / 1e6 for bound in BOUNDS_US],
        bids=bids,
    )
    numbers = {
        (view.start, None if view.is_other else tuple(view.group.values())): flat_group(view)
        for view in found
    }
    assert len(numbers) == len(found)
    for group, of_group in expected.items():
        assert numbers.pop(group) == of_group, f"{group} of {wanted}"
    assert not numbers, f"{wanted}"
    ends = [view.end for view in found]
    assert all(view.start < view.end <= wanted.end for view in found)
    assert ends == sorted(ends)
    if wanted.unit == "hour":
        assert all(view.end - view.start <= timedelta(hours=1) for view in found)


def flat_group(view: GroupView) -> Numbers:
    """The group's numbers under the names the oracle has for them."""

    def triple(ratio: Ratio) -> tuple[Any, ...]:
        return (ratio.value, ratio.numerator, ratio.denominator)

    durations, quality = view.durations, view.quality
    ratios = {"acd_s": durations.acd_s, "ring_s": durations.ring_s}
    ratios |= {"mos": quality.mos, "loss": quality.loss}
    costs = (
        None
        if view.costs is None
        else {each.currency: (each.micros, each.calls) for each in view.costs}
    )
    return {
        **view.counts,
        **{name: triple(ratio) for name, ratio in {**view.ratios, **ratios}.items()},
        **{
            name: flat_percentiles(getattr(durations, name))
            for name in ("answer_delay", "talk", "ring", "ring_unanswered")
        },
        "costs": costs,
        "minutes_of_use": durations.minutes_of_use,
    }


def flat_percentiles(found: Percentiles | None) -> tuple[Any, ...] | None:
    if found is None:
        return None
    assert found.histogram is not None
    ends = [0.0, *(bound / 1e6 for bound in BOUNDS_US), None]
    for each in found.histogram:
        assert ends[ends.index(each.to_s) - 1] == each.from_s
    histogram = {each.to_s: each.calls for each in found.histogram}
    return (found.p50_s, found.p95_s, found.p99_s, found.samples, histogram)


def assert_equal(
    found: Sequence[BucketView],
    legs: Sequence[Leg],
    wanted: CallFilter,
    edges: Sequence[tuple[datetime, datetime]],
) -> None:
    assert [(bucket.start, bucket.end) for bucket in found] == list(edges)
    expected = numbers_of(legs, edges, NOW, wanted.direction, wanted.connection_id)
    for bucket, numbers in zip(found, expected, strict=True):
        assert flat(bucket) == numbers, f"{bucket.start} to {bucket.end} of {wanted}"


def flat(bucket: BucketView) -> Numbers:
    """The bucket's numbers under the names the oracle has for them."""

    def triple(ratio: dict[str, Any]) -> tuple[Any, ...]:
        return (ratio["value"], ratio["numerator"], ratio["denominator"])

    told = asdict(bucket)
    delay = told["durations"]["answer_delay"]
    causes = told["hangup_causes"]
    return {
        **told["counts"],
        **{name: triple(ratio) for name, ratio in told["ratios"].items()},
        "acd_s": triple(told["durations"]["acd_s"]),
        "p50_s": delay["p50_s"],
        "p95_s": delay["p95_s"],
        "samples": delay["samples"],
        "peak": told["concurrency"]["peak"],
        "erlangs": triple(told["concurrency"]["erlangs"]),
        "causes": [tuple(cause.values()) for cause in causes["most_frequent"]],
        "other_causes": causes["others"],
    }


async def decide(log: JetStreamLog, flows: Mapping[str, tuple[str, str]]) -> None:
    """A decision of its flow in each session, among its events."""
    decided = Decided(cause_seq=1, cause_id="", flow="", flow_version="", worker="w", lease_s=3)
    room = asyncio.Semaphore(APPENDING_MAX)

    async def one(session_id: str, flow: str, version: str) -> None:
        encoded = encode(replace(decided, flow=flow, flow_version=version), session_id)
        async with room:
            await log.append(session_id, "out", encoded, timeout_s=APPEND_TIMEOUT_S)

    await asyncio.gather(*(one(key, *flow) for key, flow in flows.items()))


async def append(
    log: JetStreamLog, events: Sequence[Event], times: Sequence[int]
) -> list[tuple[str, Event, int]]:
    """Append many at once, and repeated ones again as after the log's window.

    They are imported, so that the log's clock is as it shall be. Returns session, event and time of
    each, in the order of the log.
    """
    room = asyncio.Semaphore(APPENDING_MAX)

    async def one(event: Event, stored_us: int) -> tuple[int, str, Event, int]:
        body = msgspec.json.encode(event)
        read = read_webhook(body)
        async with room:
            appended = await log.append(
                read.session_id,
                "in",
                replace(encoded_webhook(body, ""), fact_id=""),
                headers=headers_at(stored_us),
                timeout_s=APPEND_TIMEOUT_S,
            )
        return appended.seq, read.session_id, event, stored_us

    done = await asyncio.gather(*map(one, events, times))
    return [each[1:] for each in sorted(done, key=lambda each: each[0])]


async def record(log: JetStreamLog, facts: Iterable[dict[str, Any]]) -> None:
    """Decisions and outcomes, at their times."""
    room = asyncio.Semaphore(APPENDING_MAX)

    async def one(fact: dict[str, Any]) -> None:
        body = dict(fact["body"])
        if "caused_us" in body:
            caused_us = body.pop("caused_us")
            body["caused_at"] = None if caused_us is None else at_us(caused_us)
        value = msgspec.convert(body, FACTS[fact["type"]])
        encoded = replace(encode(value, fact["session_id"]), fact_id="")
        headers = headers_at(fact["stored_us"])
        async with room:
            await log.append(
                fact["session_id"], "out", encoded, headers=headers, timeout_s=APPEND_TIMEOUT_S
            )

    await asyncio.gather(*map(one, facts))


def headers_at(stored_us: int) -> dict[str, str]:
    return {"Nats-Msg-Id": uuid4().hex, **imported_headers(1, at_us(stored_us))}


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
