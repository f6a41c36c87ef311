"""The time of the first and the last record of a session, and of the first one of a queue visit.

Lists are in their order: positions of several partitions are in none. Existing rows get the times
of their records in event_log.
"""

from alembic import op
from sqlalchemy import Column, DateTime, text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIMES = {
    "sessions": {"first_stored_at": "first_seq", "last_stored_at": "last_seq"},
    "queue_visits": {"first_stored_at": "first_seq"},
}
_LISTED_BY = {
    "sessions": ("status", "connection_id", "from_number", "to_number"),
    "queue_visits": ("queue",),
}


def upgrade() -> None:
    for table, columns in _TIMES.items():
        for column in columns:
            op.add_column(table, Column(column, DateTime(timezone=True), nullable=True))
        values = ", ".join(
            f"{column} = coalesce((select stored_at from event_log where seq = {table}.{seq}),"
            " timestamptz '1970-01-01 00:00:00+00')"
            for column, seq in columns.items()
        )
        op.execute(f"update {table} set {values}")
        for column in columns:
            op.alter_column(table, column, nullable=False)
    order = [text("first_stored_at DESC"), text("first_seq DESC")]
    for table, columns_listed in _LISTED_BY.items():
        op.create_index(f"{table}_first_stored_at_index", table, order)
        for name in columns_listed:
            op.drop_index(f"{table}_{name}_first_seq_index", table)
            op.create_index(f"{table}_{name}_first_stored_at_index", table, [name, *order])


def downgrade() -> None:
    for table, columns_listed in _LISTED_BY.items():
        op.drop_index(f"{table}_first_stored_at_index", table)
        for name in columns_listed:
            op.drop_index(f"{table}_{name}_first_stored_at_index", table)
            op.create_index(
                f"{table}_{name}_first_seq_index", table, [name, text("first_seq DESC")]
            )
        for column in _TIMES[table]:
            op.drop_column(table, column)
