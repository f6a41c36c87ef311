"""Room in each page of the views, so that a row that is written again stays in its page.

Then no index is touched. Pages that exist stay as they are until their rows are moved.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_VIEWS = ("sessions", "legs", "commands", "queue_visits")


def upgrade() -> None:
    for name in _VIEWS:
        op.execute(f"alter table {name} set (fillfactor = 70)")


def downgrade() -> None:
    for name in _VIEWS:
        op.execute(f"alter table {name} reset (fillfactor)")
