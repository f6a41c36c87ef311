"""Indexes that searches read without the rows: the sessions of a number, and of a failed command.

The new ones are made beside those that there are, and searches go on meanwhile. They wait only at
the end: to drop the old ones, Postgres waits for whoever still reads legs, such as an export, and
searches that come then wait behind it.
"""

from alembic import op
from sqlalchemy import text

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_NUMBERS = ("from_number", "to_number")


def upgrade() -> None:
    op.create_index(
        "sessions_failed_commands_words_index",
        "sessions",
        [text("failed_commands jsonb_path_ops")],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
        postgresql_where=text("failed_commands IS NOT NULL"),
    )
    _replace(["session_id"])


def downgrade() -> None:
    _replace([])
    op.drop_index("sessions_failed_commands_words_index", "sessions")


def _replace(included: list[str]) -> None:
    """Have the indexes of the numbers of legs include these columns, in place of others."""
    made = {}
    for number in _NUMBERS:
        # Postgres reads an index alone only if it has each column that is compared.
        of_number = [number] if included else []
        made[f"legs_{number}_index"] = (number, included)
        made[f"legs_{number}_reversed_index"] = (f"reverse({number})", [*of_number, *included])
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
