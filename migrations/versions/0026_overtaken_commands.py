"""Commands that had failed when their leg ended are failed commands of their session.

As `offhook.session.failures` has it; until now those with the reason call_ended were not counted.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_KINDS_MAX = 20
_OVERTAKEN = """
    status = 'failed' and reason = 'call_ended'
    and attempts > (http_status is not null)::int
"""


def upgrade() -> None:
    op.execute(_failed_commands(f"reason <> 'call_ended' or {_OVERTAKEN}"))


def downgrade() -> None:
    op.execute(_failed_commands("reason <> 'call_ended'"))


def _failed_commands(counted: str) -> str:
    """Set those of every session with an overtaken command; no other is concerned."""
    return f"""
        update sessions set failed_commands = found.kinds from (
            select
                session_id,
                jsonb_agg(
                    jsonb_build_object(
                        'operation', operation, 'reason', reason,
                        'http_status', http_status, 'count', count
                    )
                    order by place
                ) filter (where place <= {_KINDS_MAX} and count > 0) as kinds
            from (
                select
                    session_id, operation, reason, http_status,
                    count(*) filter (where {counted}) as count,
                    row_number() over (
                        partition by session_id
                        order by min(last_seq) filter (where {counted}) nulls last
                    ) as place
                from commands
                where status = 'failed' and session_id in (
                    select session_id from commands where {_OVERTAKEN}
                )
                group by session_id, operation, reason, http_status
            ) as kind
            group by session_id
        ) as found
        where found.session_id = sessions.session_id
    """
