"""What load, commands, visits to queues and webhooks must be: plain Python over what was sent.

Records are as `decisions` has them; the log's clock and all results are in microseconds since 1970.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.projections.views.analytics.oracle import Event, Leg, Numbers
from tests.projections.views.analytics.oracle_groups import Bounds, bucket_of

Fact = dict[str, Any]
Key = tuple[str | None, ...]
Group = tuple[datetime, Key | None]
Span = tuple[Leg, Key, int, int]  # with the time that it was up


@dataclass(kw_only=True)
class Thing:
    """Something that happened: when, its dimensions, counters and durations."""

    at: int
    dimensions: dict[str, str | None]
    counts: dict[str, int]
    sums: dict[str, int] = field(default_factory=dict)
    durations: dict[str, int | None] = field(default_factory=dict)


def commands_of(facts: Iterable[Fact], legs: Mapping[str, Leg]) -> list[Thing]:
    """Each command that was decided, once. `legs` are by their ids."""
    decided: dict[str, Fact] = {}
    outcomes: dict[str, Fact] = {}
    for fact in facts:
        if fact["type"] == "Decided":
            for command in fact["body"]["commands"]:
                decided[command["command_id"]] = fact | {"command": command}
        else:
            outcomes[fact["body"]["command_id"]] = fact
    hangups = [
        (decided[key]["session_id"], decided[key]["stored_us"])
        for key, outcome in outcomes.items()
        if key in decided
        and outcome["type"] == "CommandSucceeded"
        and decided[key]["command"]["operation"] == "hangup"
    ]
    return [_command(each, outcomes.get(key), legs, hangups) for key, each in decided.items()]


def _command(
    decided: Fact,
    outcome: Fact | None,
    legs: Mapping[str, Leg],
    hangups: Sequence[tuple[str, int]],
) -> Thing:
    command, body = decided["command"], outcome["body"] if outcome else {}
    failed = outcome is not None and outcome["type"] == "CommandFailed"
    succeeded = outcome is not None and not failed
    reason = body.get("reason") if failed else None
    bridged = survived = 0
    leg = legs.get(command["call_control_id"])
    if command["operation"] == "transfer" and succeeded and leg is not None:
        at = leg.bridge
        if at is not None and at >= decided["stored_us"]:
            bridged = 1
            ours = any(
                session_id == decided["session_id"]
                and leg.true_end is not None
                and at <= hung_up <= leg.true_end
                for session_id, hung_up in hangups
            )
            soon = leg.true_end is not None and leg.true_end < at + 120_000_000
            survived = int(not (ours and soon))
    caused = decided["body"]["caused_us"]
    status = body.get("http_status")
    return Thing(
        at=decided["stored_us"],
        dimensions={
            "operation": command["operation"],
            "flow": decided["body"]["flow"],
            "flow_version": decided["body"]["flow_version"],
            "status": "failed" if failed else "succeeded" if succeeded else "pending",
            "reason": reason,
            "http_status": None if status is None else str(status),
        },
        counts={
            "decided": 1,
            "succeeded": int(succeeded),
            "failed": int(failed),
            "unsettled": int(outcome is None),
            "late": int(reason == "deadline"),
            "call_ended": int(reason == "call_ended"),
            "maybe_performed": int(failed and bool(body.get("maybe_performed"))),
            "retried": int((body.get("attempts") or 0) > 1),
            "bridged": bridged,
            "survived": survived,
        },
        durations={
            "reaction": None if caused is None else max(0, decided["stored_us"] - caused),
            "outcome": None
            if outcome is None
            else max(0, outcome["stored_us"] - decided["stored_us"]),
        },
    )


def visits_of(
    events: Iterable[Event], legs: Mapping[str, Leg], *, level_s: float, short_s: float
) -> list[Thing]:
    """Each visit whose call.enqueued arrived."""
    by_leg: dict[str, dict[str, Event]] = defaultdict(dict)
    for event in events:
        data = event["data"]
        if data["event_type"] in ("call.enqueued", "call.dequeued"):
            by_leg[data["payload"]["call_control_id"]][data["id"]] = data
    things = []
    for call_control_id, once in by_leg.items():
        told = sorted(once.values(), key=lambda data: str(data["occurred_at"]))
        for at, data in enumerate(told):
            if data["event_type"] == "call.enqueued":
                following = told[at + 1 :]
                left = following[0] if following else None
                is_end = left is not None and (
                    left["event_type"] == "call.dequeued"
                    and left["payload"]["queue"] == data["payload"]["queue"]
                )
                left = left if is_end else None
                again = (each for each in following if each["event_type"] == "call.enqueued")
                things.append(
                    _visit(
                        data, left, next(again, None), legs.get(call_control_id), level_s, short_s
                    )
                )
    return things


def _visit(
    entered: Event, left: Event | None, again: Event | None, leg: Leg | None,
    level_s: float, short_s: float,
) -> Thing:  # fmt: skip
    reason = left["payload"]["reason"] if left else None
    wait_s = left["payload"]["wait_time_secs"] if left else None
    answered = reason in ("bridged", "bridging-in-process")
    abandoned = reason == "hangup"
    spent = None
    ends = [_us(again["occurred_at"])] if again else []
    ends += [leg.true_end] if leg is not None and leg.true_end is not None else []
    if answered and left is not None and ends:
        spent = max(0, min(ends) - _us(left["occurred_at"]))
    wait_us = None if wait_s is None else wait_s * 1_000_000
    return Thing(
        at=_us(entered["occurred_at"]),
        dimensions={"queue": entered["payload"]["queue"]},
        counts={
            "offered": 1,
            "answered": int(answered),
            "answered_in_time": int(answered and wait_s is not None and wait_s <= level_s),
            "abandoned": int(abandoned),
            "short_abandoned": int(abandoned and wait_s is not None and wait_s < short_s),
            "not_left": int(left is None),
            "handled": int(spent is not None),
        },
        sums={"wait_us": wait_us or 0 if answered else 0, "handled_us": spent or 0},
        durations={"wait": wait_us, "handle": spent},
    )


def webhooks_of(log: Sequence[tuple[str, Event, int]]) -> list[Thing]:
    """Of each webhook in the order of the log: session, event, and when it was stored."""
    seen: set[str] = set()
    latest: dict[str, int] = {}
    things = []
    for session_id, event, stored in log:
        data = event["data"]
        occurred = _us(data["occurred_at"])
        counts = {"received": 1, "repeated": 0, "out_of_order": 0, "retried": 0}
        delay = None
        if data["id"] in seen:
            counts["repeated"] = 1
        else:
            delay = max(0, stored - occurred)
            counts["out_of_order"] = int(occurred < latest.get(session_id, occurred))
            counts["retried"] = int(event["meta"]["attempt"] > 1)
            latest[session_id] = max(occurred, latest.get(session_id, occurred))
        seen.add(data["id"])
        things.append(Thing(at=stored, dimensions={}, counts=counts, durations={"delay": delay}))
    return things


def figures_of(
    things: Iterable[Thing],
    start: datetime,
    end: datetime,
    *,
    unit: str | None,
    tz: str,
    by: Sequence[str],
    filters: Mapping[str, str],
    top: int,
    bounds: Bounds,
    place: Callable[[int], int] = lambda at: at,
) -> dict[Group, Numbers]:
    """Sums and percentiles by start of the bucket and values; None for all others.

    `place` is where a thing counts: the start of its period.
    """
    since, until = _since_1970(start), _since_1970(end)
    chosen = [
        thing
        for thing in things
        if since <= thing.at < until
        and all(thing.dimensions[name] == value for name, value in filters.items())
    ]
    named = _ranked(Counter(_key(thing, by) for thing in chosen))[:top]
    groups: dict[Group, list[Thing]] = defaultdict(list)
    for thing in chosen:
        key = _key(thing, by)
        bucket = start if unit is None else max(start, bucket_of(place(thing.at), unit, tz))
        groups[bucket, key if key in named else None].append(thing)
    return {group: _sums(members, bounds) for group, members in groups.items()}


def load_of(
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
) -> dict[Group, Numbers]:
    """Peak, erlangs, calls per second and busy hour. A bucket is looked at by itself."""
    since, until, known = _since_1970(start), _since_1970(end), _since_1970(now)
    known = min(max(known, since), until)
    spans = []
    for leg in legs:
        if any(leg.dimension(name) != value for name, value in filters.items()):
            continue
        rise, fall = max(leg.start, since), min(leg.limit if leg.end is None else leg.end, known)
        if leg.start < until and (rise < fall or leg.start >= since):
            spans.append((leg, tuple(leg.dimension(name) for name in by), rise, fall))
    named = _ranked(Counter(key for _, key, _, _ in spans))[:top]
    edges = _edges(start, end, unit, tz)
    found: dict[Group, Numbers] = {}
    for key in {each if each in named else None for _, each, _, _ in spans}:
        mine = [each for each in spans if (each[1] if each[1] in named else None) == key]
        mine.sort(key=lambda each: -each[0].start)
        near: list[Span] = []  # begun before the end of the bucket, and not over at its start
        for first, last in edges:
            near = [each for each in near if each[3] > first]
            while mine and mine[-1][0].start < last:
                near.append(mine.pop())
            numbers = _load(near, first, last, known, unit)
            if numbers is not None:
                found[_at(first), key] = numbers
    return found


def _load(
    spans: Sequence[Span], first: int, last: int, known: int, unit: str | None
) -> Numbers | None:
    up = [(max(rise, first), min(fall, last)) for _, _, rise, fall in spans]
    up = [(rise, fall) for rise, fall in up if rise < fall]
    began = [leg.start for leg, _, _, _ in spans if first <= leg.start < last]
    if not up and not began:
        return None
    known = max(first, min(known, last))
    rises, falls = sorted(rise for rise, _ in up), sorted(fall for _, fall in up)
    peak = max((bisect_right(rises, at) - bisect_right(falls, at) for at in rises), default=0)
    seconds = Counter(at // 1_000_000 for at in began)
    length = max(0, -(-known // 1_000_000) - first // 1_000_000)
    every = sorted(seconds.values())
    every = [0] * (length - len(every)) + every
    hour_us = 3_600_000_000
    best: tuple[int, int] | None = None
    for hour in range(first // hour_us * hour_us, last, hour_us):
        occupied = sum(max(0, min(b, hour + hour_us) - max(a, hour)) for a, b in up)
        if occupied > 0 and (best is None or occupied > best[0]):
            best = (occupied, hour)
    busy = None
    if best is not None and unit not in ("minute", "5m", "15m", "hour"):
        begins, ends = max(best[1], first), min(best[1] + hour_us, known)
        busy = (
            _at(begins),
            _at(ends),
            best[0] / 1e6,
            sum(begins <= at < best[1] + hour_us for at in began),
        )
    return {
        "calls": len(began),
        "peak": peak,
        "erlangs": (sum(b - a for a, b in up) / 1e6, (known - first) / 1e6),
        "cps": (max(seconds.values(), default=0), _rank(every, 99) or 0, length),
        "busy_hour": busy,
    }


def _edges(start: datetime, end: datetime, unit: str | None, tz: str) -> list[tuple[int, int]]:
    if unit is None:
        return [(_since_1970(start), _since_1970(end))]
    edges, at = [], start
    step = timedelta(minutes=1 if unit in ("minute", "5m") else 15)
    while at < end:
        edges.append(max(start, bucket_of(_since_1970(at), unit, tz)))
        at += step
    starts = [*dict.fromkeys(edges), end]
    return [(_since_1970(a), _since_1970(b)) for a, b in pairwise(starts)]


def _sums(things: Sequence[Thing], bounds: Bounds) -> Numbers:
    counts, sums = Counter[str](), Counter[str]()
    durations: dict[str, list[int]] = {name: [] for name in things[0].durations}
    for thing in things:
        counts.update(thing.counts)
        sums.update(thing.sums)
        for name, value in thing.durations.items():
            if value is not None:
                durations[name].append(value)
    return {
        "counts": dict(counts),
        "sums": {name: value / 1e6 for name, value in sums.items()},
        "percentiles": {name: percentiles(values, bounds) for name, values in durations.items()},
    }


def percentiles(values: Sequence[int], bounds: Bounds) -> tuple[float | None, ...]:
    """Of the exact duration at each rank, the end of its class; and how many there are."""
    ranked = sorted(values)
    exact = [_rank(ranked, percent) for percent in (50, 95, 99)]
    ends = (
        None if each is None else next((b for b in bounds if each / 1e6 <= b), bounds[-1])
        for each in exact
    )
    return (*ends, len(ranked))


def _rank(ranked: Sequence[int], percent: int) -> int | None:
    return ranked[-(-len(ranked) * percent // 100) - 1] if ranked else None


def _ranked(sizes: Mapping[Key, int]) -> list[Key]:
    return sorted(
        sizes, key=lambda key: (-sizes[key], [(each is not None, each or "") for each in key])
    )


def _key(thing: Thing, by: Sequence[str]) -> Key:
    return tuple(thing.dimensions[name] for name in by)


def _us(text: str) -> int:
    return _since_1970(datetime.fromisoformat(text))


def _since_1970(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _at(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
