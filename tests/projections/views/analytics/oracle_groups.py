"""What groups of calls must be: plain Python over the legs of `oracle`. Imports nothing else."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.projections.views.analytics.oracle import Leg, Numbers, counts_of

Key = tuple[str | None, ...]
Bounds = Sequence[float]

_MINUTES = {"minute": 1, "5m": 5, "15m": 15, "hour": 60}


def groups_of(
    legs: Iterable[Leg],
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    unit: str | None,
    tz: str,
    by: Sequence[str],
    filters: Mapping[str, str],
    top: int,
    bounds: Bounds,
    bids: Sequence["Bid"] = (),
) -> dict[tuple[datetime, Key | None], Numbers]:
    """All numbers by start of the bucket and values of the dimensions; None for all others.

    `bounds` are the ends of the classes of a histogram, in seconds.
    """
    since, until = _us(start), _us(end)
    chosen = [leg for leg in legs if since <= leg.start < until and _meets(leg, filters)]
    sizes = Counter(_key(leg, by) for leg in chosen)
    has_bids = {*by, *filters} <= {"direction", "connection_id", "flow", "flow_version"}
    failed = [bid for bid in bids if has_bids and since <= bid.at < until and _meets(bid, filters)]
    sizes.update(dict.fromkeys((_key(bid, by) for bid in failed), 0))
    # As text in JSON, in which null is the least.
    ranked = sorted(
        sizes, key=lambda key: (-sizes[key], [(each is not None, each or "") for each in key])
    )
    named = {*ranked[:top]}
    groups: dict[tuple[datetime, Key | None], list[Leg]] = defaultdict(list)
    for leg in chosen:
        key = _key(leg, by)
        bucket = max(start, start if unit is None else bucket_of(leg.start, unit, tz))
        groups[bucket, key if key in named else None].append(leg)
    bids_of: Counter[tuple[datetime, Key | None]] = Counter()
    for bid in failed:
        key = _key(bid, by)
        bucket = max(start, start if unit is None else bucket_of(bid.at, unit, tz))
        group = (bucket, key if key in named else None)
        bids_of[group] += 1
        groups[group] += []
    has_more = {*by, *filters} <= {"direction", "connection_id"}
    return {
        group: _numbers(members, _us(now), bounds if has_more else None)
        | _bids(members, bids_of[group] if has_bids else None)
        for group, members in groups.items()
    }


@dataclass(frozen=True, kw_only=True)
class Bid:
    """A dial or transfer that failed. `at` is in microseconds since 1970."""

    at: int
    connection_id: str | None
    flow: str | None
    flow_version: str | None
    direction: str = "outgoing"

    def dimension(self, name: str) -> str | None:
        """What it is grouped by under that name."""
        value: str | None = getattr(self, name)
        return value


def _bids(legs: Sequence[Leg], failed: int | None) -> Numbers:
    if failed is None:
        return {"abr": (None, 0, 0)}
    out = [leg for leg in legs if leg.direction == "outgoing"]
    answered = sum(leg.answer is not None for leg in out)
    over = sum(leg.answer is None and leg.end is not None for leg in out)
    return {"bids_failed": failed, "abr": _ratio(answered, answered + over + failed)}


def bucket_of(at_us: int, unit: str, tz: str) -> datetime:
    """Where the bucket begins that has this instant, by the clocks of that time zone."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    if unit in _MINUTES:
        offset = at.astimezone(ZoneInfo(tz)).utcoffset() if unit == "hour" else timedelta(0)
        assert offset is not None
        width = timedelta(minutes=_MINUTES[unit])
        return at - (at + offset - datetime(1970, 1, 1, tzinfo=UTC)) % width
    local = at.astimezone(ZoneInfo(tz)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    days = {"day": 0, "week": local.weekday(), "month": local.day - 1}[unit]
    return (local - timedelta(days=days)).astimezone(UTC)


def _place(value: str | None) -> tuple[bool, bytes]:
    """In the order of bytes, what is not known first."""
    return value is not None, (value or "").encode()


def _key(leg: Leg | Bid, by: Sequence[str]) -> Key:
    return tuple(leg.dimension(name) for name in by)


def _meets(leg: Leg | Bid, filters: Mapping[str, str]) -> bool:
    for name, value in filters.items():
        found = leg.dimension(name)
        if found is None or (found != value and name != "number_prefix"):
            return False
        if not found.startswith(value):
            return False
    return True


def _numbers(legs: Sequence[Leg], now: int, bounds: Bounds | None) -> Numbers:
    talked = [leg for leg in legs if leg.answer is not None and leg.end is not None]
    talks = [max(0, (leg.end or 0) - (leg.answer or 0)) for leg in talked]
    rings = [
        max(0, at - leg.start)
        for leg in legs
        if (at := leg.end if leg.answer is None else leg.answer) is not None
    ]
    unanswered = [
        max(0, leg.end - leg.start) for leg in legs if leg.answer is None and leg.end is not None
    ]
    delays = [max(0, leg.answer - leg.start) for leg in legs if leg.answer is not None]
    scored = [leg.mos_milli for leg in legs if leg.mos_milli is not None]
    costs: dict[str | None, tuple[int, int]] = {}
    for leg in legs:
        if leg.cost_micros is not None:
            micros, count = costs.get(leg.currency, (0, 0))
            costs[leg.currency] = (micros + leg.cost_micros, count + 1)
    return {
        **counts_of(legs, now),
        "minutes_of_use": sum(talks) / 6e7,
        "acd_s": _ratio(sum(talks) / 1e6, len(talks)),
        "ring_s": _ratio(sum(rings) / 1e6, len(rings)),
        "mos": _ratio(sum(scored) / 1e3, len(scored)),
        "loss": _ratio(sum(leg.skipped for leg in legs), sum(leg.packets for leg in legs)),
        "answer_delay": None if bounds is None else _percentiles(delays, bounds),
        "talk": None if bounds is None else _percentiles(talks, bounds),
        "ring": None if bounds is None else _percentiles(rings, bounds),
        "ring_unanswered": None if bounds is None else _percentiles(unanswered, bounds),
        "costs": None if bounds is None else costs,
    }


def _percentiles(durations_us: Sequence[int], bounds: Bounds) -> tuple[Any, ...]:
    """Of the exact duration at each rank, the end of its class; how many; and the histogram.

    That is the end of each class with calls, and their number.
    """
    ranked = sorted(durations_us)
    histogram = Counter(
        next((bound for bound in bounds if each / 1e6 <= bound), None) for each in ranked
    )

    def rank(percent: int) -> float | None:
        if not ranked:
            return None
        exact = ranked[-(-len(ranked) * percent // 100) - 1] / 1e6
        return next((bound for bound in bounds if exact <= bound), bounds[-1])

    return (rank(50), rank(95), rank(99), len(ranked), histogram)


def _ratio(above: float, below: float) -> tuple[float | None, float, float]:
    return (above / below if below else None, above, below)


def _us(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
