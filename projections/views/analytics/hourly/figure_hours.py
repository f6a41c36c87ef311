"""Whole hours of a subject of figures: for each kind of groups, numbers with their totals."""

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Index, Table, Text

from offhook.projections.views.analytics.hourly.making import Hourly
from offhook.projections.views.analytics.subjects.commands import COMMANDS
from offhook.projections.views.analytics.subjects.subject import Subject, numbers_of
from offhook.projections.views.analytics.subjects.visits import VISITS
from offhook.projections.views.view import metadata


def _hourly(subject: Subject, table: str) -> Hourly:
    by = ", ".join(subject.dimensions)
    values = {
        kind: [f"'{kind}'", *(name if name in told else "null" for name in subject.dimensions)]
        for kind, told in subject.kinds.items()
    }
    kinds = ", ".join(f"({', '.join(each)})" for each in values.values())
    return Hourly(
        name=subject.name,
        table=Table(
            table,
            metadata,
            Column("kind", Text, nullable=False),  # of the subject's kinds
            Column("hour", DateTime(timezone=True), nullable=False),
            *(Column(name, Text) for name in subject.dimensions),
            Column("numbers", ARRAY(BigInteger), nullable=False),  # as `subjects.subject` has them
            Column("totals", ARRAY(BigInteger), nullable=False),
            Index(f"{table}_hour_index", "hour", "kind"),
        ),
        # By all dimensions first, which leaves few rows for each kind.
        rows=f"""with facts as materialized (
        select due.hour, fact.* from due cross join lateral (
            {subject.facts_in("due.hour", "due.hour + interval '1 hour'")}
        ) as fact
    ),
    numbered as (
        {numbers_of(subject, f"hour, {by}")}
    ),
    summed as (
        select key.kind, hour, {", ".join(f"key.{name}" for name in subject.dimensions)}, number,
            sum(total)::bigint as total
        from numbered
        cross join lateral (values {kinds}) as key (kind, {by})
        group by key.kind, hour, {", ".join(f"key.{name}" for name in subject.dimensions)}, number
    )
    select kind, hour, {by}, array_agg(number order by number), array_agg(total order by number)
    from summed group by kind, hour, {by}""",
    )


COMMAND_HOURS = _hourly(COMMANDS, "command_hours")
VISIT_HOURS = _hourly(VISITS, "visit_hours")

HOURS_OF = {COMMANDS.name: COMMAND_HOURS, VISITS.name: VISIT_HOURS}
"""By the name of the subject."""
