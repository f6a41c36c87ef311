"""An index of the parked sessions, which are few: they are listed without reading all sessions."""

from alembic import op
from sqlalchemy import text

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "sessions_parked_index", "sessions", ["session_id"], postgresql_where=text("parked")
    )


def downgrade() -> None:
    op.drop_index("sessions_parked_index", "sessions")
