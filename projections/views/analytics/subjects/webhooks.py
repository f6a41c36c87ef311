"""Webhooks in numbers: how late they come, in which order, and how often.

Their records leave the database when a session is archived or erased, so they are counted as they
come, in the transaction of the copy: each when it is copied, by the time at which the log stored
it. Nothing that comes later changes it, so a rebuild leaves it as it is.

A webhook that is delivered again within the log's window never gets into the log; what does get
into it is counted as repeated, and as nothing else.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Integer, PrimaryKeyConstraint, Table, Text

from offhook.events import Record, WebhookReceived
from offhook.position import partition_of
from offhook.projections.views.analytics.kpis import RatioRule
from offhook.projections.views.analytics.leg_facts import BOUNDS_US
from offhook.projections.views.analytics.subjects.subject import CLASSES, Subject
from offhook.projections.views.view import metadata

STEP_S = 300
"""How long a period of `webhook_sums` is: the shortest bucket, and what ranges are widened to."""

webhook_sums = Table(
    "webhook_sums",
    metadata,
    Column("starts_at", DateTime(timezone=True), nullable=False),  # a multiple of STEP_S
    Column("shard", Integer, nullable=False),  # the partition
    Column("name", Text, nullable=False),  # a counter, or delay
    Column("class", Integer, nullable=False),  # of the delay, as in `leg_facts`; else 0
    Column("total", BigInteger, nullable=False),
    PrimaryKeyConstraint("starts_at", "shard", "name", "class"),
)

_COUNTERS = {
    "received": "webhooks in the log, each event once, and those that are repeated",
    "repeated": "of an event that the log had already, outside its window of 10 minutes",
    "out_of_order": "that occurred before one of the session that came earlier",
    "retried": "that the carrier had to send more than once",
}

WEBHOOKS = Subject(
    name="webhooks",
    size="received",
    dimensions={},
    counters=_COUNTERS,
    ratios=(
        RatioRule(
            name="repeat_rate",
            meaning="webhooks of an event that the log had already",
            source="Offhook",
            numerator=("repeated",),
            denominator=("received",),
        ),
        RatioRule(
            name="disorder_rate",
            meaning="webhooks that came after one that occurred later",
            source="Offhook",
            numerator=("out_of_order",),
            denominator=("received",),
            without=("repeated",),
        ),
        RatioRule(
            name="retry_rate",
            meaning="webhooks that the carrier had to send more than once",
            source="Offhook",
            numerator=("retried",),
            denominator=("received",),
            without=("repeated",),
        ),
    ),
    durations={"delay": "from when it occurred, by the carrier's clock, until the log stored it"},
    facts=(
        f"select starts_at as at, case name when 'delay' then {CLASSES} + class else"
        f" array_position(array[{', '.join(map(repr, _COUNTERS))}], name) end as number, total"
        " from webhook_sums where starts_at >= {since} and starts_at < {until}"
    ),
    is_rolled_up=True,
)

Sums = Mapping[tuple[datetime, int, str, int], int]
"""What is added to `webhook_sums`: totals by its key."""


def sums_of(
    new: Iterable[Record], repeated: Iterable[Record], out_of_order: Iterable[Record]
) -> Sums:
    """What these records add. Those that are no webhooks add nothing."""
    sums: Counter[tuple[datetime, int, str, int]] = Counter()
    for record in new:
        if not isinstance(record.fact, WebhookReceived):
            continue
        at, shard = _place(record)
        sums[at, shard, "received", 0] += 1
        if (record.fact.attempt or 1) > 1:
            sums[at, shard, "retried", 0] += 1
        if (occurred_at := record.fact.event.occurred_at) is not None:
            delay_us = (record.stored_at - occurred_at) // _MICROSECOND
            sums[at, shard, "delay", bisect_left(BOUNDS_US, delay_us)] += 1
    for record in repeated:
        if isinstance(record.fact, WebhookReceived):
            at, shard = _place(record)
            sums[at, shard, "received", 0] += 1
            sums[at, shard, "repeated", 0] += 1
    for record in out_of_order:
        sums[*_place(record), "out_of_order", 0] += 1
    return sums


def arrays_of(sums: Sums) -> Sequence[Sequence[Any]]:
    """The values of `add_sums`, in the order of the key: two projectors then cannot deadlock."""
    rows = [(*key, total) for key, total in sorted(sums.items())]
    return list(zip(*rows, strict=True))


def add_sums(number: int, only_if: str) -> str:
    """The statement that adds sums, with the first of its five arrays as `$number`.

    `only_if` is a clause that may keep it from adding anything.
    """
    kinds = ("timestamptz", "int", "text", "int", "bigint")
    arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(kinds, start=number))
    return (
        "insert into webhook_sums (starts_at, shard, name, class, total)"
        f" select * from unnest({arrays}){only_if}"
        " on conflict (starts_at, shard, name, class) do update"
        " set total = webhook_sums.total + excluded.total"
    )


def _place(record: Record) -> tuple[datetime, int]:
    stored_at = record.stored_at
    at = stored_at - (stored_at - _EPOCH) % _STEP
    return at, partition_of(record.seq)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(seconds=STEP_S)
_MICROSECOND = timedelta(microseconds=1)
