"""An index of sessions that started long after their first record: searches in a range need it.

It is made by one read of the sessions, beside whoever reads them; the projector waits meanwhile.
"""

from alembic import op
from sqlalchemy import text

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "sessions_stored_early_index",
        "sessions",
        [text("first_stored_at DESC"), text("first_seq DESC")],
        postgresql_where=text("started_at - first_stored_at > interval '1 minute'"),
    )


def downgrade() -> None:
    op.drop_index("sessions_stored_early_index", "sessions")
