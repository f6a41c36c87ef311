"""The copy of the log, the views, the checkpoint and the parked sessions."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_log",
        Column("seq", BigInteger, nullable=False, autoincrement=False),
        Column("session_id", Text, nullable=False),
        Column("side", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("fact_id", Text, nullable=True),
        Column("event_id", Text, nullable=True),
        Column("occurred_at", DateTime(timezone=True), nullable=True),
        Column("stored_at", DateTime(timezone=True), nullable=False),
        Column("body", LargeBinary, nullable=False),
        PrimaryKeyConstraint("seq", name="event_log_pkey"),
    )
    op.create_index("event_log_event_id_key", "event_log", ["event_id"], unique=True)
    op.create_index("event_log_session_id_seq_index", "event_log", ["session_id", "seq"])

    op.create_table(
        "sessions",
        Column("session_id", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("started_at", DateTime(timezone=True), nullable=True),
        Column("answered_at", DateTime(timezone=True), nullable=True),
        Column("ended_at", DateTime(timezone=True), nullable=True),
        Column("leg_count", Integer, nullable=False),
        Column("call_control_id", Text, nullable=True),
        Column("connection_id", Text, nullable=True),
        Column("direction", Text, nullable=True),
        Column("from_number", Text, nullable=True),
        Column("to_number", Text, nullable=True),
        Column("hangup_cause", Text, nullable=True),
        Column("hangup_source", Text, nullable=True),
        Column("sip_hangup_cause", Text, nullable=True),
        Column("flow", Text, nullable=True),
        Column("flow_version", Text, nullable=True),
        Column("parked", Boolean, nullable=False),
        Column("first_seq", BigInteger, nullable=False),
        Column("last_seq", BigInteger, nullable=False),
        PrimaryKeyConstraint("session_id", name="sessions_pkey"),
    )
    op.create_index(
        "sessions_connection_id_first_seq_index",
        "sessions",
        ["connection_id", text("first_seq DESC")],
    )
    op.create_index("sessions_first_seq_index", "sessions", [text("first_seq DESC")])
    op.create_index(
        "sessions_from_number_first_seq_index", "sessions", ["from_number", text("first_seq DESC")]
    )
    op.create_index("sessions_started_at_index", "sessions", ["started_at"])
    op.create_index(
        "sessions_status_first_seq_index", "sessions", ["status", text("first_seq DESC")]
    )
    op.create_index(
        "sessions_to_number_first_seq_index", "sessions", ["to_number", text("first_seq DESC")]
    )

    op.create_table(
        "legs",
        Column("call_control_id", Text, nullable=False),
        Column("session_id", Text, nullable=False),
        Column("call_leg_id", Text, nullable=True),
        Column("connection_id", Text, nullable=True),
        Column("direction", Text, nullable=True),
        Column("from_number", Text, nullable=True),
        Column("to_number", Text, nullable=True),
        Column("state", Text, nullable=False),
        Column("client_state", Text, nullable=True),
        Column("started_at", DateTime(timezone=True), nullable=True),
        Column("answered_at", DateTime(timezone=True), nullable=True),
        Column("bridged_at", DateTime(timezone=True), nullable=True),
        Column("ended_at", DateTime(timezone=True), nullable=True),
        Column("hangup_cause", Text, nullable=True),
        Column("hangup_source", Text, nullable=True),
        Column("sip_hangup_cause", Text, nullable=True),
        Column("talk_s", Double, nullable=True),
        Column("quality", JSONB, nullable=True),
        Column("last_seq", BigInteger, nullable=False),
        PrimaryKeyConstraint("call_control_id", "session_id", name="legs_pkey"),
    )
    op.create_index(
        "legs_active_index",
        "legs",
        ["connection_id", "call_control_id"],
        postgresql_where=text("ended_at IS NULL"),
    )
    op.create_index("legs_session_id_index", "legs", ["session_id"])

    op.create_table(
        "commands",
        Column("session_id", Text, nullable=False),
        Column("command_id", Text, nullable=False),
        Column("operation", Text, nullable=True),
        Column("call_control_id", Text, nullable=True),
        Column("parameters", JSONB, nullable=True),
        Column("status", Text, nullable=False),
        Column("reason", Text, nullable=True),
        Column("detail", Text, nullable=True),
        Column("http_status", Integer, nullable=True),
        Column("answer", JSONB, nullable=True),
        Column("answer_session_id", Text, nullable=True),
        Column("errors", JSONB, nullable=True),
        Column("attempts", Integer, nullable=False),
        Column("flow", Text, nullable=True),
        Column("flow_version", Text, nullable=True),
        Column("cause_seq", BigInteger, nullable=True),
        Column("ordinal", Integer, nullable=False),
        Column("requested_at", DateTime(timezone=True), nullable=True),
        Column("decided_at", DateTime(timezone=True), nullable=True),
        Column("settled_at", DateTime(timezone=True), nullable=True),
        Column("last_seq", BigInteger, nullable=False),
        PrimaryKeyConstraint("session_id", "command_id", name="commands_pkey"),
    )
    op.create_index(
        "commands_answer_session_id_index",
        "commands",
        ["answer_session_id"],
        postgresql_where=text("answer_session_id IS NOT NULL"),
    )
    op.create_index("commands_command_id_index", "commands", ["command_id"])
    op.create_index("commands_decided_at_index", "commands", ["decided_at"])

    op.create_table(
        "checkpoint",
        Column("name", Text, nullable=False),
        Column("stream_created_at", DateTime(timezone=True), nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("stored_at", DateTime(timezone=True), nullable=True),
        Column("updated_at", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("name", name="checkpoint_pkey"),
    )

    op.create_table(
        "parked_sessions",
        Column("session_id", Text, nullable=False),
        Column("since_seq", BigInteger, nullable=False),
        Column("error", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("parked_at", DateTime(timezone=True), nullable=False),
        Column("tried_at", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("session_id", name="parked_sessions_pkey"),
    )


def downgrade() -> None:
    op.drop_table("parked_sessions")
    op.drop_table("checkpoint")
    op.drop_table("commands")
    op.drop_table("legs")
    op.drop_table("sessions")
    op.drop_table("event_log")
