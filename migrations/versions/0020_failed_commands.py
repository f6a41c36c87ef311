"""The failed commands of a session, and an index of the sessions that have some.

Existing sessions get those in `commands`.
"""

from alembic import op
from sqlalchemy import Column, text
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_KINDS_MAX = 20
_FAILED_COMMANDS = f"""
    update sessions set failed_commands = found.kinds from (
        select
            session_id,
            jsonb_agg(
                jsonb_build_object(
                    'operation', operation, 'reason', reason,
                    'http_status', http_status, 'count', count
                )
                order by place
            ) as kinds
        from (
            select
                session_id, operation, reason, http_status, count(*),
                row_number() over (partition by session_id order by min(last_seq)) as place
            from commands
            where status = 'failed' and reason <> 'call_ended'
            group by session_id, operation, reason, http_status
        ) as kind
        where place <= {_KINDS_MAX}
        group by session_id
    ) as found
    where found.session_id = sessions.session_id
"""


def upgrade() -> None:
    op.add_column("sessions", Column("failed_commands", JSONB, nullable=True))
    op.execute(_FAILED_COMMANDS)
    op.create_index(
        "sessions_failed_commands_index",
        "sessions",
        [text("first_stored_at DESC"), text("first_seq DESC")],
        postgresql_where=text("failed_commands IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("sessions_failed_commands_index", "sessions")
    op.drop_column("sessions", "failed_commands")
