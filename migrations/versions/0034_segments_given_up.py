"""Segments that were given up because they are lost, and erasures that ended without them."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("archive_segments", sa.Column("given_up_at", sa.DateTime(timezone=True)))
    op.add_column(
        "erasures",
        sa.Column("given_up", sa.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
    )


def downgrade() -> None:
    op.drop_column("erasures", "given_up")
    op.drop_column("archive_segments", "given_up_at")
