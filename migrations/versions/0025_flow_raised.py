"""When the flow of a session raised last, and an index of the sessions whose flow did.

Existing sessions get it from `event_log`. Those in the archive get theirs when the views are
rebuilt.
"""

from alembic import op
from sqlalchemy import Column, DateTime, text

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", Column("flow_raised_at", DateTime(timezone=True), nullable=True))
    op.execute(
        "update sessions set flow_raised_at = parked.at from ("
        "select session_id, max(stored_at) as at from event_log"
        " where type = 'SessionParked' group by session_id"
        ") as parked where parked.session_id = sessions.session_id"
    )
    op.create_index(
        "sessions_flow_raised_index",
        "sessions",
        [text("first_stored_at DESC"), text("first_seq DESC")],
        postgresql_where=text("flow_raised_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("sessions_flow_raised_index", "sessions")
    op.drop_column("sessions", "flow_raised_at")
