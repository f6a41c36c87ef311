"""What `offhook parked list` and `retry` do. A session is parked for one of two reasons.

flow     the flow raised on one of its records, five times: a worker parked it (in the log), and
         OFFHOOK_PARKED decides what happens to its calls
views    its records cannot be read or folded: the projector parked it (in Postgres)
"""

import asyncio
import os
from collections.abc import Iterable, Sequence

from nats.aio.client import Client
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offhook.codec import encode
from offhook.errors import OperatorFault, RecordUnreadable
from offhook.events import SessionResumed
from offhook.flow import PARKED
from offhook.jetstream.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import PROJECTOR
from offhook.position import position_text
from offhook.projections.maintenance import fold_again
from offhook.projections.views.checkpoint import read_checkpoints
from offhook.projections.views.database import Engine, open_database
from offhook.projections.views.parked import ParkedView, list_parked
from offhook.projections.views.schema import require_migrated
from offhook.session import fold
from offhook.settings import Settings

LISTED_MAX = 1_000


def run_list(console: Console, settings: Settings) -> None:
    """Print the parked sessions, the one parked for longest first."""
    found, as_of = asyncio.run(_read_once(settings))
    if not found:
        console.print(f"nothing is parked, as of {as_of}")
        return
    table = Table()
    for column in ("session", "by", "at seq", "since (UTC)", "error", "policy"):
        table.add_column(column, overflow="fold", justify="right" if column == "at seq" else "left")
    for each in found[:LISTED_MAX]:
        since = f"{each.since:%Y-%m-%d %H:%M:%S}"
        # As text: brackets in an error would be read as markup.
        texts = Text(each.error), Text(_done(each.commands))
        table.add_row(each.session_id, each.by, position_text(each.since_seq), since, *texts)
    console.print(table)
    more = "" if len(found) <= LISTED_MAX else f"the first {LISTED_MAX:,} of "
    console.print(f"{more}{len(found):,} parked, as of {as_of}: `offhook parked retry`")


def run_retry(
    console: Console, settings: Settings, session_ids: Sequence[str], *, every: bool
) -> None:
    """Resume these sessions, or every one. Raises OperatorFault if one is not parked."""
    asyncio.run(_retry(console, settings, session_ids, every=every))


async def _retry(
    console: Console, settings: Settings, session_ids: Sequence[str], *, every: bool
) -> None:
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-parked")
    try:
        found, as_of = await _read(engine)
        wanted = [each.session_id for each in found] if every else session_ids
        if not wanted:
            console.print(f"nothing is parked, as of {as_of}")
            return
        by_views = {each.session_id for each in found if each.by == "views"}
        client = await connect(settings.nats_url, "parked")
        try:
            for session_id in dict.fromkeys(wanted):
                resumed = await _resume(console, client, session_id)
                if session_id in by_views:
                    await _fold_again(console, engine, session_id)
                elif not (resumed or every):
                    raise OperatorFault(f"session {session_id} is not parked")
        finally:
            await close(client)
    finally:
        await engine.dispose()


async def _resume(console: Console, client: Client, session_id: str) -> bool:
    """Have the flow called again if the session is parked in the log; the views may lag behind.

    The flow is not called for records on which the policy for parked sessions has decided.
    """
    log = JetStreamLog(client)
    try:
        session = fold(session_id, await log.read(session_id))
        if not session.is_parked:
            return False
    except RecordUnreadable:
        return False  # no worker can settle it either
    resumed = encode(SessionResumed(resumed_by=f"cli:{os.environ.get('USER', '')}"), session_id)
    appended = await log.append(session_id, "in", resumed)
    done = _done(
        (state.issued.operation, state.status)
        for state in session.commands.values()
        if state.flow == PARKED.name and state.issued is not None
    )
    after = f" from the records after the policy ({done}) on" if done else ""
    at = position_text(appended.seq)
    console.print(f"{session_id}: resumed at seq {at}, its flow is called again{after}")
    return True


async def _fold_again(console: Console, engine: Engine, session_id: str) -> None:
    if error := await fold_again(engine, session_id):
        console.print(f"{session_id}: its views still cannot be rebuilt: {error}", markup=False)
    else:
        console.print(f"{session_id}: its views are rebuilt")


async def _read_once(settings: Settings) -> tuple[list[ParkedView], str]:
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-parked")
    try:
        return await _read(engine)
    finally:
        await engine.dispose()


async def _read(engine: Engine) -> tuple[list[ParkedView], str]:
    """The parked sessions, the one parked for longest first, and how far the views have come."""
    async with engine.connect() as connection:
        checkpoints = list((await read_checkpoints(connection, PROJECTOR)).values())
        found = await list_parked(connection)
    if len(checkpoints) > 1:  # no position says it, but the newest record does
        newest = max(filter(None, (each.stored_at for each in checkpoints)), default=None)
        if newest is not None:
            return found, f"{newest:%Y-%m-%d %H:%M:%S} UTC"
    return found, f"seq {checkpoints[0].seq if checkpoints else 0:,}"


def _done(commands: Iterable[tuple[str, str]]) -> str:
    """The commands of the policy and their outcomes: "hangup: succeeded"."""
    return ", ".join(f"{operation}: {status}" for operation, status in commands)
