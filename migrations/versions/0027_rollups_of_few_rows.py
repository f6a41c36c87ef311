"""Histograms that tell fewer dimensions apart, and days of commands and of visits to queues.

The function of the roll-ups keeps each histogram by direction and connection, by one of them, and
by neither; those of existing legs are made of what there is. The projector makes the days. The SQL
is that of `offhook.projections.views.analytics` at this revision; a test compares the functions.
"""

from datetime import UTC, datetime, timedelta

from alembic import context, op
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Text, text

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _replace_in("offhook_rollups", _BEFORE, _AFTER)
    op.execute("set local work_mem = '64MB'")
    months = _months()
    for done, month in enumerate(months):
        context.config.attributes["part"](done, len(months))
        last = (month + timedelta(days=31)).replace(day=1)
        for kind in _KINDS:
            for level in ("hour", "day", "month"):
                op.execute(text(_FILL).bindparams(kind=kind, level=level, first=month, last=last))
    op.execute("analyze leg_classes")
    for table, dimensions in _TABLES.items():
        op.create_table(
            table,
            Column("kind", Text, nullable=False),
            Column("day", DateTime(timezone=True), nullable=False),
            *(Column(name, Text) for name in dimensions),
            Column("numbers", ARRAY(BigInteger), nullable=False),
            Column("totals", ARRAY(BigInteger), nullable=False),
        )
        op.create_index(f"{table}_day_index", table, ["day", "kind"])
    for function, subject in _SUBJECTS.items():
        _replace_in(function, _forget(subject), _forget_days(subject))


def downgrade() -> None:
    for function, subject in _SUBJECTS.items():
        _replace_in(function, _forget_days(subject), _forget(subject))
    for table in _TABLES:
        op.drop_table(table)
    op.execute("delete from hours_made where subject in ('commands_days', 'visits_days')")
    _replace_in("offhook_rollups", _AFTER, _BEFORE)
    coarser = ", ".join(f"'{kind}{suffix}'" for kind in _KINDS for suffix in _SUFFIXES)
    op.execute(f"delete from leg_classes where kind in ({coarser})")


def _months() -> list[datetime]:
    found = op.get_bind().execute(
        text("select distinct starts_at at time zone 'UTC' from leg_classes where level = 'month'")
    )
    return sorted(month.replace(tzinfo=UTC) for month in found.scalars())


def _replace_in(function: str, before: str, after: str) -> None:
    found = op.get_bind().scalar(
        text("select prosrc from pg_proc where proname = :name"), {"name": function}
    )
    assert before in str(found), f"{function} is not as the revision before made it"
    body = str(found).replace(before, after)
    op.get_bind().exec_driver_sql(
        f"create or replace function {function}() returns trigger language plpgsql"
        f" security definer set search_path to pg_catalog, pg_temp as $${body}$$"
    )


def _forget(subject: str) -> str:
    return f"delete from hours_made where subject = '{subject}';"


def _forget_days(subject: str) -> str:
    return f"delete from hours_made where subject in ('{subject}', '{subject}_days');"


_KINDS = ("delay", "talk", "ring", "cost")

_SUFFIXES = ("_all", "_direction", "_connection")

# Generated, and as wide as it is.
# ruff: noqa: E501
_BEFORE = """    select kind, level, date_trunc(level, hour, 'UTC'), shard, direction, connection_id, value,
        sum(legs), sum(micros)
    from hour_classes cross join (values ('hour'), ('day'), ('month')) as period (level)
    group by 1, 2, 3, 4, 5, 6, 7
"""

_AFTER = """    select kind || suffix, level, date_trunc(level, hour, 'UTC'), shard, told.direction,
        told.connection_id, value, sum(legs), sum(micros)
    from hour_classes cross join (values ('hour'), ('day'), ('month')) as period (level)
        cross join lateral (values ('_all', null, null), ('_direction', direction, null), ('_connection', null, connection_id), ('', direction, connection_id)) as told (suffix, direction, connection_id)
    group by 1, 2, 3, 4, 5, 6, 7
"""

_FILL = """
insert into leg_classes (
    kind, level, starts_at, shard, direction, connection_id, value, legs, micros
)
select kind || suffix, level, starts_at, shard, told.direction, told.connection_id, value,
    sum(legs), sum(micros)
from leg_classes
    cross join lateral (values
        ('_all', null, null), ('_direction', direction, null), ('_connection', null, connection_id)
    ) as told (suffix, direction, connection_id)
where kind = :kind and level = :level and starts_at >= :first and starts_at < :last
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 2, 3, 4, 5, 6, 7
"""

_TABLES = {
    "command_days": (
        "operation",
        "flow",
        "flow_version",
        "status",
        "reason",
        "http_status",
    ),
    "visit_days": ("queue",),
}

_SUBJECTS = {
    "offhook_rollups_hours_commands": "commands",
    "offhook_rollups_hours_queue_visits": "visits",
}
