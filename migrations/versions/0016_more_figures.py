"""What more figures are counted from: webhooks by time, causes of commands, long calls.

Webhooks are counted from now on. Commands from before have no `caused_at`: it was not recorded.
"""

from alembic import op
from sqlalchemy import BigInteger, Column, DateTime, Integer, PrimaryKeyConstraint, Text, text

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("commands", Column("caused_at", DateTime(timezone=True), nullable=True))
    op.create_table(
        "webhook_sums",
        Column("starts_at", DateTime(timezone=True), nullable=False),
        Column("shard", Integer, nullable=False),
        Column("name", Text, nullable=False),
        Column("class", Integer, nullable=False),
        Column("total", BigInteger, nullable=False),
        PrimaryKeyConstraint("starts_at", "shard", "name", "class", name="webhook_sums_pkey"),
    )
    op.create_index(
        "legs_long_index",
        "legs",
        ["started_at", "ended_at"],
        postgresql_where=text("ended_at - started_at > interval '1 hour'"),
    )
    op.create_index(
        "commands_failed_bids_index",
        "commands",
        ["decided_at"],
        postgresql_where=text("status = 'failed' AND operation IN ('dial', 'transfer')"),
    )


def downgrade() -> None:
    op.drop_index("commands_failed_bids_index", "commands")
    op.drop_index("legs_long_index", "legs")
    op.drop_table("webhook_sums")
    op.drop_column("commands", "caused_at")
