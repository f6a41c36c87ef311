"""Legs that have not ended are found by their start, in place of the latest time they can be up.

That time changes with the answer, and an update that changes an indexed column writes every index
of its table. As in 0030 the new index is made first, and readers wait only at the end.
"""

from alembic import op
from sqlalchemy import text

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_NOT_ENDED = text("ended_at IS NULL")


def upgrade() -> None:
    op.create_index("legs_not_ended_index", "legs", ["started_at"], postgresql_where=_NOT_ENDED)
    op.drop_index("legs_up_until_index", "legs")


def downgrade() -> None:
    op.create_index("legs_up_until_index", "legs", ["up_until"], postgresql_where=_NOT_ENDED)
    op.drop_index("legs_not_ended_index", "legs")
