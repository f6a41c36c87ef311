"""Indexes of the numbers of legs that have the time too: a search reads the newest from them.

As in 0030 the new ones are made beside those that there are, and searches wait only at the end.
"""

from alembic import op
from sqlalchemy import text

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_NUMBERS = ("from_number", "to_number")


def upgrade() -> None:
    op.create_index(
        "sessions_stored_late_index",
        "sessions",
        [text("first_stored_at DESC"), text("first_seq DESC")],
        postgresql_where=text("first_stored_at - started_at > interval '1 minute'"),
    )
    _replace(["session_id", "started_at"])


def downgrade() -> None:
    _replace(["session_id"])
    op.drop_index("sessions_stored_late_index", "sessions")


def _replace(included: list[str]) -> None:
    """Have the indexes of the numbers of legs include these columns, in place of others."""
    made = {}
    for number in _NUMBERS:
        made[f"legs_{number}_index"] = (number, included)
        # Postgres reads an index alone only if it has each column that is compared.
        made[f"legs_{number}_reversed_index"] = (f"reverse({number})", [number, *included])
    for name, (indexed, columns) in made.items():
        op.create_index(
            f"new_{name}",
            "legs",
            [text(f"({indexed}) text_pattern_ops")],
            postgresql_include=columns,
        )
    for name in made:
        op.drop_index(name, "legs")
        op.execute(f"alter index new_{name} rename to {name}")
