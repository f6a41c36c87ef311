"""Calls to fold, and what must come of them: a cold fold of the log, in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from nats.aio.client import Client
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallDequeued,
    CallEnqueued,
    CallEvent,
    CallHangup,
    CallInitiated,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
    Record,
    UnknownEvent,
    WebhookReceived,
)
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.stream import STREAM
from offhook.jetstream.subjects import Side
from offhook.projections.projector.progress import Progress
from offhook.projections.projector.project import Projector
from offhook.projections.views.fold import folded_from
from offhook.projections.views.progress.waiting import PositionWatch
from offhook.projections.views.registry import VIEWS, rows_of
from offhook.projections.views.view import columns_of
from tests.projections.rollups import assert_rolled_up

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)

TIMEOUT_S = 60.0
"""For what takes a second at most: a busy machine is not a failure."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A fact with the place it is stored at."""

    session_id: str
    side: Side
    encoded: Encoded


def webhook(session_id: str, event: CallEvent) -> Entry:
    encoded = encoded_webhook(wire_body(event), event.event_id)
    return Entry(session_id=session_id, side="in", encoded=encoded)


def fact(session_id: str, value: Fact, side: Side = "out") -> Entry:
    return Entry(session_id=session_id, side=side, encoded=encode(value, session_id))


def events_of(session_id: str) -> list[CallEvent]:
    """An incoming call that is answered, bridged to a second leg, and hung up."""
    leg: dict[str, Any] = {
        "call_control_id": f"v3:{session_id}",
        "call_leg_id": f"leg-{session_id}",
        "call_session_id": session_id,
        "connection_id": "connection-1",
        "from_": "+12025550100",
        "to": "+12025550101",
    }
    second: dict[str, Any] = {
        **leg,
        "call_control_id": f"v3:{session_id}-2",
        "call_leg_id": f"leg-{session_id}-2",
    }

    def at(seconds: float) -> dict[str, Any]:
        return {"occurred_at": NOON + timedelta(seconds=seconds)}

    def named(number: int) -> dict[str, Any]:
        return {"event_id": f"{session_id}-event-{number}"}

    end: dict[str, Any] = {
        "end_time": NOON + timedelta(seconds=60),
        "hangup_cause": "normal_clearing",
        "hangup_source": "caller",
        "sip_hangup_cause": "200",
        "call_quality_stats": {"inbound": {"mos": "4.50", "packet_count": 12}},
    }
    return [
        CallInitiated(**named(1), **at(0), **leg, direction="incoming", start_time=NOON),
        CallAnswered(**named(2), **at(3), **leg, start_time=NOON, client_state="c3RhdGU="),
        CallInitiated(**named(3), **at(4), **second, direction="outgoing"),
        CallAnswered(**named(4), **at(9), **second),
        CallBridged(**named(5), **at(10), **leg),
        CallBridged(**named(6), **at(10), **second),
        CallHangup(**named(7), **at(60), **leg, **end),
        CallHangup(**named(8), **at(61), **second, **end),
        UnknownEvent(
            **named(9),
            **at(65),
            event_type="call.recording.saved",
            call_control_id=f"v3:{session_id}",
            call_session_id=session_id,
        ),
    ]


def commands_of(session_id: str) -> list[Fact]:
    """Two commands, one that succeeds after another try and one that fails."""
    answer = IssuedCommand(
        command_id=f"{session_id}-answer",
        operation="answer",
        call_control_id=f"v3:{session_id}",
        parameters={"client_state": "c3RhdGU="},
    )
    speak = replace(answer, command_id=f"{session_id}-hangup", operation="hangup", parameters={})
    return [
        Decided(
            cause_seq=1,
            cause_id=f"{session_id}-event-1",
            flow="frontdesk",
            flow_version="7",
            worker="worker-1",
            lease_s=3.0,
            commands=(answer, speak),
        ),
        CommandAttempted(
            command_id=answer.command_id, attempt=2, because="503", worker="worker-1", lease_s=3.0
        ),
        CommandSucceeded(
            command_id=answer.command_id, http_status=200, answer={"data": {"result": "ok"}}
        ),
        CommandFailed(
            command_id=speak.command_id,
            operation="hangup",
            reason="refused",
            http_status=422,
            errors=[{"code": "90015"}],
        ),
    ]


def request_of(session_id: str) -> CommandRequested:
    return CommandRequested(
        command=IssuedCommand(
            command_id=f"{session_id}-dial", operation="dial", parameters={"to": "+12025550102"}
        ),
        requested_by="tests",
    )


def dial_of(session_id: str, placed: str, *, known: bool = True) -> list[Entry]:
    """A dial that an application asked for, and the call that it placed; `known` as of now."""
    request, decided = _requested_dial(session_id)
    command_id = request.command.command_id
    leg = PlacedLeg(
        call_control_id=f"v3:{placed}", session_id=placed, connection_id="connection-1",
        to_number="+12025550102",
    )  # fmt: skip
    answer = {"data": {"call_session_id": placed, "call_control_id": f"v3:{placed}"}}
    succeeded = CommandSucceeded(
        command_id=command_id, http_status=200, answer=answer, placed=leg if known else None
    )
    told = LegPlaced(leg=leg, command_id=command_id, command_session_id=session_id)
    return [
        fact(session_id, request, "in"),
        fact(session_id, decided),
        *([fact(placed, told, "in")] if known else []),
        fact(session_id, succeeded),
    ]


def refused_dial(session_id: str) -> list[Entry]:
    """A dial that an application asked for, and that placed no call."""
    request, decided = _requested_dial(session_id)
    failed = CommandFailed(
        command_id=request.command.command_id, operation="dial", reason="refused", http_status=403
    )
    return [
        fact(session_id, request, "in"),
        fact(session_id, decided),
        fact(session_id, failed),
    ]


