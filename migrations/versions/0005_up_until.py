"""The latest time at which a leg or a session can be up if its hangup was lost.

Existing rows get it by the rule of `offhook.session.leg`, as far as their columns allow. `offhook
rebuild` corrects the rest: legs known only from events in mid-call, and legs whose cost was
received without a hangup.
"""

from alembic import op
from sqlalchemy import Column, DateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("sessions", "legs"):
        op.add_column(table, Column("up_until", DateTime(timezone=True), nullable=True))
    op.execute(
        "update legs set up_until = coalesce("
        "coalesce(answered_at, bridged_at) + interval '4 hours',"
        " started_at + interval '4 hours 10 minutes')"
        " where ended_at is null"
    )
    op.execute(
        "update sessions set up_until ="
        " (select max(up_until) from legs where legs.session_id = sessions.session_id)"
        " where status = 'active'"
    )


def downgrade() -> None:
    for table in ("sessions", "legs"):
        op.drop_column(table, "up_until")
