"""The index of long calls with a condition of which Postgres expects few rows.

Of a comparison it expects a third of all, and read two days of legs by another index.
"""

from alembic import op
from sqlalchemy import text

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create("(ended_at - started_at > interval '1 hour')::int = 1")


def downgrade() -> None:
    _create("ended_at - started_at > interval '1 hour'")


def _create(condition: str) -> None:
    op.drop_index("legs_long_index", "legs")
    op.create_index(
        "legs_long_index", "legs", ["started_at", "ended_at"], postgresql_where=text(condition)
    )
