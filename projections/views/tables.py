"""The tables, as migrations leave them. "seq" is always the sequence in the stream CALLS.

    event_log        a copy of the log, each event id once: what views can be folded from again
    sessions         a row per session       ┐
    legs             a row per leg           ├ the views: derived, a row says up to which seq
    commands         a row per command       ┘
    checkpoint       how far a projector has come; fences projectors off from one another
    parked_sessions  sessions whose records cannot be read or folded; their views are old

No foreign keys: facts come in any order, and what a view refers to may not have come yet.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    desc,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_index",
    }
)

_Kind = TypeEngine[Any] | type[TypeEngine[Any]]
_Time = DateTime(timezone=True)


def _optional(name: str, kind: _Kind = Text) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _required(name: str, kind: _Kind = Text) -> Column[Any]:
    return Column(name, kind, nullable=False)


event_log = Table(
    "event_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _required("session_id"),
    _required("side"),  # in, out; empty for a subject that is none of ours
    _required("type"),
    _required("version", Integer),
    _optional("fact_id"),
    _optional("event_id"),  # the carrier's, of webhooks only
    _optional("occurred_at", _Time),  # the carrier's clock
    _required("stored_at", _Time),  # the log's clock
    _required("body", LargeBinary),  # the bytes as they are in the log
    Index("event_log_session_id_seq_index", "session_id", "seq"),
    Index("event_log_event_id_key", "event_id", unique=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    _required("status"),  # empty, active, ended
    _optional("started_at", _Time),
    _optional("answered_at", _Time),
    _optional("ended_at", _Time),
    _optional("up_until", _Time),  # by then the carrier ends it; null unless it is up
    _required("leg_count", Integer),
    # Of the first leg to start.
    _optional("call_control_id"),
    _optional("connection_id"),
    _optional("direction"),
    _optional("from_number"),
    _optional("to_number"),
    _optional("hangup_cause"),
    _optional("hangup_source"),
    _optional("sip_hangup_cause"),
    # Of all its legs, as far as it is told; null if in several currencies.
    _optional("cost", Numeric),
    _optional("currency"),
    _required("recording_count", Integer),
    _optional("recordings", JSONB),  # as in `offhook.session.conference.Recording`, oldest first
    _optional("conferences", JSONB),  # conference_id, created_at, ended_at, end_reason
    # Of the last decision that a flow made.
    _optional("flow"),
    _optional("flow_version"),
    _required("parked", Boolean),  # its flow raised: the session waits for an operator
    _required("first_seq", BigInteger),
    _required("last_seq", BigInteger),
    Index("sessions_first_seq_index", desc("first_seq")),
    Index("sessions_status_first_seq_index", "status", desc("first_seq")),
    Index("sessions_connection_id_first_seq_index", "connection_id", desc("first_seq")),
    Index("sessions_from_number_first_seq_index", "from_number", desc("first_seq")),
    Index("sessions_to_number_first_seq_index", "to_number", desc("first_seq")),
    Index("sessions_started_at_index", "started_at"),
)

legs = Table(
    "legs",
    metadata,
    # Events without a call_session_id put the same leg in a session of their own, so a leg alone
    # is not unique: see `queries.read_leg` for which row counts.
    Column("call_control_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    _optional("call_leg_id"),
    _optional("connection_id"),
    _optional("direction"),
    _optional("from_number"),
    _optional("to_number"),
    _required("state"),  # unseen, initiated, answered, bridged, ended
    _optional("client_state"),
    _optional("started_at", _Time),
    _optional("answered_at", _Time),
    _optional("bridged_at", _Time),
    _optional("ended_at", _Time),
    _optional("up_until", _Time),  # the latest it can have been up; null once ended_at is known
    _optional("hangup_cause"),
    _optional("hangup_source"),
    _optional("sip_hangup_cause"),
    _optional("talk_s", Double),
    _optional("quality", JSONB),
    _optional("held_since", _Time),  # null unless it is held now
    _optional("queue"),  # the one it waits in, or did last
    _optional("enqueued_at", _Time),
    _optional("dequeued_at", _Time),
    _optional("queue_wait_s", Double),
    _optional("queue_reason"),  # why it left
    _optional("conference_id"),  # the one it is in, or was last
    _optional("machine_detection"),  # human, machine, not_sure …
    _optional("machine_greeting"),  # beep_detected, ended …
    _optional("dtmf"),  # the keys pressed
    _optional("gathered", JSONB),  # status, and digits or an assistant's result
    _optional("refer", JSONB),  # state: started, completed, failed; sip_status
    _optional("media", JSONB),  # speak, playback, streaming, fork, siprec: started, ended …
    _optional("transcribed_at", _Time),
    _optional("recording_error"),
    _optional("cost", Numeric),
    _optional("currency"),
    _optional("cost_parts", JSONB),
    _required("last_seq", BigInteger),
    Index("legs_session_id_index", "session_id"),
    Index("legs_started_at_index", "started_at"),
    Index("legs_ended_at_index", "ended_at"),
    Index(
        "legs_active_index",
        "connection_id",
        "call_control_id",
        postgresql_where=text("ended_at IS NULL"),
    ),
)

commands = Table(
    "commands",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("command_id", Text, primary_key=True),
    _optional("operation"),
    _optional("call_control_id"),
    _optional("parameters", JSONB),
    _required("status"),  # requested, pending, succeeded, failed
    _optional("reason"),  # why it failed
    _optional("detail"),
    _optional("http_status", Integer),
    _optional("answer", JSONB),  # the carrier's whole body
    _optional("answer_session_id"),  # the session of the leg that a dial placed
    _optional("errors", JSONB),  # the carrier's own
    _optional("maybe_performed", Boolean),  # of a failed one; null if that was not kept
    _required("attempts", Integer),
    _optional("flow"),
    _optional("flow_version"),
    _optional("cause_seq", BigInteger),
    _required("ordinal", Integer),
    _optional("requested_at", _Time),
    _optional("decided_at", _Time),
    _optional("settled_at", _Time),
    _required("last_seq", BigInteger),
    Index("commands_command_id_index", "command_id"),
    Index(
        "commands_answer_session_id_index",
        "answer_session_id",
        postgresql_where=text("answer_session_id IS NOT NULL"),
    ),
    Index("commands_decided_at_index", "decided_at"),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("name", Text, primary_key=True),
    _required("stream_created_at", _Time),
    _required("seq", BigInteger),  # of the last record in the views, 0 for none
    _optional("stored_at", _Time),  # when that record came into the log
    _required("updated_at", _Time),
)

parked_sessions = Table(
    "parked_sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    _required("since_seq", BigInteger),  # the record at which folding first failed
    _required("error"),
    _required("attempts", Integer),
    _required("parked_at", _Time),
    _required("tried_at", _Time),
)
