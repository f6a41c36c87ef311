"""Load, commands, visits and webhooks as they are read, against `oracle_subjects`."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.grouping.buckets import INTERVALS
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.leg_facts import BOUNDS_US
from offhook.projections.views.analytics.load.load import LoadView, read_load
from offhook.projections.views.analytics.subject_figures import FigureGroup, read_figures
from offhook.projections.views.analytics.subjects.commands import COMMANDS
from offhook.projections.views.analytics.subjects.subject import Subject
from offhook.projections.views.analytics.subjects.visits import VISITS
from offhook.projections.views.analytics.subjects.webhooks import WEBHOOKS
from tests.projections.views.analytics.oracle import Event, Leg, Numbers, legs_of
from tests.projections.views.analytics.oracle_groups import Bid
from tests.projections.views.analytics.oracle_subjects import (
    Fact,
    Group,
    Thing,
    commands_of,
    figures_of,
    load_of,
    visits_of,
    webhooks_of,
)
from tests.projections.views.analytics.traffic import CONNECTIONS, NOW, OPENS_AT, QUEUES

BOUNDS = [bound / 1e6 for bound in BOUNDS_US]
DAY = timedelta(days=1)
STEP = timedelta(minutes=5)
WHOLE: dict[str, Any] = {"start": OPENS_AT - DAY, "end": OPENS_AT + 3 * DAY}
ZONES = ("America/New_York", "Asia/Kolkata")


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What was sent, and the legs that it makes."""

    events: Sequence[Event]
    facts: Sequence[Fact]
    legs: Sequence[Leg]

    def bids(self) -> list[Bid]:
        """The dials and transfers that failed."""
        connections = {
            event["data"]["payload"]["call_control_id"]: event["data"]["payload"]["connection_id"]
            for event in self.events
        }
        outcomes = {each["body"]["command_id"]: each for each in self.facts if _is_outcome(each)}
        found: dict[str, Bid] = {}
        for fact in self.facts:
            for command in fact["body"].get("commands", ()):
                outcome = outcomes.get(command["command_id"])
                if command["operation"] not in ("dial", "transfer") or outcome is None:
                    continue
                if outcome["type"] != "CommandFailed" or outcome["body"]["maybe_performed"]:
                    continue
                flow, version = fact["body"]["flow"], fact["body"]["flow_version"]
                is_api = flow == "api"
                found[command["command_id"]] = Bid(
                    at=fact["stored_us"],
                    connection_id=command["parameters"].get(
                        "connection_id", connections.get(command["call_control_id"])
                    ),
                    flow=None if is_api else flow,
                    flow_version=None if is_api else version,
                )
        return [*found.values()]

    async def assert_all(
        self,
        connection: AsyncConnection,
        chance: random.Random,
        *,
        webhooks: Sequence[tuple[str, Event, int]],
    ) -> None:
        """Every subject, by every dimension and in every bucket."""
        at = OPENS_AT + timedelta(microseconds=chance.randrange(30 * 3600 * 10**6))
        since = at.replace(minute=at.minute // 5 * 5, second=0, microsecond=0)
        things = webhooks_of(webhooks)
        for wanted in _wanted(WEBHOOKS, {"start": since, "end": since + 7 * STEP}, {}):
            if wanted.unit != "minute":
                await _assert_figures(connection, WEBHOOKS, wanted, things)
        await self.assert_hourly(connection, chance)

    async def assert_hourly(self, connection: AsyncConnection, chance: random.Random) -> None:
        """Every subject of which whole hours are kept."""
        every = {leg.call_control_id: leg for leg in legs_of(self.events, started_only=False)}
        at = OPENS_AT + timedelta(microseconds=chance.randrange(30 * 3600 * 10**6))
        part: dict[str, Any] = {"start": at, "end": at + timedelta(hours=3, microseconds=7)}
        commands = commands_of(self.facts, every)
        assert sum(each.counts["survived"] for each in commands) > 0
        for wanted in _wanted(COMMANDS, part, {"operation": "transfer", "flow_version": "2"}):
            await _assert_figures(connection, COMMANDS, wanted, commands)
        level_s, short_s = chance.choice(((20.0, 5.0), (9.5, 4.0), (0.0, 60.0)))
        policy = {"service_level_s": level_s, "short_abandon_s": short_s}
        visits = visits_of(self.events, every, level_s=level_s, short_s=short_s)
        for wanted in _wanted(VISITS, part, {"queue": QUEUES[0]}):
            await _assert_figures(connection, VISITS, wanted, visits, policy)
        for wanted in _load_wanted(part):
            await self._assert_load(connection, wanted)

    async def _assert_load(self, connection: AsyncConnection, wanted: GroupsWanted) -> None:
        expected = load_of(
            self.legs,
            wanted.start,
            wanted.end,
            NOW,
            unit=wanted.unit,
            tz=wanted.tz,
            by=wanted.by,
            filters=wanted.filters,
            top=wanted.top,
        )
        found = await read_load(connection, wanted, NOW)
        _assert_same({_key(view): _flat_load(view) for view in found}, expected, wanted)


def _wanted(
    subject: Subject, part: Mapping[str, Any], filters: Mapping[str, str]
) -> list[GroupsWanted]:
    names = [*subject.dimensions]
    cases: list[dict[str, Any]] = [
        WHOLE,
        {**part},
        *({**WHOLE, "by": [name]} for name in names),
        *({**WHOLE, "by": [name], "unit": "hour", "top": 1} for name in names),
        *({**part, "unit": unit} for unit in INTERVALS),
        *({**WHOLE, "unit": unit, "tz": tz} for unit in ("day", "week", "month") for tz in ZONES),
        {**WHOLE, "by": names, "unit": "day", "top": 3},
        *({**WHOLE, "filters": {name: value}} for name, value in filters.items()),
        {**WHOLE, "filters": filters, "by": names[:1], "unit": "15m"},
        {"start": NOW + 9 * DAY, "end": NOW + 10 * DAY, "unit": "hour"},
    ]
    return [GroupsWanted(**each) for each in cases]


def _load_wanted(part: Mapping[str, Any]) -> list[GroupsWanted]:
    both = ["direction", "connection_id"]
    short = {"start": part["start"], "end": part["start"] + timedelta(minutes=7)}
    cases: list[dict[str, Any]] = [
        WHOLE,
        {**part},
        short,
        *({**WHOLE, "by": by, "top": 2} for by in ([both[0]], [both[1]], both)),
        *({**part, "unit": unit} for unit in INTERVALS),
        *({**WHOLE, "unit": unit, "tz": tz} for unit in ("hour", "day", "week") for tz in ZONES),
        {**WHOLE, "unit": "month", "by": both},
        {**part, "unit": "15m", "by": both[1:], "filters": {"direction": "incoming"}, "top": 1},
        {**WHOLE, "unit": "day", "filters": {"connection_id": CONNECTIONS[1]}},
        {"start": NOW - timedelta(hours=1), "end": NOW + timedelta(hours=1)},
        {"start": NOW - timedelta(hours=1), "end": NOW + timedelta(hours=1), "unit": "minute"},
        {"start": OPENS_AT - 9 * DAY, "end": OPENS_AT - 8 * DAY},
        *({**part, "filters": {"direction": "outgoing"}, "by": by} for by in ([], both[:1])),
        {**WHOLE, "by": both[:1], "filters": {"connection_id": CONNECTIONS[0]}},
        {**WHOLE, "unit": "hour", "by": both, "top": 20},
        {**WHOLE, "unit": "day", "by": both, "top": 20, "tz": ZONES[0]},
        {"start": OPENS_AT + DAY / 2, "end": OPENS_AT + DAY, "by": both, "top": 20},
    ]
    return [GroupsWanted(**each) for each in cases]


async def _assert_figures(
    connection: AsyncConnection,
    subject: Subject,
    wanted: GroupsWanted,
    things: Sequence[Thing],
    extra: Mapping[str, float] | None = None,
) -> None:
    expected = figures_of(
        things,
        wanted.start,
        wanted.end,
        unit=wanted.unit,
        tz=wanted.tz,
        by=wanted.by,
        filters=wanted.filters,
        top=wanted.top,
        bounds=BOUNDS,
    )
    found = await read_figures(connection, subject, wanted, extra)
    for view in found:
        for name, ratio in view.ratios.items():
            rule = next(rule for rule in subject.ratios if rule.name == name)
            above = sum(view.counts[each] for each in rule.numerator)
            below = sum(view.counts[each] for each in rule.denominator)
            below -= sum(view.counts[each] for each in rule.without)
            value = above / below if below else None
            assert (ratio.value, ratio.numerator, ratio.denominator) == (value, above, below)
    numbers = {_key(view): _flat(view, subject) for view in found}
    assert len(numbers) == len(found)
    _assert_same(numbers, expected, wanted)


def _assert_same(
    numbers: dict[Group, Numbers], expected: Mapping[Group, Numbers], wanted: GroupsWanted
) -> None:
    for group, of_group in expected.items():
        found = numbers.pop(group, None)
        assert found == of_group, f"{group} of {wanted}: {found}, expected {of_group}"
    assert not numbers, f"{wanted}"


def _flat(view: FigureGroup, subject: Subject) -> Numbers:
    sums = {mean.microseconds: view.means[mean.name].numerator for mean in subject.means}
    return {
        "counts": dict(view.counts),
        "sums": sums,
        "percentiles": {name: _percentiles(each) for name, each in view.percentiles.items()},
    }


def _percentiles(found: Any) -> tuple[Any, ...]:
    return (found.p50_s, found.p95_s, found.p99_s, found.samples)


def _flat_load(view: LoadView) -> Numbers:
    busy = view.busy_hour
    return {
        "calls": view.calls,
        "peak": view.peak,
        "erlangs": (view.erlangs.numerator, view.erlangs.denominator),
        "cps": tuple(asdict(view.calls_per_second).values()),
        "busy_hour": None
        if busy is None
        else (busy.start, busy.end, busy.erlangs.numerator, busy.calls),
    }


def _key(view: FigureGroup | LoadView) -> Group:
    return view.start, None if view.is_other else tuple(view.group.values())


def _is_outcome(fact: Fact) -> bool:
    return str(fact["type"]) != "Decided"
