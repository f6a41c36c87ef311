"""Lists over many sessions of several partitions: positions are in no order, only times are."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.position import position_of
from offhook.projections.views.commands import (
    CommandView,
    WantedCommands,
    command_page,
    read_commands,
    read_commands_of,
)
from offhook.projections.views.legs import read_leg
from offhook.projections.views.live.active_legs import read_active_page
from offhook.projections.views.queues import QueueVisitFilter, list_queue_visits
from offhook.projections.views.schema.migrate import downgrade, migrate
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from offhook.projections.views.sessions import (
    read_session,
)
from tests.projections.conftest import MIGRATIONS
from tests.projections.partitioned import STORED_FROM, PartitionedLog, project
from tests.projections.story import NOON, call, dial_of, events_of, queued, webhook

NAMES = [f"s{number}" for number in range(8)]
OF = {name: (5 * number + 3) % 4 for number, name in enumerate(NAMES)}


@pytest.fixture
async def log(engine: AsyncEngine) -> PartitionedLog:
    """Eight calls, one after another, in partitions 3 0 1 2 3 0 1 2."""
    log = PartitionedLog(of=OF)
    for name in NAMES:
        log.append(*call(name)[:5], *queued(name), *call(name)[5:])
    async with engine.connect() as connection:
        await project(connection, log)
    return log


async def test_sessions_of_several_partitions_come_newest_first(
    log: PartitionedLog, engine: AsyncEngine
) -> None:
    found, before_seq = [], None
    async with engine.connect() as connection:
        while True:
            page = await list_sessions(
                connection, SessionFilter(), limit=3, now=NOON, before_seq=before_seq
            )
            if not page:
                break
            found += [each.session_id for each in page]
            before_seq = page[-1].first_seq
            # What is new in the meantime is on no later page, and moves no row to another one.
            log.append(*call(f"new-{before_seq}"))
            await project(connection, log)
    assert found == NAMES[::-1]


async def test_a_page_begins_before_any_position(log: PartitionedLog, engine: AsyncEngine) -> None:
    """Also one that is of no row: at its time, in the order of the list."""
    middle = log.folded("s4").first_seq
    async with engine.connect() as connection:
        for before_seq, expected in (
            (middle + 1, NAMES[4::-1]),
            (middle, NAMES[3::-1]),
            (position_of(3, 10**6), NAMES[4::-1]),
            (2**63 - 1, NAMES[::-1]),
            (0, []),
        ):
            page = await list_sessions(
                connection, SessionFilter(), limit=250, now=NOON, before_seq=before_seq
            )
            assert [each.session_id for each in page] == expected, before_seq


async def test_visits_of_several_partitions_come_newest_first(
    log: PartitionedLog, engine: AsyncEngine
) -> None:
    found, before_seq = [], None
    async with engine.connect() as connection:
        while page := await list_queue_visits(
            connection, QueueVisitFilter(), limit=3, before_seq=before_seq
        ):
            found += [each.session_id for each in page]
            before_seq = page[-1].first_seq
    assert found == NAMES[::-1]


async def test_of_a_leg_in_two_sessions_the_row_that_was_written_last_counts(
    engine: AsyncEngine,
) -> None:
    log = PartitionedLog(of={"alone": 2})
    first, answered, *_ = events_of("s")
    log.append(webhook("alone", first))  # its event had no session id
    log.append(webhook("s", answered))
    async with engine.connect() as connection:
        await project(connection, log)
        leg = await read_leg(connection, "v3:s")
        assert leg is not None
        assert (leg.session_id, leg.state) == ("s", "answered")
    async with engine.connect() as connection:
        page, _ = await read_active_page(connection, "connection-1", now=NOON, size=10)
        assert [each.session_id for each in page.legs] == ["s"]


async def test_commands_of_two_partitions_are_in_order_of_time(engine: AsyncEngine) -> None:
    log = PartitionedLog(of={"asked": 3})
    log.append(*dial_of("asked", "placed"), *call("placed"))
    async with engine.connect() as connection:
        await project(connection, log)
        found = await read_session(connection, "placed")
        assert found is not None
        assert [each.operation for each in found.commands] == ["dial", "answer", "hangup"]
        log.of["again"] = 1
        log.append(*dial_of("again", "other"))
        await project(connection, log)
        await connection.execute(
            text("update commands set command_id = 'same' where operation = 'dial'")
        )
        latest, *_ = await read_commands(connection, "same")
        assert latest.session_id == "again"


async def test_pages_of_commands_are_the_same_from_the_table_and_from_a_fold(
    engine: AsyncEngine,
) -> None:
    log = PartitionedLog(of={"asked": 3})
    log.append(*dial_of("asked", "placed"), *call("placed"))
    async with engine.connect() as connection:
        await project(connection, log)
        # Some are decided at the same moment on the same record, and some are not decided.
        await connection.execute(
            text(
                "insert into commands (session_id, command_id, status, operation, attempts,"
                " ordinal, cause_seq, decided_at, requested_at, last_seq) select 'placed',"
                " (array['id-', 'Id-'])[1 + n % 2] || n,"
                " (array['failed', 'pending', 'succeeded'])[1 + n % 3],"
                " (array['speak', 'dial'])[1 + n % 2], 1, n % 2, n / 4,"
                " case when n % 5 > 0 then noon end,"
                " case when n % 10 > 0 then noon end, n"
                " from generate_series(1, 20) as n, cast(:noon as timestamptz) as noon"
            ),
            {"noon": NOON},
        )
        everything = await read_session(connection, "placed")
        assert everything is not None
        assert everything.commands_next is None
        assert len(everything.commands) == 23
        every, of_failed = WantedCommands(limit=2), WantedCommands(limit=2, status="failed")
        of_dials = replace(of_failed, operation="dial")
        for first in (every, of_failed, of_dials):
            wanted = first
            read: list[CommandView] = []
            while True:
                page = await read_commands_of(connection, "placed", wanted)
                assert page == command_page(everything.commands, wanted)
                assert page is not None
                read = [*page.commands, *read]
                if page.next is None:
                    break
                wanted = replace(wanted, before=page.next)
            assert len(read) > len(page.commands)
            whole = command_page(everything.commands, replace(first, limit=len(read)))
            assert whole is not None
            assert (read, None) == (whole.commands, whole.next)
        nothing = WantedCommands(limit=3, before="nothing")
        assert await read_commands_of(connection, "placed", nothing) is None
        assert command_page(everything.commands, nothing) is None


async def test_rows_from_before_get_the_times_of_their_records(
    log: PartitionedLog, engine: AsyncEngine, database_url: str
) -> None:
    await downgrade(database_url, MIGRATIONS, "0007")
    await migrate(database_url, MIGRATIONS)
    async with engine.connect() as connection:
        page = await list_sessions(connection, SessionFilter(), limit=250, now=NOON)
        assert [each.session_id for each in page] == NAMES[::-1]
        oldest = page[-1]
        assert oldest.first_stored_at == STORED_FROM
        assert oldest.last_stored_at == STORED_FROM + timedelta(seconds=len(call("s")) + 1)
