"""What `offhook parked list` and `retry` do. A session is parked for one of two reasons.

flow     the flow raised on one of its records, five times: a worker parked it (in the log), and
         OFFHOOK_PARKED decides what happens to its calls
views    its records cannot be read or folded: the projector parked it (in Postgres)
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from offhook.cli.counted import counted
from offhook.cli.listing import print_listing
from offhook.cli.printable import printable
from offhook.codec.facts import encode
from offhook.errors import OperatorFault, RecordUnreadable
from offhook.events import SessionParked, SessionResumed
from offhook.flow import PARKED
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog, pages
from offhook.jetstream.stream import PROJECTOR
from offhook.position import position_text
from offhook.projections.maintenance import fold_again
from offhook.projections.views.database.engine import Engine, open_database
from offhook.projections.views.parked import ParkedView, list_parked
from offhook.projections.views.progress.checkpoint import read_checkpoints
from offhook.projections.views.schema.migrate import require_migrated
from offhook.session import Session, evolve
from offhook.settings import Settings

LISTED_MAX = 1_000

DECIDED_WITHIN_S = 10.0
"""How long the command waits for the workers to decide on what it resumed."""

DECIDED_POLL_S = 0.05

STARTS_MAX = 10
"""Ids that are printed if several start so."""


def run_list(console: Console, settings: Settings) -> None:
    """Print the parked sessions, the one parked for longest first."""
    found, as_of = asyncio.run(_read_once(settings))
    if not found:
        console.print(f"nothing is parked, as of {as_of}")
        return
    rows = [
        (
            each.session_id,
            _between(each),
            each.by,
            position_text(each.since_seq),
            f"{each.since:%Y-%m-%d %H:%M:%S}",
            printable(" ".join(each.error.splitlines())),
            _done(each.commands),
        )
        for each in found[:LISTED_MAX]
    ]
    names = ("session", "from → to", "by", "at seq", "since (UTC)", "error", "policy")
    print_listing(console, names, rows)
    more = "" if len(found) <= LISTED_MAX else f"the first {LISTED_MAX:,} of "
    console.print(f"{more}{len(found):,} parked, as of {as_of}: `offhook parked retry --all`")


def _between(parked: ParkedView) -> str:
    """Caller and called party; empty if the views know neither."""
    if parked.from_number is None and parked.to_number is None:
        return ""
    return f"{parked.from_number or 'unknown'} → {parked.to_number or 'unknown'}"


def run_retry(
    console: Console,
    settings: Settings,
    session_ids: Sequence[str],
    *,
    every: bool,
    rate: float,
) -> bool:
    """Resume these sessions, or every one, at most `rate` per second.

    Whether none of them is parked any more, and every record of those resumed is decided on.
    Raises OperatorFault if a named one is not parked. What was resumed before stays so: an
    interrupted command can be repeated.
    """
    return asyncio.run(_retry(console, settings, session_ids, every=every, rate=rate))


async def _retry(
    console: Console, settings: Settings, session_ids: Sequence[str], *, every: bool, rate: float
) -> bool:
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-parked")
    try:
        found, as_of = await _read(engine)
        parked = [each.session_id for each in found]
        wanted = list(dict.fromkeys(parked if every else _whole(session_ids, parked)))
        if not wanted:
            console.print(f"nothing is parked, as of {as_of}")
            return True
        by_views = {each.session_id for each in found if each.by == "views"}
        resumed: dict[str, int] = {}  # sessions with the position of their SessionResumed
        rebuilt = failed = 0
        client = await connect(settings.nats_url, "parked")
        try:
            log = JetStreamLog(client)
            with _bar(console) as bar:
                began_at = asyncio.get_running_loop().time()
                for number, session_id in enumerate(bar.track(wanted, description="retrying")):
                    due_at = began_at + number / rate
                    await asyncio.sleep(due_at - asyncio.get_running_loop().time())
                    if (seq := await _resume(console, log, session_id)) is not None:
                        resumed[session_id] = seq
                    if session_id in by_views:
                        is_rebuilt = await _fold_again(console, engine, session_id)
                        rebuilt, failed = rebuilt + is_rebuilt, failed + (not is_rebuilt)
                    elif seq is None and not every:
                        raise OperatorFault(f"session {session_id} is not parked")
            undecided = await _undecided(console, log, resumed)
        finally:
            await close(client)
    finally:
        await engine.dispose()
    if len(wanted) > 1:
        counts = [f"{len(resumed):,} resumed"]
        counts += [f"{undecided:,} of them parked again or not decided"] if undecided else []
        counts += [f"{rebuilt:,} with views rebuilt"] if by_views else []
        counts += [f"{failed:,} whose views cannot be rebuilt"] if failed else []
        console.print(f"{counted(len(wanted), 'session')}: {', '.join(counts)}")
    return not (undecided or failed)


def _whole(texts: Sequence[str], parked: Sequence[str]) -> Iterator[str]:
    """The ids of sessions that are named by them, or by their start. Raises OperatorFault.

    The log has the last word: a session that the views do not have as parked is named whole.
    """
    for text in texts:
        found = sorted({each for each in parked if each.startswith(text)})
        if text in found or not found:
            yield text
        elif len(found) == 1:
            yield found[0]
        else:
            ids = "\n  ".join(found[:STARTS_MAX])
            raise OperatorFault(
                f"{counted(len(found), 'parked session')} have an id that starts with {text}; give"
                f" more of it:\n  {ids}"
            )


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


async def _undecided(console: Console, log: JetStreamLog, resumed: Mapping[str, int]) -> int:
    """How many of these are parked again, or are not decided on within DECIDED_WITHIN_S."""
    left, parked_again = dict(resumed), 0
    loop = asyncio.get_running_loop()
    deadline, pause_s = loop.time() + DECIDED_WITHIN_S, DECIDED_POLL_S
    while left:
        for session_id, seq in list(left.items()):
            session = await _fold(log, session_id)
            parked = session.parked if session.is_parked else None
            if parked is not None and parked.seq > seq:
                parked_again += 1
                error = parked.fact.error if isinstance(parked.fact, SessionParked) else ""
                console.print(f"{session_id}: parked again: {error}", markup=False)
            if session.is_parked or not session.undecided:
                del left[session_id]
        if not left or loop.time() >= deadline:
            break
        await asyncio.sleep(pause_s)
        pause_s *= 2
    for session_id in left:
        console.print(
            f"{session_id}: no worker has decided on its records within {DECIDED_WITHIN_S:g} s; "
            "check that workers are running: `offhook doctor`"
        )
    return parked_again + len(left)


async def _fold(log: JetStreamLog, session_id: str) -> Session:
    """Page by page. Raises RecordUnreadable."""
    session = Session(session_id=session_id)
    async for page in pages(log, session_id):
        for record in page:
            session = evolve(session, record)
    return session


async def _resume(console: Console, log: JetStreamLog, session_id: str) -> int | None:
    """Have the flow called again if the session is parked in the log; the views may lag behind.

    Returns the position at which it was resumed, None if it is not parked. The flow is not called
    for records on which the policy for parked sessions has decided.
    """
    try:
        session = await _fold(log, session_id)
        if not session.is_parked:
            return None
    except RecordUnreadable:
        return None  # no worker can settle it either
    user = os.environ.get("USER") or f"uid {os.getuid()}"  # containers often have no USER
    resumed = encode(SessionResumed(resumed_by=f"cli:{user}"), session_id)
    appended = await log.append(session_id, "in", resumed)
    done = _done(
        (state.issued.operation, state.status)
        for state in session.commands.values()
        if state.flow == PARKED.name and state.issued is not None
    )
    after = f" from the records after the policy ({done}) on" if done else ""
    at = position_text(appended.seq)
    console.print(f"{session_id}: resumed at seq {at}, its flow is called again{after}")
    return appended.seq


async def _fold_again(console: Console, engine: Engine, session_id: str) -> bool:
    """Whether the views have it again."""
    async with engine.begin() as connection:
        error = await fold_again(connection, session_id)
    if error:
        console.print(f"{session_id}: its views still cannot be rebuilt: {error}", markup=False)
        return False
    console.print(f"{session_id}: its views are rebuilt")
    return True


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
    return found, f"position {position_text(checkpoints[0].seq if checkpoints else 0)}"


def _done(commands: Iterable[tuple[str, str]]) -> str:
    """The commands of the policy and their outcomes: "hangup: succeeded"."""
    return ", ".join(f"{operation}: {status}" for operation, status in commands)
