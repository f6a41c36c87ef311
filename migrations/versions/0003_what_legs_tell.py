"""Details of legs (holds, queues, keys, media, cost), and the recordings and cost of sessions.

Rows of earlier calls have nulls until another event of theirs arrives or `offhook rebuild` is run.
"""

from typing import Any

from alembic import op
from sqlalchemy import Column, DateTime, Double, Integer, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_Columns = tuple[tuple[str, type[TypeEngine[Any]] | TypeEngine[Any]], ...]

_LEGS: _Columns = (
    ("held_since", DateTime(timezone=True)),
    ("queue", Text),
    ("enqueued_at", DateTime(timezone=True)),
    ("dequeued_at", DateTime(timezone=True)),
    ("queue_wait_s", Double),
    ("queue_reason", Text),
    ("conference_id", Text),
    ("machine_detection", Text),
    ("machine_greeting", Text),
    ("dtmf", Text),
    ("gathered", JSONB),
    ("refer", JSONB),
    ("media", JSONB),
    ("transcribed_at", DateTime(timezone=True)),
    ("recording_error", Text),
    ("cost", Numeric),
    ("currency", Text),
    ("cost_parts", JSONB),
)
_SESSIONS: _Columns = (
    ("cost", Numeric),
    ("currency", Text),
    ("recordings", JSONB),
    ("conferences", JSONB),
)


def upgrade() -> None:
    # Sessions before legs, the order in which readers lock them, to avoid a deadlock.
    for name, kind in _SESSIONS:
        op.add_column("sessions", Column(name, kind, nullable=True))
    count = Column("recording_count", Integer, nullable=False, server_default="0")
    op.add_column("sessions", count)
    op.alter_column("sessions", "recording_count", server_default=None)
    for name, kind in _LEGS:
        op.add_column("legs", Column(name, kind, nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "recording_count")
    for name, _ in reversed(_SESSIONS):
        op.drop_column("sessions", name)
    for name, _ in reversed(_LEGS):
        op.drop_column("legs", name)
