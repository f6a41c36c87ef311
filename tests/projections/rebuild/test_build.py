"""A rebuild gives what the log says, whatever the views were."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest
from nats.aio.client import Client
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

import offhook
from offhook.codec.facts import Encoded
from offhook.errors import OperatorFault
from offhook.events import CallInitiated
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.rebuild import run
from offhook.projections.rebuild.build import folding_files, not_archived
from offhook.projections.rebuild.control import cancel
from offhook.projections.rebuild.parity import rows_in
from offhook.projections.rebuild.run import RebuildProgress, cut_over_version
from offhook.projections.retention.archive import CANDIDATES
from offhook.projections.views.schema.migrate import migrate
from offhook.projections.views.sessions import SESSIONS
from offhook.projections.views.stored.archive import archive_segments, archived_sessions
from tests.projections.partitioned import PartitionedLog, project
from tests.projections.rebuild.versions import (
    NAMES,
    RECORDS,
    WRONG,
    built,
    projected,
    run_sql,
    schemas_aside,
    value,
)
from tests.projections.story import (
    NOON,
    Entry,
    call,
    caught_up,
    cold_views,
    projecting,
    publish,
    stored_views,
    webhook,
)


@pytest.mark.parametrize(
    "statement",
    [
        f"select count(*) from event_log where {not_archived('public')}",
        f"select from {rows_in(SESSIONS.table, 'public', 'public', 'public')} as each",
        CANDIDATES,
    ],
)
async def test_sessions_to_be_left_out_are_not_searched_again_for_each_row(
    statement: str, engine: AsyncEngine
) -> None:
    """As a subplan they are, once they do not fit into work_mem."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text(f"explain {statement}"), {"left_out": [], "before": NOON}
        )
        plan = "\n".join(found.scalars())
    assert "Anti Join" in plan
    assert "SubPlan" not in plan


