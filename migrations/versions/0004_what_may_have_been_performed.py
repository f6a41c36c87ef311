"""Whether a failed command may have been performed anyway.

Earlier commands have null, because their records do not say.
"""

from alembic import op
from sqlalchemy import Boolean, Column

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("commands", Column("maybe_performed", Boolean, nullable=True))


def downgrade() -> None:
    op.drop_column("commands", "maybe_performed")
