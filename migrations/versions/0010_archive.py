"""Where archived sessions are, and what was erased."""

from alembic import op
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Integer,
    PrimaryKeyConstraint,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "archive_segments",
        Column("name", Text, nullable=False),
        Column("root", Text, nullable=False),
        Column("begun_at", DateTime(timezone=True), nullable=False),
        Column("archived_at", DateTime(timezone=True), nullable=True),
        Column("sha256", Text, nullable=True),
        Column("bytes", BigInteger, nullable=True),
        Column("records", BigInteger, nullable=True),
        Column("sessions", Integer, nullable=True),
        Column("first_seq", BigInteger, nullable=True),
        Column("last_seq", BigInteger, nullable=True),
        PrimaryKeyConstraint("name", name="archive_segments_pkey"),
    )
    op.create_table(
        "archived_sessions",
        Column("session_id", Text, nullable=False),
        Column("segment", Text, nullable=False),
        Column("byte_offset", BigInteger, nullable=False),
        Column("byte_length", BigInteger, nullable=False),
        Column("records", Integer, nullable=False),
        Column("first_seq", BigInteger, nullable=False),
        Column("last_seq", BigInteger, nullable=False),
        Column("repeated", ARRAY(BigInteger), nullable=False),
        Column("left_log_at", DateTime(timezone=True), nullable=True),
        PrimaryKeyConstraint("session_id", "segment", name="archived_sessions_pkey"),
    )
    op.create_index("archived_sessions_segment_index", "archived_sessions", ["segment"])
    op.create_index(
        "archived_sessions_in_log_index",
        "archived_sessions",
        ["segment"],
        postgresql_where=text("left_log_at IS NULL"),
    )
    op.create_table(
        "erasures",
        Column("erasure_id", BigInteger, Identity(), nullable=False),
        Column("begun_at", DateTime(timezone=True), nullable=False),
        Column("erased_at", DateTime(timezone=True), nullable=True),
        Column("pending", JSONB, nullable=True),
        Column("sessions", Integer, nullable=False),
        Column("records", BigInteger, nullable=False),
        Column("messages", BigInteger, nullable=False),
        Column("segments", Integer, nullable=False),
        PrimaryKeyConstraint("erasure_id", name="erasures_pkey"),
    )
    op.create_table(
        "erased_sessions",
        Column("digest", Text, nullable=False),
        Column("erasure_id", BigInteger, nullable=True),
        PrimaryKeyConstraint("digest", name="erased_sessions_pkey"),
    )


def downgrade() -> None:
    op.drop_table("erased_sessions")
    op.drop_table("erasures")
    op.drop_table("archived_sessions")
    op.drop_table("archive_segments")
