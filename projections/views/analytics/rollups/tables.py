"""Figures kept by hour, day and month of UTC, so that a long range is a sum over few rows.

Only legs that have ended are in them: the row of a leg changes with nearly each of its records, but
hardly after its end. Readers add the legs that are up, of which there are few.

    leg_sums      each counter and sum of `leg_facts`, by period of the start, direction,
                  connection, and one of: nothing more, the outcome, the number's prefix, the flow
    leg_classes   histograms of answer delay, talk and ring (of calls without an answer), by period
                  and both of direction and connection, one of them, or none; several classes a row
    leg_costs     cost by currency, by the same
    leg_repeats   rows of `legs` that do not count: another session has a fuller row of the leg

Triggers on `legs` keep them, in the transaction of the rows: the values of the old row are
subtracted, those of the new one are added. So nothing that writes legs (projector, rebuild,
erasure) has code for it, and a late fact corrects every figure. `filling` computes the same from
all rows.

Projectors of different partitions must not wait for each other: a row of a roll-up has a `shard`,
the partition whose projector writes it, and readers add the shards up.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from offhook.projections.views.analytics.leg_facts import ADDED, SUMS, class_of
from offhook.projections.views.view import metadata

FIGURES = (*ADDED, *SUMS)

KINDS = {
    "all": (),
    "outcome": ("hangup_cause", "hangup_source", "sip_hangup_cause"),
    "number": ("number_prefix",),
    "flow": ("flow", "flow_version"),
}
"""What legs are told apart by, besides direction and connection; up to three values."""

CLASSES = {
    "delay": class_of("delay_us"),
    "talk": class_of("talked_us"),
    "ring": class_of("unanswered_us"),
}
"""The histograms, and the number of a leg's class."""

COST = "cost"

BLOCK = 16
"""Classes in a row of `leg_classes`. A group of an hour has dozens, which are read at once."""

OF_BLOCK = tuple(f"legs_{place}" for place in range(BLOCK))
"""How many legs there are of each class of a block: class n is in block n / BLOCK."""

TOLD_APART = {
    "_all": (),
    "_direction": ("direction",),
    "_connection": ("connection_id",),
    "": ("direction", "connection_id"),
}
"""What each histogram, and cost, is kept by, under its kind and this suffix. Merging those of every
direction and connection would be most of a read."""


def suffix_of(told_apart: Collection[str]) -> str:
    """The suffix of the kinds that have the fewest rows and tell these dimensions apart."""
    return next(suffix for suffix, by in TOLD_APART.items() if {*told_apart} <= {*by})


def rows_told_apart(suffixes: Iterable[str]) -> str:
    """Rows of SQL: a suffix of TOLD_APART, and its dimensions or null."""
    names = TOLD_APART[""]
    return ", ".join(
        f"('{suffix}', {', '.join(n if n in TOLD_APART[suffix] else 'null' for n in names)})"
        for suffix in suffixes
    )


leg_sums = Table(
    "leg_sums",
    metadata,
    Column("kind", Text, nullable=False),  # of KINDS
    Column("level", Text, nullable=False),  # of LEVELS
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("direction", Text),
    Column("connection_id", Text),
    Column("value1", Text),
    Column("value2", Text),
    Column("value3", Text),
    *(Column(name, BigInteger, nullable=False) for name in FIGURES),
    Index(
        "leg_sums_key",
        *(
            "kind",
            "level",
            "starts_at",
            "shard",
            "direction",
            "connection_id",
            "value1",
            "value2",
            "value3",
        ),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

leg_classes = Table(
    "leg_classes",
    metadata,
    Column("kind", Text, nullable=False),  # of CLASSES, with a suffix of TOLD_APART
    Column("level", Text, nullable=False),  # of LEVELS
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("direction", Text),
    Column("connection_id", Text),
    Column("block", Integer, nullable=False),
    *(Column(name, Integer, nullable=False) for name in OF_BLOCK),
    Index(
        "leg_classes_key",
        *("kind", "level", "starts_at", "shard", "direction", "connection_id", "block"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

leg_costs = Table(
    "leg_costs",
    metadata,
    Column("kind", Text, nullable=False),  # COST, with a suffix of TOLD_APART
    Column("level", Text, nullable=False),  # of LEVELS
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("direction", Text),
    Column("connection_id", Text),
    Column("currency", Text),
    Column("legs", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Index(
        "leg_costs_key",
        *("kind", "level", "starts_at", "shard", "direction", "connection_id", "currency"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

leg_repeats = Table(
    "leg_repeats",
    metadata,
    Column("call_control_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    PrimaryKeyConstraint("call_control_id", "session_id"),
)

ROLLUPS = (leg_sums, leg_classes, leg_costs, leg_repeats)

IS_COUNTED = (
    "not exists (select from leg_repeats where leg_repeats.call_control_id = leg.call_control_id"
    " and leg_repeats.session_id = leg.session_id)"
)
"""The condition for a row of legs, named leg, to count."""

RANK = (
    "row_number() over (partition by call_control_id"
    " order by state <> 'unseen' desc, last_seq desc) > 1"
)
"""Whether a row of legs is not the fullest of its leg."""
