"""An index of event_log by time, so that `--since` reads what is new instead of every record."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("event_log_stored_at_index", "event_log", ["stored_at"])


def downgrade() -> None:
    op.drop_index("event_log_stored_at_index", "event_log")
