"""The headers of each record, among them the carrier's signature and timestamp.

Records that were copied before have null: their headers are read from the log.
"""

from alembic import op
from sqlalchemy import Column, Text

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("event_log", Column("headers", Text, nullable=True))


def downgrade() -> None:
    op.drop_column("event_log", "headers")
