"""The view of legs: a row for each leg of each session.

A hangup may be lost. What is up by its events is shown as ended from `up_until` on, the latest time
at which it can have been up, and `end_inferred` says that no hangup was received. A hangup that
comes later says when it really ended.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, get_args

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Index,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.events import CallAiGatherEnded, CallGatherEnded, CarrierEvent
from offhook.projections.views.fold import BEGINNING, Folded
from offhook.projections.views.stored.event_log import event_log
from offhook.projections.views.view import (
    Seq,
    View,
    column_names,
    rows_as,
    storable,
    storable_row,
    table_of,
)
from offhook.session.leg import Leg, Media

MEDIA: tuple[Media, ...] = get_args(Media)


@dataclass(frozen=True, kw_only=True)
class LegView:
    """A leg; null is what no event has said.

    `end_inferred` is true if it must have ended by now and no hangup was received.
    """

    call_control_id: str
    # Events without a call_session_id put the same leg in a session of their own, so a leg alone
    # is not unique: see `read_leg` for which row counts.
    session_id: str
    call_leg_id: str | None
    connection_id: str | None
    direction: str | None
    from_number: str | None
    to_number: str | None
    state: str  # unseen, initiated, answered, bridged, ended
    client_state: str | None
    started_at: datetime | None
    answered_at: datetime | None
    bridged_at: datetime | None
    ended_at: datetime | None
    up_until: datetime | None  # the latest it can have been up; null once ended_at is known
    hangup_cause: str | None
    hangup_source: str | None
    sip_hangup_cause: str | None
    talk_s: float | None
    quality: Mapping[str, Any] | None
    held_since: datetime | None  # null unless it is held now
    queue: str | None  # the one it waits in, or did last
    enqueued_at: datetime | None
    dequeued_at: datetime | None
    queue_wait_s: float | None
    queue_reason: str | None  # why it left
    conference_id: str | None  # the one it is in, or was last
    machine_detection: str | None  # human, machine, not_sure …
    machine_greeting: str | None  # beep_detected, ended …
    dtmf: str | None  # the keys pressed
    gathered: Mapping[str, Any] | None  # status, and digits or an assistant's result
    refer: Mapping[str, Any] | None  # state: started, completed, failed; sip_status
    media: Mapping[str, str] | None  # speak, playback, streaming, fork, siprec: started, ended …
    transcribed_at: datetime | None
    recording_error: str | None
    cost: Decimal | None
    currency: str | None
    cost_parts: Sequence[Mapping[str, Any]] | None
    number_prefix: str | None  # of the remote party, + and up to 4 digits; null without a country
    # Of the session's last decision that a flow made.
    flow: str | None
    flow_version: str | None
    last_seq: Seq
    end_inferred: bool = False


legs = table_of(
    "legs",
    LegView,
    Index("legs_session_id_index", "session_id"),
    Index("legs_started_at_index", "started_at"),
    Index("legs_ended_at_index", "ended_at"),
    Index(
        "legs_active_index",
        "connection_id",
        "call_control_id",
        postgresql_where=text("ended_at IS NULL"),
    ),
    # Not by `up_until`: it changes with the answer, and then all indexes would be written.
    Index("legs_not_ended_index", "started_at", postgresql_where=text("ended_at IS NULL")),
    # See those of sessions. A search reads the sessions of a number from them alone.
    *(
        Index(
            f"legs_{number}_index",
            number,
            postgresql_ops={number: "text_pattern_ops"},
            postgresql_include=["session_id", "started_at"],
        )
        for number in ("from_number", "to_number")
    ),
    *(
        Index(
            f"legs_{number}_reversed_index",
            literal_column(f"reverse({number})").label("reversed"),
            postgresql_ops={"reversed": "text_pattern_ops"},
            postgresql_include=[number, "session_id", "started_at"],
        )
        for number in ("from_number", "to_number")
    ),
    # Calls that may be up in a range without starting or ending in it.
    Index(
        "legs_long_index",
        "started_at",
        "ended_at",
        postgresql_where=text("(ended_at - started_at > interval '1 hour')::int = 1"),
    ),
    key=("call_control_id", "session_id"),
)


def leg_rows(folded: Folded, after_seq: int = 0) -> list[LegView]:
    """The legs that changed after `after_seq`."""
    session = folded.session
    return [
        _row(session.legs[call_control_id], folded, seq)
        for call_control_id, seq in folded.leg_seqs.items()
        if seq > after_seq
    ]


LEGS = View(
    table=legs,
    rows_of=leg_rows,
    kept_when_erased=column_names(
        """
        connection_id direction state started_at answered_at bridged_at ended_at up_until
        hangup_cause hangup_source sip_hangup_cause talk_s quality held_since queue
        enqueued_at dequeued_at queue_wait_s queue_reason machine_detection machine_greeting
        media transcribed_at cost currency cost_parts number_prefix flow flow_version last_seq
        """
    ),
    cleared_when_erased=column_names(
        """
        call_leg_id from_number to_number client_state conference_id dtmf gathered refer
        recording_error
        """
    ),
)


def leg_at(leg: LegView, now: datetime) -> LegView:
    """The leg as it is shown at `now`."""
    if leg.ended_at is not None:
        return leg
    if leg.state != "ended" and leg.up_until is not None and now < leg.up_until:
        return leg
    return replace(leg, state="ended", end_inferred=True)


async def read_leg(connection: AsyncConnection, call_control_id: str) -> LegView | None:
    """The leg. Where events without a session id put it in several sessions, the fullest row."""
    found = await connection.execute(
        select(legs)
        .where(legs.c.call_control_id == storable(call_control_id))
        .order_by(
            (legs.c.state != "unseen").desc(), last_stored_at(legs).desc(), legs.c.last_seq.desc()
        )
        .limit(1)
    )
    row = found.one_or_none()
    return None if row is None else LegView(**row._mapping)


async def list_legs(connection: AsyncConnection, condition: "ColumnElement[bool]") -> list[LegView]:
    """The legs that meet the condition, in no order."""
    found = await connection.execute(select(legs).where(condition))
    return rows_as(LegView, found)


async def list_every_leg(connection: AsyncConnection) -> list[LegView]:
    """All of them at once: for a demo, or a test."""
    return rows_as(LegView, await connection.execute(select(legs)))


def last_stored_at(row: "FromClause") -> "ColumnElement[datetime]":
    """When the row's last record was stored: positions of two sessions are in no order.

    The records of a session that is over may have left event_log.
    """
    last = select(event_log.c.stored_at).where(event_log.c.seq == row.c.last_seq)
    return func.coalesce(last.correlate(row).scalar_subquery(), BEGINNING)


def _row(leg: Leg, folded: Folded, last_seq: int) -> LegView:
    enqueued, dequeued = leg.enqueued, leg.dequeued
    return storable_row(
        LegView,
        call_control_id=leg.call_control_id,
        session_id=folded.session.session_id,
        call_leg_id=leg.call_leg_id,
        connection_id=leg.connection_id,
        direction=leg.direction,
        from_number=leg.from_,
        to_number=leg.to,
        state=leg.state,
        client_state=leg.client_state,
        started_at=leg.started_at,
        answered_at=leg.answered_at,
        bridged_at=leg.bridged_at,
        ended_at=leg.ended_at,
        up_until=leg.up_until,
        hangup_cause=leg.hangup_cause,
        hangup_source=leg.hangup_source,
        sip_hangup_cause=leg.sip_hangup_cause,
        talk_s=leg.talk_s,
        quality=leg.quality,
        held_since=leg.held_since,
        queue=leg.queue,
        enqueued_at=enqueued.occurred_at if enqueued else None,
        dequeued_at=dequeued.occurred_at if dequeued else None,
        queue_wait_s=leg.queue_wait_s,
        queue_reason=dequeued.reason if dequeued else None,
        conference_id=leg.conference_id,
        machine_detection=leg.machine_detection,
        machine_greeting=leg.machine_greeting,
        dtmf=leg.dtmf or None,
        gathered=_gathered(leg),
        refer=_refer(leg),
        media={name: _end_of(leg.latest[name]) for name in MEDIA if name in leg.latest} or None,
        transcribed_at=leg.transcribed_at,
        recording_error=leg.recording_error,
        cost=leg.cost_total,
        currency=leg.currency,
        cost_parts=leg.cost.cost_parts if leg.cost else None,
        number_prefix=_number_prefix(leg),
        flow=folded.flow,
        flow_version=folded.flow_version,
        last_seq=last_seq,
    )


def _number_prefix(leg: Leg) -> str | None:
    """A country and an area of it; no subscriber, so that it may stay when a session is erased."""
    remote = {"incoming": leg.from_, "outgoing": leg.to}.get(leg.direction or "")
    found = _WITH_COUNTRY.match(remote) if remote else None
    return found[1] if found else None


def _gathered(leg: Leg) -> dict[str, Any] | None:
    match leg.gathered:
        case CallGatherEnded() as event:
            return {"status": event.status, "digits": event.digits}
        case CallAiGatherEnded() as event:
            return {"status": event.status, "result": event.result}
        case None:
            return None


def _refer(leg: Leg) -> dict[str, Any] | None:
    if leg.refer is None:
        return None
    return {"state": _end_of(leg.refer), "sip_status": leg.refer.sip_notify_response}


def _end_of(event: CarrierEvent) -> str:
    """The last part of its type: started, ended, stopped, completed, failed."""
    return event.event_type.rpartition(".")[2]


PREFIX_DIGITS = 4
_WITH_COUNTRY = re.compile(rf"(?:sips?:|tel:)?(\+[0-9]{{1,{PREFIX_DIGITS}}})[0-9]{{3,}}")
