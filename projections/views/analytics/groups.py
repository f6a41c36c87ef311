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
from itertools import pairwise
from typing import Any

from sqlalchemy import DateTime, Row, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.grouping.buckets import (
    INTERVALS,
    LOCAL,
    has_whole_hours,
    hour_after,
)
from offhook.projections.views.analytics.grouping.percentiles import (
    PERCENTILES_FORMULA,
    Percentiles,
    percentiles_of,
)
from offhook.projections.views.analytics.grouping.statement import kind_of, statement_of
from offhook.projections.views.analytics.grouping.wanted import (
    GROUPS_MAX,
    GroupsWanted,
    TooManyGroups,
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
from offhook.projections.views.analytics.rollups.periods import Span, spans_of
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
        spans = await _spans(connection, wanted, first, last)
        values |= {"kind": kind, "first": first, "last": last}
        values |= {
            "levels": [span.level for span in spans],
            "firsts": [span.first for span in spans],
            "lasts": [span.last for span in spans],
        }
    filtered = tuple(sorted(wanted.filters))
    # Compiling takes longer than reading a few thousand rows; Postgres overestimates how many.
    await connection.execute(text("set local jit to off"))
    found = await connection.execute(
        statement_of(wanted.unit, tuple(wanted.by), filtered, kind), values
    )
    rows = found.all()
    if len(rows) > GROUPS_MAX:
        raise TooManyGroups
    return [_group(row, wanted) for row in rows]


async def _spans(
    connection: AsyncConnection, wanted: GroupsWanted, first: datetime, last: datetime
) -> list[Span]:
    """The periods that make up these hours, none in two buckets."""
    match wanted.unit:
        case None:
            return spans_of(first, last)
        case "day" if wanted.tz == "UTC":
            return spans_of(first, last, ("hour", "day"))
        case "week" | "month":
            found = await connection.execute(
                text(
                    "select generate_series("
                    f"date_trunc('{wanted.unit}', :first, cast(:tz as text)), :last,"
                    f" interval '{INTERVALS[wanted.unit]}', cast(:tz as text))"
                ).bindparams(
                    bindparam("first", first, DateTime(timezone=True)),
                    bindparam("last", last, DateTime(timezone=True)),
                    tz=wanted.tz,
                )
            )
            edges = [first, *(at for at in found.scalars() if first < at < last), last]
            return [span for edge in pairwise(edges) for span in spans_of(*edge)]
        case _:
            return [Span("hour", first, last)]


def _group(row: "Row[Any]", wanted: GroupsWanted) -> GroupView:
    open_now = int(row.in_progress)
    of_now = {"in_progress": open_now, "end_unknown": row.calls - row.ended - open_now}
    counts = {each.name: of_now.get(each.name, getattr(row, each.name, 0)) for each in COUNTERS}
    bids = {BIDS_FAILED: int(row.bids_failed)} if row.bids_failed is not None else {}
    loss = Ratio.of(int(row.skipped_packets), int(row.packets), LOSS_FORMULA)
    costs = None if row.costs is None else [Cost(**each) for each in row.costs]

    def percentiles(*classes: Mapping[str, int] | None) -> Percentiles | None:
        found = Counter[str]()
        for each in classes:
            if each is None:
                return None
            found.update(each)
        return percentiles_of(found, with_histogram=wanted.with_histograms)

    return GroupView(
        start=row.starts_at,
        end=row.ends_at,
        group={name: getattr(row, name) for name in wanted.by},
        is_other=row.is_other,
        counts=counts | bids,
        ratios=ratios_of(counts) | {ABR.name: ABR.ratio(counts | bids) if bids else ABR_UNKNOWN},
        durations=GroupDurations(
            minutes_of_use=int(row.talk_us) / 6e7,
            acd_s=Ratio.of(int(row.talk_us) / 1e6, int(row.talked), ACD_FORMULA),
            ring_s=Ratio.of(int(row.ring_us) / 1e6, int(row.rang), RING_FORMULA),
            answer_delay=percentiles(row.delays),
            talk=percentiles(row.talks),
            ring=percentiles(row.delays, row.rings),
            ring_unanswered=percentiles(row.rings),
        ),
        quality=GroupQuality(
            mos=Ratio.of(int(row.mos_milli) / 1e3, int(row.mos_legs), MOS_FORMULA), loss=loss
        ),
        costs=costs,
    )