def _requested_dial(session_id: str) -> tuple[CommandRequested, Decided]:
    request = request_of(session_id)
    decided = Decided(
        cause_seq=1, cause_id="x", flow="api", flow_version="1", worker="w", lease_s=3.0,
        commands=(request.command,),
    )  # fmt: skip
    return request, decided


def call(session_id: str) -> list[Entry]:
    """A whole call's facts in the order in which they happen."""
    events = [webhook(session_id, event) for event in events_of(session_id)]
    outcomes = [fact(session_id, value) for value in commands_of(session_id)]
    return [events[0], *outcomes[:2], *events[1:5], outcomes[2], *events[5:], outcomes[3]]


def queued(session_id: str) -> list[Entry]:
    """Its first leg waits in a queue for three seconds."""
    leg: dict[str, Any] = {
        "call_control_id": f"v3:{session_id}",
        "call_session_id": session_id,
        "queue": "support",
    }
    came, left = NOON + timedelta(seconds=5), NOON + timedelta(seconds=8)
    events: list[CallEvent] = [
        CallEnqueued(event_id=f"{session_id}-enqueued", occurred_at=came, **leg),
        CallDequeued(
            event_id=f"{session_id}-dequeued",
            occurred_at=left,
            reason="bridged",
            wait_time_secs=3,
            **leg,
        ),
    ]
    return [webhook(session_id, event) for event in events]


def interleaved(calls: Sequence[Sequence[Entry]]) -> list[Entry]:
    """One entry of each call in turn."""
    longest = max(len(entries) for entries in calls)
    return [entries[at] for at in range(longest) for entries in calls if at < len(entries)]


async def publish(log: JetStreamLog, entries: Iterable[Entry]) -> None:
    """Append in order; a repeated one is stored again, as it is after the log's window."""
    for entry in entries:
        # The log itself would drop a repeated id within its window; a new id stands for later.
        headers = {"Nats-Msg-Id": uuid4().hex}
        encoded = replace(entry.encoded, fact_id="")
        await log.append(entry.session_id, entry.side, encoded, headers=headers)


@asynccontextmanager
async def projecting(projector: Projector) -> AsyncIterator[Projector]:
    """The projector at work in the background."""
    stopping = asyncio.Event()
    task = asyncio.create_task(projector.run(stopping))
    try:
        yield projector
    finally:
        stopping.set()
        await task


async def last_seq(client: Client) -> int:
    info = await client.jetstream().stream_info(STREAM)
    return info.state.last_seq


async def caught_up(client: Client, engine: AsyncEngine) -> None:
    """Wait until the checkpoint of each partition is at the end of its stream."""
    async with PositionWatch(engine) as watch:
        for wanted in await StreamLookup(client).last_positions():
            reached = await watch.wait_for(wanted, TIMEOUT_S)
            assert reached >= wanted, f"the views are at {reached}, the log at {wanted}"


async def progress_at_end(client: Client, projector: Projector) -> Progress:
    """What the projector has counted at the end of the stream: it counts after the commit.

    Fails if it stands still for TIMEOUT_S.
    """
    wanted = await last_seq(client)
    while (reached := projector.progress.seq) < wanted:
        async with asyncio.timeout(TIMEOUT_S):
            while projector.progress.seq == reached:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    return projector.progress


async def checkpoint_seq(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        found = await connection.execute(text("select coalesce(max(seq), 0) from checkpoint"))
        return int(found.scalar_one())


Tables = Mapping[str, list[dict[str, Any]]]


async def blocked(engine: AsyncEngine, statement: str, *, count: int = 1) -> None:
    """Wait until so many other connections wait for a lock in a statement with this text near its
    start.

    Postgres shows the first 1,024 bytes of a statement.
    """
    asked = text(
        "select count(*) from pg_stat_activity where datname = current_database()"
        f" and wait_event_type = 'Lock' and query like '%{statement}%' and pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(TIMEOUT_S), engine.connect() as connection:
        while (await connection.execute(asked)).scalar_one() < count:
            await connection.rollback()  # a transaction sees no newer activity
            await asyncio.sleep(0.02)


async def stored_views(engine: AsyncEngine) -> Tables:
    """Every row of the views, whose roll-ups are those of these rows."""
    await assert_rolled_up(engine)
    async with engine.connect() as connection:
        return {
            view.name: [
                dict(row._mapping)
                for row in await connection.execute(
                    select(view.table).order_by(*view.table.primary_key.columns)
                )
            ]
            for view in VIEWS
        }


async def cold_views(log: JetStreamLog, session_ids: Iterable[str]) -> Tables:
    """What the views must hold: each session read from the log and folded at once."""
    found: dict[str, list[dict[str, Any]]] = {view.name: [] for view in VIEWS}
    for session_id in session_ids:
        rows = rows_of(folded_from(session_id, once(await log.read(session_id))))
        for view in VIEWS:
            found[view.name] += [columns_of(view.table, row) for row in rows[view.name]]
    for view in VIEWS:
        keys = [column.name for column in view.table.primary_key.columns]
        found[view.name].sort(key=lambda row, keys=keys: [row[key] for key in keys])  # type: ignore[misc]
    return found


def once(records: Iterable[Record]) -> list[Record]:
    """The records without those whose event id came before."""
    seen: set[str] = set()
    kept = []
    for record in records:
        if isinstance(record.fact, WebhookReceived):
            if record.fact_id in seen:
                continue
            seen.add(record.fact_id)
        kept.append(record)
    return kept
