"""What analytics group legs by: the first digits of the remote number, and the session's flow.

Existing rows get them from their numbers and their session; erased ones have no number any more.
"""

from alembic import op
from sqlalchemy import Column, Text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_COLUMNS = ("number_prefix", "flow", "flow_version")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("legs", Column(name, Text, nullable=True))
    op.execute(
        r"""
        update legs set flow = sessions.flow, flow_version = sessions.flow_version,
            number_prefix = substring(
                case legs.direction when 'incoming' then legs.from_number
                    when 'outgoing' then legs.to_number end
                from '^(?\:sips?\:|tel\:)?(\+[0-9]{1,4})[0-9]{3,}'
            )
        from sessions where sessions.session_id = legs.session_id
        """
    )


def downgrade() -> None:
    for name in reversed(_COLUMNS):
        op.drop_column("legs", name)
