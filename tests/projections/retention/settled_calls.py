"""Calls of which every record is settled, and what an archive run is given."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.events import CallEvent, Decided, IssuedCommand
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import STREAM
from offhook.projections.projector.project import Projector
from offhook.projections.retention.archive import ArchiveProgress, Archiver
from offhook.projections.retention.leaving import Step
from tests.projections.story import (
    Entry,
    call,
    caught_up,
    events_of,
    fact,
    projecting,
    queued,
    webhook,
)

OLD = timedelta(days=30)
CALLER = "+12025550100"
"""In `story`."""


def decision(session_id: str, cause_seq: int, commands: Sequence[IssuedCommand] = ()) -> Entry:
    decided = Decided(
        cause_seq=cause_seq, cause_id="x", flow="frontdesk", flow_version="7", worker="w",
        lease_s=3.0, commands=tuple(commands),
    )  # fmt: skip
    return fact(session_id, decided)


async def settle(log: JetStreamLog, entries: Sequence[Entry]) -> None:
    """Append the entries, and a decision on each record that wants one."""
    for entry in entries:
        if entry.encoded.type == "Decided":
            continue
        appended = await log.append(entry.session_id, entry.side, entry.encoded)
        if entry.side == "in" or entry.encoded.type == "CommandFailed":
            commands: tuple[IssuedCommand, ...] = ()
            if entry.encoded.fact_id.endswith("event-1"):
                commands = (_answer(entry.session_id), _hangup(entry.session_id))
            made = decision(entry.session_id, appended.seq, commands)
            await log.append(entry.session_id, "out", made.encoded)


async def settled_calls(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    names: Sequence[str],
    *,
    number: str = CALLER,
) -> None:
    """Whole calls from that number, in the log and in the views."""
    for name in names:
        await settle(log, [_from(entry, number) for entry in (*call(name), *queued(name))])
    await project(client, engine)


async def project(client: Client, engine: AsyncEngine) -> None:
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)


async def archive(
    client: Client,
    engine: AsyncEngine,
    root: Path | str,
    *,
    at_step: Step = lambda step: None,
    segment_sessions_max: int = 100,
) -> ArchiveProgress:
    """An archive run in forty days."""
    archiver = Archiver(
        client, engine, str(root), at_step=at_step, segment_sessions_max=segment_sessions_max
    )
    return await archiver.run(OLD, datetime.now(UTC) + timedelta(days=40))


def late_event(session_id: str) -> CallEvent:
    """An event of the session that nobody has seen yet."""
    return replace(events_of(session_id)[-1], event_id=f"{session_id}-late")


def late(session_id: str) -> Entry:
    return webhook(session_id, late_event(session_id))


async def rows_in(engine: AsyncEngine, table: str) -> int:
    async with engine.connect() as connection:
        found = await connection.execute(text(f"select count(*) from {table}"))
        return int(found.scalar_one())


async def subjects(client: Client) -> int:
    """How many subjects the log has."""
    info = await client.jetstream().stream_info(STREAM, subjects_filter=">")
    return len(info.state.subjects or {})


def _from(entry: Entry, number: str) -> Entry:
    body = entry.encoded.body.replace(CALLER.encode(), number.encode())
    return replace(entry, encoded=replace(entry.encoded, body=body))


def _answer(session_id: str) -> IssuedCommand:
    return IssuedCommand(
        command_id=f"{session_id}-answer",
        operation="answer",
        call_control_id=f"v3:{session_id}",
        parameters={"client_state": "c3RhdGU="},
    )


def _hangup(session_id: str) -> IssuedCommand:
    return replace(
        _answer(session_id), command_id=f"{session_id}-hangup", operation="hangup", parameters={}
    )
