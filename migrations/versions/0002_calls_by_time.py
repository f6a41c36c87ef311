"""Indexes of legs by start and end, so that analytics read a time range instead of every leg."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("legs_started_at_index", "legs", ["started_at"])
    op.create_index("legs_ended_at_index", "legs", ["ended_at"])


def downgrade() -> None:
    op.drop_index("legs_ended_at_index", "legs")
    op.drop_index("legs_started_at_index", "legs")
