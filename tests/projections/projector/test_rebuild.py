"""A rebuild gives what the log says, whatever the views were, and whenever it was killed."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import offhook
from offhook.codec import Encoded
from offhook.errors import LogReplaced, OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import STREAM
from offhook.projections.projector.project import Projector
from offhook.projections.projector.rebuild import RebuildProgress, Rebuilt, folding_files, rebuild
from tests.projections.story import (
    Entry,
    call,
    caught_up,
    cold_views,
    interleaved,
    projecting,
    publish,
    queued,
    stored_views,
)

NAMES = [f"s{number}" for number in range(20)]
RECORDS = 15
"""Of one call: 13, and two of its visit to a queue."""

TAMPERED = {
    "event_log": "update event_log set body = '{}' where seq = 5",
    "sessions": "update sessions set status = 'active', leg_count = 7 where session_id = 's3'",
    "legs": "delete from legs where session_id = 's4'",
    "commands": "insert into commands select 'nobody', command_id, operation, call_control_id,"
    " parameters, status, reason, detail, http_status, answer, answer_session_id, errors,"
    " attempts, flow, flow_version, cause_seq, ordinal, requested_at, decided_at, settled_at,"
    " last_seq, maybe_performed from commands limit 1",
    "queue_visits": "update queue_visits set wait_s = 0 where session_id = 's6'",
}


class Killed(Exception):
    """Stands for kill -9: the connection goes, what it had not committed is rolled back.

    `seq` is how far it had come.
    """

    def __init__(self, seq: int) -> None:
        self.seq = seq


async def test_the_views_are_identical_and_nothing_is_left_aside(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await _projected(client, log, engine)
    told: list[int] = []
    found = await rebuild(
        client, engine, batch_max=50, on_progress=lambda progress: told.append(progress.seq)
    )
    assert found.identical
    assert found.seq == RECORDS * len(NAMES)
    assert {each.table: each.after.rows for each in found.compared} == {
        "event_log": RECORDS * len(NAMES),
        "sessions": len(NAMES),
        "legs": 2 * len(NAMES),
        "commands": 2 * len(NAMES),
        "queue_visits": len(NAMES),
    }
    assert (told[0], told[-1]) == (0, RECORDS * len(NAMES))
    # A log that is slow to deliver makes batches smaller.
    assert all(0 <= later - earlier <= 50 for earlier, later in pairwise(told))
    assert await _schemas_aside(engine) == 0
    assert await stored_views(engine) == await cold_views(log, NAMES)


@pytest.mark.parametrize("table", TAMPERED)
async def test_a_view_that_says_something_else_is_told_and_repaired(
    table: str, client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await _projected(client, log, engine)
    async with engine.begin() as connection:
        await connection.execute(text(TAMPERED[table]))
    found = await rebuild(client, engine)
    assert [each.table for each in found.compared if not each.identical] == [table]
    changed = next(each for each in found.compared if each.table == table)
    assert (changed.removed, changed.written) == {
        "event_log": (1, 1),
        "sessions": (1, 1),
        "legs": (0, 2),
        "commands": (1, 0),
        "queue_visits": (1, 1),
    }[table]
    assert await stored_views(engine) == await cold_views(log, NAMES)
    assert (await rebuild(client, engine)).identical


async def test_emptied_views_are_filled_again(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await _projected(client, log, engine)
    async with engine.begin() as connection:
        await connection.execute(text("truncate event_log, sessions, legs, commands, queue_visits"))
    found = await rebuild(client, engine)
    assert [each.removed for each in found.compared] == [0, 0, 0, 0, 0]
    assert await stored_views(engine) == await cold_views(log, NAMES)


async def test_a_rebuild_that_ended_in_the_middle_goes_on_there(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await _projected(client, log, engine)
    before = await stored_views(engine)
    for seq in (60, 120, 180):
        with pytest.raises(Killed) as killed:
            await rebuild(client, engine, batch_max=20, on_progress=_killed_at(seq))
        assert await stored_views(engine) == before
    resumed, found = await _started_at(client, engine)
    assert resumed == killed.value.seq
    assert found.identical


async def test_half_a_fold_by_other_code_is_not_gone_on_with(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _projected(client, log, engine)
    with pytest.raises(Killed):
        await rebuild(client, engine, batch_max=20, on_progress=_killed_at(60))
    monkeypatch.setattr("offhook.projections.projector.rebuild._fingerprint", lambda: "other")
    resumed, found = await _started_at(client, engine)
    assert resumed == 0
    assert found.identical


def test_code_outside_of_the_fold_is_no_other_code() -> None:
    """Neither in a checkout, where the rooms are links, nor in a wheel, where they are folders."""
    package = Path(offhook.__file__).parent
    folders = {path.parent.relative_to(package).as_posix() for path in folding_files()}
    rooms = {folder for folder in folders if folder.startswith("projections/")}
    assert folders - rooms == {
        ".",
        "carrier_events",
        "commands",
        "commands/actions",
        "session",
        "jetstream",
        "telnyx",
        "projections",
    }


async def test_the_projector_and_the_calls_go_on_meanwhile(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await _projected(client, log, engine)
    async with engine.begin() as connection:
        await connection.execute(text(TAMPERED["sessions"]))
    names, enough = [*NAMES], asyncio.Event()

    async def keep_calling() -> None:
        while not enough.is_set():
            names.append(f"more{len(names)}")
            await publish(log, call(names[-1]))

    async with projecting(Projector(client, engine)) as projector:
        calling = asyncio.create_task(keep_calling())
        found = [await rebuild(client, engine, batch_max=100) for _ in range(3)]
        enough.set()
        await calling
        await caught_up(client, engine)
        assert projector.progress.restarts == 0
    assert [each.identical for each in found] == [False, True, True]
    assert [each.written for each in found[0].compared] == [0, 1, 0, 0, 0]
    assert found[0].seq < found[2].seq
    assert await stored_views(engine) == await cold_views(log, sorted(names))


async def test_the_views_stay_where_they_are_if_the_log_has_more(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await _projected(client, log, engine)
    await publish(log, call("later"))
    found = await rebuild(client, engine)
    assert found.identical
    assert found.seq == RECORDS * len(NAMES)
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    assert await stored_views(engine) == await cold_views(log, ["later", *NAMES])


async def test_records_that_were_purged_from_the_log_leave_the_views(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await publish(log, call("a"))
    await publish(log, call("b"))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    await client.jetstream().purge_stream(STREAM, subject="calls.*.b.*")
    found = await rebuild(client, engine)
    assert {each.table: each.removed for each in found.compared} == {
        "event_log": 13,
        "sessions": 1,
        "legs": 2,
        "commands": 2,
        "queue_visits": 0,
    }
    assert await stored_views(engine) == await cold_views(log, ["a"])


async def test_a_session_that_cannot_be_folded_keeps_its_rows(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    unheard = Encoded(type="Unheard", version=1, fact_id="", body=b"{}")
    await publish(log, call("poison")[:6])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
        await publish(log, [Entry(session_id="poison", side="out", encoded=unheard), *call("well")])
        await caught_up(client, engine)
    before = await stored_views(engine)
    found = await rebuild(client, engine)
    assert found.identical
    assert found.parked == 1
    assert await stored_views(engine) == before


async def test_a_session_that_can_be_folded_again_is_no_longer_parked(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folded: object, after_seq: int = 0) -> object:
        raise ZeroDivisionError("a fold with a mistake in it")

    await publish(log, call("s"))
    with monkeypatch.context() as patched:
        patched.setattr("offhook.projections.projector.batch.rows_of", refuse)
        async with projecting(Projector(client, engine)):
            await caught_up(client, engine)
            assert (await rebuild(client, engine)).parked == 1
    found = await rebuild(client, engine)
    assert found.parked == 0
    assert not found.identical
    assert await stored_views(engine) == await cold_views(log, ["s"])


async def test_of_two_rebuilds_one_is_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _projected(client, log, engine)
    async with engine.connect() as holding:
        await holding.execute(text("select pg_advisory_lock(hashtextextended('rebuild', 0))"))
        with monkeypatch.context() as patched:
            patched.setattr("offhook.projections.projector.rebuild.CLAIM_TIMEOUT_S", 0.3)
            with pytest.raises(OperatorFault, match="another rebuild"):
                await rebuild(client, engine)
        await holding.invalidate()
    assert (await rebuild(client, engine)).identical


async def test_views_that_were_never_filled_are_the_projectors_work(
    client: Client, engine: AsyncEngine
) -> None:
    with pytest.raises(OperatorFault, match="start `offhook projector`"):
        await rebuild(client, engine)


async def test_another_log_than_that_of_the_views_is_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await _projected(client, log, engine)
    before = await stored_views(engine)
    await client.jetstream().purge_stream(STREAM)
    info = await client.jetstream().stream_info(STREAM)
    await client.jetstream().delete_stream(STREAM)
    await client.jetstream().add_stream(info.config)
    with pytest.raises(LogReplaced):
        await rebuild(client, engine)
    assert await stored_views(engine) == before


async def _projected(client: Client, log: JetStreamLog, engine: AsyncEngine) -> None:
    await publish(log, interleaved([[*call(name), *queued(name)] for name in NAMES]))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)


def _killed_at(seq: int) -> Callable[[RebuildProgress], None]:
    def kill(progress: RebuildProgress) -> None:
        if progress.seq >= seq:
            raise Killed(progress.seq)

    return kill


async def _started_at(client: Client, engine: AsyncEngine) -> tuple[int, Rebuilt]:
    told: list[int] = []
    found = await rebuild(
        client, engine, on_progress=lambda progress: told.append(progress.started_seq)
    )
    return told[0], found


async def _schemas_aside(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        asked = text("select count(*) from pg_namespace where nspname like '%rebuild'")
        return int((await connection.execute(asked)).scalar_one())
