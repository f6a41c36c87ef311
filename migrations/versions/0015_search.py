"""Whether a session has failed, and indexes to search sessions and legs by number.

An index on the text's bytes finds the start of a number in any collation, and one on the reversed
text finds its end. Existing sessions have failed by the rule of `Session.has_failed`.
"""

from alembic import op
from sqlalchemy import Boolean, Column, text

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_NUMBERS = ("from_number", "to_number")
_NEWEST_FIRST = [text("first_stored_at DESC"), text("first_seq DESC")]
_FAILED = """
    update sessions set failed = true where parked or exists (
        select from legs as leg
        where leg.session_id = sessions.session_id
        and leg.ended_at is not null and leg.answered_at is null and leg.bridged_at is null
        and (
            leg.hangup_cause not in (
                'call_rejected', 'no_answer', 'normal_clearing',
                'originator_cancel', 'timeout', 'user_busy'
            )
            or leg.hangup_cause is not null and leg.sip_hangup_cause ~ '^5[0-9][0-9]$'
        )
        and not exists (
            select from legs as other
            where other.session_id = sessions.session_id
            and coalesce(other.answered_at, other.bridged_at) >= leg.ended_at
        )
    )
"""


def upgrade() -> None:
    op.add_column(
        "sessions", Column("failed", Boolean, nullable=False, server_default=text("false"))
    )
    op.execute(_FAILED)
    op.alter_column("sessions", "failed", server_default=None)
    op.create_index(
        "sessions_failed_index", "sessions", _NEWEST_FIRST, postgresql_where=text("failed")
    )
    op.create_index(
        "sessions_hangup_cause_first_stored_at_index", "sessions", ["hangup_cause", *_NEWEST_FIRST]
    )
    for number in _NUMBERS:
        op.drop_index(f"sessions_{number}_first_stored_at_index", "sessions")
        op.create_index(
            f"sessions_{number}_first_stored_at_index",
            "sessions",
            [number, *_NEWEST_FIRST],
            postgresql_ops={number: "text_pattern_ops"},
        )
        op.create_index(
            f"legs_{number}_index", "legs", [number], postgresql_ops={number: "text_pattern_ops"}
        )
        for table in ("sessions", "legs"):
            op.create_index(
                f"{table}_{number}_reversed_index",
                table,
                [text(f"reverse({number}) text_pattern_ops")],
            )


def downgrade() -> None:
    for number in _NUMBERS:
        for table in ("sessions", "legs"):
            op.drop_index(f"{table}_{number}_reversed_index", table)
        op.drop_index(f"legs_{number}_index", "legs")
        op.drop_index(f"sessions_{number}_first_stored_at_index", "sessions")
        op.create_index(
            f"sessions_{number}_first_stored_at_index", "sessions", [number, *_NEWEST_FIRST]
        )
    op.drop_index("sessions_hangup_cause_first_stored_at_index", "sessions")
    op.drop_index("sessions_failed_index", "sessions")
    op.drop_column("sessions", "failed")
