"""Figures of groups of calls: by a bucket of time in any time zone, by what legs have in common.

    roll-ups of whole hours, days and months ─┐
    legs of the rest, and those that are up ──┴▶ facts ─▶ by bucket and dimensions ─▶ the most
                                                              frequent, and one group of all others

What no roll-up has told apart (two of outcome, number and flow), and buckets that hours do not fit
into, are counted from legs.

A group is about the calls that started in it, whenever they ended: so all its figures are sums over
the same legs, and groups add up to the total, which is asked without any dimension.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.grouping.buckets import (
    LOCAL,
    bucket_begin,
    buckets_between,
    has_whole_hours,
    hour_after,
)
from offhook.projections.views.analytics.grouping.percentiles import (
    PERCENTILES_FORMULA,
    Percentiles,
    added,
    percentiles_of_blocks,
)
from offhook.projections.views.analytics.grouping.planning import plan_for_range, plan_once
from offhook.projections.views.analytics.grouping.statement import (
    histograms_of,
    kind_of,
    statement_of,
)
from offhook.projections.views.analytics.grouping.wanted import (
    GROUPS_MAX,
    GroupsWanted,
    TooManyGroups,
    is_single,
)
from offhook.projections.views.analytics.kpis import (
    ABR,
    ABR_UNKNOWN,
    ACD_FORMULA,
    BIDS_FAILED,
    COUNTERS,
    Ratio,
    ratios_of,
)
from offhook.projections.views.analytics.rollups.periods import LEVELS, Span, spans_of
from offhook.projections.views.view import storable

MOS_FORMULA = "sum of the mean opinion scores / legs that have one"
LOSS_FORMULA = "skipped inbound packets / inbound packets"
RING_FORMULA = "seconds from start to answer, or to the end without one / calls answered or ended"

FIGURES: Mapping[str, tuple[str, str, str]] = {
    "minutes_of_use": (
        "minutes from answer to end of all calls",
        "industry term, MOU",
        "seconds from answer to end / 60",
    ),
    "acd_s": (
        "average call duration, also ALOC, of answered calls that ended",
        "industry term",
        ACD_FORMULA,
    ),
    "ring_s": ("mean time of ringing", "Offhook", RING_FORMULA),
    "answer_delay": (
        "seconds from start to answer, of answered calls",
        "instead of RFC 6076's post-dial delay: there is no webhook for ringing",
        PERCENTILES_FORMULA,
    ),
    "talk": ("seconds from answer to end", "Offhook", PERCENTILES_FORMULA),
    "ring": (
        "seconds from start to answer, or to the end without one",
        "Offhook",
        PERCENTILES_FORMULA,
    ),
    "ring_unanswered": (
        "seconds from start to end, of calls without an answer",
        "Offhook",
        PERCENTILES_FORMULA,
    ),
    "mos": (
        "mean opinion score of the audio that was received, from 1 to 5",
        "Telnyx, call_quality_stats of the hangup",
        MOS_FORMULA,
    ),
    "loss": (
        "packets of the audio that was received that were skipped",
        "Telnyx, call_quality_stats of the hangup",
        LOSS_FORMULA,
    ),
    "costs": (
        "cost by currency, in millionths of it",
        "Telnyx, call.cost",
        "sum of the costs of the calls that have one",
    ),
}
"""Of figures that are no ratios of counts: meaning, source, formula."""


@dataclass(frozen=True, kw_only=True)
class GroupDurations:
    """`acd_s` and `ring_s` are means, in seconds. Percentiles are null where none are kept.

    `minutes_of_use` is the time from answer to end of all calls.
    """

    minutes_of_use: float
    acd_s: Ratio
    ring_s: Ratio
    answer_delay: Percentiles | None
    talk: Percentiles | None
    ring: Percentiles | None  # as the mean: until the answer, or the end without one
    ring_unanswered: Percentiles | None


@dataclass(frozen=True, kw_only=True)
class GroupQuality:
    """Of the audio that was received, by legs that ended and have it in their hangup."""

    mos: Ratio
    loss: Ratio


@dataclass(frozen=True, kw_only=True)
class Cost:
    """In millionths of the currency, so that it is exact. None is what has no currency."""

    currency: str | None
    micros: int
    calls: int


@dataclass(frozen=True, kw_only=True)
class GroupView:
    """The calls of one group. `group` has the value of each dimension: null is what is not known.

    `start` and `end` are of its bucket, cut off by the range. `is_other` is the group of all that
    are not among the most frequent; its dimensions are null.
    """

    start: datetime
    end: datetime
    group: Mapping[str, str | None]
    is_other: bool
    counts: Mapping[str, int]
    ratios: Mapping[str, Ratio]
    durations: GroupDurations
    quality: GroupQuality
    costs: Sequence[Cost] | None


async def read_groups(
    connection: AsyncConnection, wanted: GroupsWanted, now: datetime
) -> list[GroupView]:
    """In order of time, then the most frequent first; only groups with calls.

    Raises UnknownTimeZone, TooManyGroups.
    """
    is_whole = await has_whole_hours(connection, wanted.unit, wanted.tz, wanted.start, wanted.end)
    kind = kind_of(wanted.by, [*wanted.filters]) if is_whole else None
    first, last = hour_after(wanted.start), wanted.end.replace(minute=0, second=0, microsecond=0)
    if first >= last:
        kind = None
    values: dict[str, Any] = {
        "since": wanted.start,
        "until": wanted.end,
        "now": now,
        "top": wanted.top,
        "groups_max": GROUPS_MAX,
        **{name: storable(value) for name, value in wanted.filters.items()},
    }
    if wanted.unit in LOCAL:
        values["tz"] = wanted.tz
    if kind is not None:
        spans, ats = await _spans(connection, wanted, first, last)
        values |= {"kind": kind, "first": first, "last": last}
        values |= {
            "levels": [span.level for span in spans],
            "firsts": [span.first for span in spans],
            "lasts": [span.last for span in spans],
            "signs": [span.sign for span in spans],
            "ats": ats,
        }
    filtered = tuple(sorted(wanted.filters))
    await (plan_for_range if kind is None else plan_once)(connection)
    found = await connection.execute(
        statement_of(
            wanted.unit,
            tuple(wanted.by),
            filtered,
            kind,
            is_single=kind is not None and is_single(wanted),  # legs are always added up
            has_ends=(first, last) != (wanted.start, wanted.end),
        ),
        values,
    )
    rows = found.all()
    if len(rows) > GROUPS_MAX:
        raise TooManyGroups
    names = tuple(found.keys())
    return [_group(dict(zip(names, row, strict=True)), wanted) for row in rows]


async def _spans(
    connection: AsyncConnection, wanted: GroupsWanted, first: datetime, last: datetime
) -> tuple[list[Span], list[datetime | None]]:
    """The periods that make up these hours, and of each a time in its bucket; None if its own
    periods are in the buckets of their starts."""
    match wanted.unit:
        case None:
            spans = spans_of(first, last)
        case "day" if wanted.tz == "UTC":
            spans = spans_of(first, last, LEVELS[:2])
        case "day" | "week" | "month":
            levels = LEVELS if wanted.unit == "month" else LEVELS[:2]
            placed = [
                (span, at)
                for at, begin, end in await _buckets(connection, wanted, first, last)
                for span in spans_of(begin, end, levels)
            ]
            return [span for span, _ in placed], [at for _, at in placed]
        case _:
            spans = [Span("hour", first, last)]
    return spans, [None] * len(spans)


async def _buckets(
    connection: AsyncConnection, wanted: GroupsWanted, first: datetime, last: datetime
) -> list[tuple[datetime, datetime, datetime]]:
    """What each bucket is known by, and the part of the hours in it."""
    assert wanted.unit is not None
    between = buckets_between(wanted.unit, ":first", ":last")
    found = await connection.execute(
        text(
            f"select starts_at, {bucket_begin(wanted.unit)} as begins from ({between}) as each"
            " order by starts_at"
        ).bindparams(
            bindparam("first", first, DateTime(timezone=True)),
            bindparam("last", last, DateTime(timezone=True)),
            tz=wanted.tz,
        )
    )
    buckets = [(row.starts_at, max(row.begins, first)) for row in found]
    ends = [*(begin for _, begin in buckets[1:]), last]
    return [
        (at, begin, min(end, last))
        for (at, begin), end in zip(buckets, ends, strict=True)
        if begin < last
    ]


def _group(values: dict[str, Any], wanted: GroupsWanted) -> GroupView:
    open_now = values["in_progress"]
    values["end_unknown"] = values["calls"] - values["ended"] - open_now
    counts = {name: values[name] for name in _COUNTED}
    bids_failed = values["bids_failed"]
    if bids_failed is None:
        ratios = ratios_of(counts) | {ABR.name: ABR_UNKNOWN}
    else:
        counted = counts | {BIDS_FAILED: bids_failed}
        ratios, counts = ratios_of(counts) | {ABR.name: ABR.ratio(counted)}, counted
    loss = Ratio.of(values["skipped_packets"], values["packets"], LOSS_FORMULA)
    mos = Ratio.of(values["mos_milli"] / 1e3, values["mos_legs"], MOS_FORMULA)
    return GroupView(
        start=values["starts_at"],
        end=values["ends_at"],
        group={name: values[name] for name in wanted.by},
        is_other=values["is_other"],
        counts=counts,
        ratios=ratios,
        durations=_durations(values, with_histograms=wanted.with_histograms),
        quality=GroupQuality(mos=mos, loss=loss),
        costs=None if values["costs"] is None else _costs(values["costs"]),
    )


def _durations(values: Mapping[str, Any], *, with_histograms: bool) -> GroupDurations:
    found: list[Percentiles | None] = [None] * 4
    if values["blocks"] is not None:
        delays, talks, rings = histograms_of(values["blocks"], values["counts"])
        until_answer_or_end = dict(delays)
        for block, counts in rings.items():
            before = until_answer_or_end.get(block)
            until_answer_or_end[block] = counts if before is None else added(before, counts)
        found = [
            percentiles_of_blocks(each, with_histogram=with_histograms)
            for each in (delays, talks, until_answer_or_end, rings)
        ]
    answer_delay, talk, ring, ring_unanswered = found
    return GroupDurations(
        minutes_of_use=values["talk_us"] / 6e7,
        acd_s=Ratio.of(values["talk_us"] / 1e6, values["talked"], ACD_FORMULA),
        ring_s=Ratio.of(values["ring_us"] / 1e6, values["rang"], RING_FORMULA),
        answer_delay=answer_delay,
        talk=talk,
        ring=ring,
        ring_unanswered=ring_unanswered,
    )


def _costs(costs: Sequence[Mapping[str, Any]]) -> list[Cost]:
    """By currency, of rows that may have it several times."""
    micros, calls = Counter[str | None](), Counter[str | None]()
    for each in costs:
        micros[each["currency"]] += each["micros"]
        calls[each["currency"]] += each["calls"]
    return [
        Cost(currency=currency, micros=micros[currency], calls=calls[currency])
        for currency in sorted(calls, key=lambda each: (each is None, each or ""))
        if calls[currency]
    ]


_COUNTED = tuple(each.name for each in COUNTERS)
