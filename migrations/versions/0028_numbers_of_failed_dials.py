"""Indexes of the numbers of dials and transfers that failed: a search finds their sessions."""

from alembic import op
from sqlalchemy import text

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_FAILED_DIAL = "status = 'failed' AND operation IN ('dial', 'transfer')"


def upgrade() -> None:
    for name in ("from", "to"):
        number = f"left(parameters ->> '{name}', 200)"
        for suffix, indexed in (("", number), ("_reversed", f"reverse({number})")):
            op.create_index(
                f"commands_failed_dials_{name}{suffix}_index",
                "commands",
                [text(f"({indexed}) text_pattern_ops")],
                postgresql_where=text(_FAILED_DIAL),
            )
    op.create_index(
        "commands_failed_dials_session_id_index",
        "commands",
        ["session_id"],
        postgresql_where=text(_FAILED_DIAL),
    )
    op.create_index(
        "commands_failed_dials_to_several_index",
        "commands",
        ["session_id"],
        postgresql_where=text(f"{_FAILED_DIAL} AND jsonb_typeof(parameters -> 'to') = 'array'"),
    )


def downgrade() -> None:
    op.drop_index("commands_failed_dials_to_several_index", "commands")
    op.drop_index("commands_failed_dials_session_id_index", "commands")
    for name in ("from", "to"):
        for suffix in ("", "_reversed"):
            op.drop_index(f"commands_failed_dials_{name}{suffix}_index", "commands")
