"""Add the view of queue visits: a row for each time a leg was in a queue.

Calls from before have none until another event of theirs is received; `offhook rebuild` adds them
all.
"""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    Integer,
    PrimaryKeyConstraint,
    Text,
    text,
)

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "queue_visits",
        Column("session_id", Text, nullable=False),
        Column("call_control_id", Text, nullable=False),
        Column("number", Integer, nullable=False),
        Column("queue", Text, nullable=True),
        Column("enqueued_at", DateTime(timezone=True), nullable=True),
        Column("dequeued_at", DateTime(timezone=True), nullable=True),
        Column("wait_s", Double, nullable=True),
        Column("reason", Text, nullable=True),
        Column("first_seq", BigInteger, nullable=False),
        Column("last_seq", BigInteger, nullable=False),
        PrimaryKeyConstraint("session_id", "call_control_id", "number", name="queue_visits_pkey"),
    )
    op.create_index("queue_visits_first_seq_index", "queue_visits", [text("first_seq DESC")])
    op.create_index(
        "queue_visits_queue_first_seq_index", "queue_visits", ["queue", text("first_seq DESC")]
    )
    op.create_index("queue_visits_enqueued_at_index", "queue_visits", ["enqueued_at"])


def downgrade() -> None:
    op.drop_table("queue_visits")
