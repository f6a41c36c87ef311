"""An index of archived sessions by their last record, for streams that resume."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("archived_sessions_last_seq_index", "archived_sessions", ["last_seq"])


def downgrade() -> None:
    op.drop_index("archived_sessions_last_seq_index", "archived_sessions")
