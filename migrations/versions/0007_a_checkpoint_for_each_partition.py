"""A checkpoint for each partition of the log, and who projects which.

A log of one partition, as it was before, is partition 0. A projector of before this migration goes
on with it until it ends.
"""

from alembic import op
from sqlalchemy import BigInteger, Column, DateTime, Integer, PrimaryKeyConstraint, Text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoint", Column("partition", Integer, nullable=False, server_default="0"))
    op.drop_constraint("checkpoint_pkey", "checkpoint")
    op.create_primary_key("checkpoint_pkey", "checkpoint", ["name", "partition"])
    op.create_table(
        "projectors",
        Column("name", Text, nullable=False),
        Column("projector_id", Text, nullable=False),
        Column("joined_at", DateTime(timezone=True), nullable=False),
        Column("expires_at", DateTime(timezone=True), nullable=False),
        Column("backend_pid", Integer, nullable=False),
        Column("backend_started_at", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("name", "projector_id", name="projectors_pkey"),
    )
    op.create_table(
        "projector_leases",
        Column("name", Text, nullable=False),
        Column("partition", Integer, nullable=False),
        Column("holder", Text, nullable=True),
        Column("epoch", BigInteger, nullable=False),
        Column("taken_at", DateTime(timezone=True), nullable=True),
        PrimaryKeyConstraint("name", "partition", name="projector_leases_pkey"),
    )


def downgrade() -> None:
    op.drop_table("projector_leases")
    op.drop_table("projectors")
    op.execute("delete from checkpoint where partition > 0")
    op.drop_constraint("checkpoint_pkey", "checkpoint")
    op.drop_column("checkpoint", "partition")
    op.create_primary_key("checkpoint_pkey", "checkpoint", ["name"])
