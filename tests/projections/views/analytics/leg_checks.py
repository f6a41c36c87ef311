"""Figures of calls as they are read, against `oracle` and `oracle_groups`."""

import random
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from offhook.projections.views.analytics.grouping.buckets import INTERVALS
from offhook.projections.views.analytics.grouping.percentiles import Percentiles
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.groups import GroupView
from offhook.projections.views.analytics.kpis import Ratio
from offhook.projections.views.analytics.leg_facts import BOUNDS_US, DIMENSIONS
from offhook.projections.views.analytics.timeseries import BucketView, CallFilter
from tests.projections.views.analytics.appending import at_us
from tests.projections.views.analytics.oracle import Leg, Numbers, numbers_of
from tests.projections.views.analytics.oracle_groups import Bid, groups_of
from tests.projections.views.analytics.traffic import CONNECTIONS, NOW, OPENS_AT

DAY = timedelta(days=1)
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")


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
        (view.start, None if view.is_other else tuple(view.group.values())): _flat_group(view)
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


def _flat_group(view: GroupView) -> Numbers:
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
            name: _flat_percentiles(getattr(durations, name))
            for name in ("answer_delay", "talk", "ring", "ring_unanswered")
        },
        "costs": costs,
        "minutes_of_use": durations.minutes_of_use,
    }


def _flat_percentiles(found: Percentiles | None) -> tuple[Any, ...] | None:
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
