"""What a leg adds to every figure of a group, as SQL over a row of `legs`.

Each is an integer that adds up over any set of legs: a counter of `kpis`, or a sum. So a group is a
sum over its legs, and the sum of the groups is the figure of all. What depends on the present (a
call in progress) is left to the reader.
"""

from collections.abc import Mapping

from offhook.projections.views.analytics.kpis import COUNTERS

OF_NOW = ("in_progress", "end_unknown")
"""Counters that change with time, without a record."""

ADDED = tuple(counter.name for counter in COUNTERS if counter.name not in OF_NOW)
"""Counters that are the same whenever they are read."""

_TALK_US = "(1000000 * extract(epoch from greatest(ended_at - answered_at, interval '0')))::bigint"
_RING_US = (
    "(1000000 * extract(epoch from"
    " greatest(coalesce(answered_at, ended_at) - started_at, interval '0')))::bigint"
)

SUMS: Mapping[str, str] = {
    "talked": "(answered_at is not null and ended_at is not null)::int",
    "talk_us": _TALK_US,
    "rang": "(coalesce(answered_at, ended_at) is not null)::int",
    "ring_us": _RING_US,
    "mos_legs": "(mos is not null)::int",
    "mos_milli": "round(1000 * mos)::int",
    "packets": "packets::bigint",
    "skipped_packets": "case when packets is not null then skipped_packets::bigint end",
}
"""Sums besides the counters. Times in microseconds, mean opinion scores in thousandths."""

DELAY_US = (
    "case when answered_at is not null then (1000000 * extract(epoch from"
    " greatest(answered_at - started_at, interval '0')))::bigint end"
)
"""Microseconds from start to answer; null unless it was answered."""

TALK_US = f"case when answered_at is not null and ended_at is not null then {_TALK_US} end"
"""Microseconds from answer to end; null unless it was answered and has ended."""

UNANSWERED_US = f"case when answered_at is null and ended_at is not null then {_RING_US} end"
"""Microseconds from start to end; null unless it ended without an answer."""

HISTOGRAM_GROWTH = 1.1
"""Each class of a histogram reaches 10 % further than the one before: how exact percentiles are."""

HISTOGRAM_FIRST_US = 100_000
HISTOGRAM_MAX_US = 24 * 3600 * 1_000_000


def _bounds() -> tuple[int, ...]:
    bounds = [HISTOGRAM_FIRST_US]
    while bounds[-1] < HISTOGRAM_MAX_US:
        bounds.append(round(bounds[-1] * HISTOGRAM_GROWTH))
    return tuple(bounds)


BOUNDS_US = _bounds()
"""The longest duration of each class but the last, which has whatever is longer."""

DIMENSIONS = (
    "direction",
    "connection_id",
    "number_prefix",
    "flow",
    "flow_version",
    "hangup_cause",
    "hangup_source",
    "sip_hangup_cause",
)
"""Columns of `legs` that legs can be grouped by."""

VALUE_CHARS_MAX = 100
"""Values are compared up to this length: the carrier's text has no bound, an index row has."""


def class_of(duration_us: str) -> str:
    """The number of the class of a histogram, from 0, of an SQL expression."""
    bounds = ", ".join(map(str, BOUNDS_US))
    # width_bucket counts a bound to the class above; ours to the class below.
    return f"width_bucket({duration_us} - 1, array[{bounds}]::bigint[])"


def facts_of(rows: str, columns: Mapping[str, str], condition: str) -> str:
    """A query over the rows of a table like `legs`: the dimensions, counters, sums and durations.

    Counters and sums are integers or null. `columns` are more columns, as expressions; they and the
    condition have the row as `leg`. By the carrier's clocks a leg may end before it started; then
    it ends as it starts.
    """
    conditions = {each.name: each.condition for each in COUNTERS if each.name in ADDED}
    figures = [f"({each})::int as {name}" for name, each in conditions.items()]
    figures += [f"{expression} as {name}" for name, expression in SUMS.items()]
    return _FACTS.format(
        rows=rows,
        names="".join(f", {name}" for name in columns),
        columns="".join(f", {each} as {name}" for name, each in columns.items()),
        condition=condition,
        dimensions=", ".join(DIMENSIONS),
        shortened=", ".join(f"left({name}, {VALUE_CHARS_MAX}) as {name}" for name in DIMENSIONS),
        figures=",\n    ".join(figures),
        delay_us=DELAY_US,
        talk_us=TALK_US,
        unanswered_us=UNANSWERED_US,
    )


# The carrier sends the numbers of quality as text: what is no number was not measured.
_FACTS = r"""
select started_at, {dimensions}{names},
    {delay_us} as delay_us,
    {talk_us} as talked_us,
    {unanswered_us} as unanswered_us,
    {figures},
    round(1000000 * cost)::bigint as cost_micros,
    currency
from (
    select started_at, {shortened}{columns}, answered_at, ended.ended_at, cost, currency,
        extract(epoch from greatest(ended.ended_at - answered_at, interval '0')) as talk_s,
        substring(quality #>> '{{inbound,mos}}' from '^[0-5](?:\.[0-9]{{1,6}})?$')::numeric as mos,
        substring(quality #>> '{{inbound,packet_count}}' from '^[0-9]{{1,9}}$') as packets,
        substring(quality #>> '{{inbound,skip_packet_count}}' from '^[0-9]{{1,9}}$')
            as skipped_packets
    from {rows} as leg
    cross join lateral (
        select case when leg.ended_at is not null then greatest(leg.ended_at, started_at) end
            as ended_at
    ) as ended
    where started_at is not null and {condition}
) as leg
"""
