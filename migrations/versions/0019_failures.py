"""A wider rule for legs that failed, as `offhook.session.failures` has it.

More SIP codes count than 5xx: a call that was refused with 403 and `call_rejected` had not failed.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_FAILED_BY_CAUSE = """
    leg.hangup_cause not in (
        'call_rejected', 'no_answer', 'normal_clearing', 'originator_cancel', 'timeout', 'user_busy'
    )
"""
_BEFORE = f"({_FAILED_BY_CAUSE} or leg.sip_hangup_cause ~ '^5[0-9][0-9]$')"
_NOW = f"""(
    {_FAILED_BY_CAUSE}
    or leg.sip_hangup_cause ~ '^[456][0-9][0-9]$'
    and leg.sip_hangup_cause not in ('408', '480', '486', '487', '600', '603')
)"""


def _has_failed(rule: str) -> str:
    return f"""exists (
        select from legs as leg
        where leg.session_id = sessions.session_id and leg.ended_at is not null
        and leg.answered_at is null and leg.bridged_at is null
        and leg.hangup_cause is not null and {rule}
        and not exists (
            select from legs as other
            where other.session_id = sessions.session_id
            and coalesce(other.answered_at, other.bridged_at) >= leg.ended_at
        )
    )"""


def upgrade() -> None:
    op.execute(f"update sessions set failed = true where not failed and {_has_failed(_NOW)}")


def downgrade() -> None:
    op.execute(
        "update sessions set failed = false where failed and not parked"
        f" and {_has_failed(_NOW)} and not {_has_failed(_BEFORE)}"
    )