async def test_a_version_is_identical_and_nothing_is_changed_until_it_is_put_in_use(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    shown: list[RebuildProgress] = []
    found = await built(engine, on_progress=shown.append)
    assert found.identical
    assert found.positions == {0: RECORDS * len(NAMES)}
    assert {each.table: each.rows for each in found.compared} == {
        "sessions": len(NAMES),
        "legs": 2 * len(NAMES),
        "commands": 2 * len(NAMES),
        "queue_visits": len(NAMES),
    }
    assert (shown[-1].folded, shown[-1].total) == (RECORDS * len(NAMES), RECORDS * len(NAMES))
    assert [each.phase for each in shown if each.phase != "folding"] == ["indexing", "comparing"]
    assert await cut_over_version(engine) == found.positions
    assert await stored_views(engine) == await cold_views(log, NAMES)
    assert await cancel(engine)
    assert await schemas_aside(engine) == 0
    assert not await cancel(engine)


@pytest.mark.parametrize("table", WRONG)
async def test_a_wrong_row_is_found_and_gone_after_the_cutover(
    table: str, client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    await run_sql(engine, WRONG[table])
    found = await built(engine)
    assert [each.table for each in found.compared if not each.identical] == [table]
    compared = next(each for each in found.compared if each.table == table)
    assert (compared.removed, compared.added, compared.changed) == {
        "sessions": (0, 0, 1),
        "legs": (0, 2, 0),
        "commands": (1, 0, 0),
        "queue_visits": (0, 0, 1),
    }[table]
    shown = compared.examples[0]
    assert (shown.only_in, shown.columns) == {
        "sessions": ("", {"status": ("active", "ended"), "leg_count": ("7", "2")}),
        "legs": ("rebuilt", {}),
        "commands": ("live", {}),
        "queue_visits": ("", {"wait_s": ("0", "3")}),
    }[table]
    assert (
        shown.key["session_id"]
        == {
            "sessions": "s3",
            "legs": "s4",
            "commands": "nobody",
            "queue_visits": "s6",
        }[table]
    )
    await cut_over_version(engine)
    assert await stored_views(engine) == await cold_views(log, NAMES)
    assert (await built(engine)).identical


async def test_two_rebuilds_are_identical_however_they_are_divided(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await projected(client, log, engine)
    whole = await built(engine)
    await cancel(engine)
    monkeypatch.setattr(run, "RECORDS_A_PROCESS", 1)
    divided = await built(engine, workers=2)  # in processes of their own
    assert divided == whole


async def test_emptied_views_are_filled_again(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    await run_sql(engine, "truncate sessions, legs, commands, queue_visits")
    found = await built(engine)
    assert [each.added for each in found.compared] == [20, 40, 40, 20]
    await cut_over_version(engine)
    assert await stored_views(engine) == await cold_views(log, NAMES)


def test_code_outside_of_the_fold_is_no_other_code() -> None:
    """Neither in a checkout, where the rooms are links, nor in a wheel, where they are folders."""
    package = Path(offhook.__file__).parent
    folders = {path.parent.relative_to(package).as_posix() for path in folding_files()}
    rooms = {folder for folder in folders if folder.startswith("projections/")}
    assert folders - rooms == {
        ".",
        "carrier_events",
        "codec",
        "commands",
        "commands/actions",
        "flow",
        "session",
        "jetstream",
        "jetstream/consuming",
        "telnyx",
        "projections",
    }


def test_code_that_a_worker_runs_is_in_the_fingerprint() -> None:
    """Files of the ground that moved into a folder of their own were left out."""
    imported = (
        "import sys, offhook.projections.rebuild.worker\n"
        "print(*(each.__file__ for name, each in sys.modules.items() if name[:8] == 'offhook.'))"
    )
    process = subprocess.run([sys.executable, "-c", imported], capture_output=True, check=True)
    known = {path.resolve() for path in folding_files()}
    package = Path(offhook.__file__).parent.resolve()
    left_out = {
        path.relative_to(package).parts[0]
        for path in (Path(each).resolve() for each in process.stdout.decode().split())
        if path not in known
    }
    assert left_out == {"process", "history"}  # event loops, and how segments are stored


@pytest.mark.usefixtures("patient_projector")
async def test_the_projector_and_the_calls_go_on_meanwhile(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    await run_sql(engine, WRONG["sessions"])
    names, enough = [*NAMES], asyncio.Event()

    async def keep_calling() -> None:
        while not enough.is_set():
            names.append(f"more{len(names)}")
            await publish(log, call(names[-1]))

    async with projecting(Projector(client, engine)) as projector:
        calling = asyncio.create_task(keep_calling())
        found = []
        for _ in range(3):
            found.append(await built(engine))
            await cut_over_version(engine)
        enough.set()
        await calling
        await caught_up(client, engine)
        assert projector.progress.restarts == 0
    assert [each.identical for each in found] == [False, True, True]
    assert [each.changed for each in found[0].compared] == [1, 0, 0, 0]
    assert found[0].positions[0] < found[2].positions[0]
    assert await stored_views(engine) == await cold_views(log, sorted(names))


async def test_a_session_that_cannot_be_folded_keeps_its_rows(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    unheard = Encoded(type="Unheard", version=1, fact_id="", body=b"{}")
    await publish(log, call("poison")[:6])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
        await publish(log, [Entry(session_id="poison", side="out", encoded=unheard), *call("well")])
        await caught_up(client, engine)
        before, parked = await stored_views(engine), await _parked(engine)
        found = await built(engine)
        assert found.identical
        assert found.parked == 1
        await cut_over_version(engine)
        assert await stored_views(engine) == before
        assert await _parked(engine) == parked
        await publish(log, call("poison")[6:])  # it is tried again, and fails
        await caught_up(client, engine)
    assert await stored_views(engine) == before
    parked_at, attempts = (await _parked(engine))["poison"]
    assert parked_at == parked["poison"][0]
    assert attempts > parked["poison"][1]  # once for each batch that its records came in


async def test_a_session_that_can_be_folded_again_is_no_longer_parked(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folded: object, after_seq: int = 0) -> object:
        raise ZeroDivisionError("a fold with a mistake in it")

    with monkeypatch.context() as patched:
        patched.setattr("offhook.projections.projector.folding.rows_of", refuse)
        patched.setattr("offhook.projections.rebuild.folding.rows_of", refuse)
        await projected(client, log, engine, ["s"])
        assert (await built(engine)).parked == 1
        await cancel(engine)
    found = await built(engine)
    assert found.parked == 0
    await cut_over_version(engine)
    assert await _parked(engine) == {}
    assert await stored_views(engine) == await cold_views(log, ["s"])


async def test_what_no_index_can_hold_parks_its_session_alone(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    chance = random.Random(1)
    long = "".join(chance.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(9_000))
    event = CallInitiated(event_id="long", call_control_id=long, call_session_id="long")
    await publish(log, [webhook("long", event)])
    await projected(client, log, engine, ["s1", "s2"])
    before = await _parked(engine)
    assert [*before] == ["long"]
    found = await built(engine)
    assert (found.identical, found.parked) == (True, 1)
    await cut_over_version(engine)
    assert await _parked(engine) == before


async def test_views_that_were_never_filled_are_the_projectors_work(engine: AsyncEngine) -> None:
    with pytest.raises(OperatorFault, match="start `offhook projector`"):
        await built(engine)


async def test_sessions_whose_records_are_missing_are_not_given_up_silently(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    await run_sql(engine, "delete from event_log where session_id in ('s1', 's2')")
    found = await built(engine)
    assert found.unrecorded == 2
    assert [each.removed for each in found.compared] == [2, 4, 4, 2]
    with pytest.raises(OperatorFault, match="no records of 2 sessions"):
        await cut_over_version(engine)
    await cut_over_version(engine, despite_missing=True)
    assert await stored_views(engine) == await cold_views(log, sorted({*NAMES} - {"s1", "s2"}))


async def test_what_depends_on_a_table_by_its_identity_is_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine, ["s"])
    await run_sql(engine, "create view report as select count(*) from sessions")
    with pytest.raises(OperatorFault, match="the view report depends on a table of the views"):
        await built(engine)
    assert await schemas_aside(engine) == 0


async def test_a_migration_drops_what_is_aside(
    client: Client, log: JetStreamLog, engine: AsyncEngine, migrations: Path
) -> None:
    await projected(client, log, engine, ["s"])
    await built(engine)
    await cut_over_version(engine)
    await run_sql(engine, "update alembic_version set version_num = '0000'")
    with pytest.raises(Exception, match="0000"):  # and is rolled back if it fails
        await migrate(engine.url.render_as_string(hide_password=False), migrations)
    assert await schemas_aside(engine) == 1


async def _parked(engine: AsyncEngine) -> dict[str, tuple[object, int]]:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("select session_id, parked_at, attempts from parked_sessions order by session_id")
        )
        return {row.session_id: (row.parked_at, row.attempts) for row in found}


async def test_an_archived_session_that_cannot_be_read_is_parked_in_its_partition(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    log = PartitionedLog(of={"a": 2, "b": 2})
    first, *_ = log.append(*call("a"))
    log.append(*call("b"))
    async with engine.connect() as connection:
        await project(connection, log)
        # As an archive run leaves it, but for the segment's files.
        await connection.execute(
            insert(archive_segments).values(name="gone", root=str(tmp_path), begun_at=NOON)
        )
        await connection.execute(
            insert(archived_sessions).values(
                session_id="a", segment="gone", byte_offset=0, byte_length=1, records=1,
                first_seq=first.seq, last_seq=first.seq, repeated=[],
            )
        )  # fmt: skip
        await connection.commit()
    await run_sql(engine, "delete from event_log where session_id = 'a'")
    await built(engine)
    found = "select since_seq from public_rebuild.parked_sessions where session_id = 'a'"
    assert await value(engine, found) == first.seq
