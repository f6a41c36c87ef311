"""What was, at any moment of a log of several partitions, equals a cold fold of what was stored."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.codec.facts import Encoded
from offhook.events import UnknownEvent
from offhook.position import BIGINT_MAX
from offhook.projections.views.commands import command_rows
from offhook.projections.views.fold import Folded
from offhook.projections.views.legs import leg_rows
from offhook.projections.views.past import lists_as_of, timeline
from offhook.projections.views.past.lists_as_of import (
    TooMuchToFold,
    list_queue_visits_as_of,
    list_sessions_as_of,
)
from offhook.projections.views.past.session_as_of import read_session_as_of
from offhook.projections.views.past.timeline import read_timeline
from offhook.projections.views.queues import (
    QueueVisitFilter,
    QueueVisitView,
    is_listed_visit,
    list_queue_visits,
    queue_visit_rows,
)
from offhook.projections.views.search.session_filter import SessionFilter, is_listed
from offhook.projections.views.search.session_lists import list_sessions
from offhook.projections.views.sessions import (
    SessionDetail,
    SessionView,
    detail_of,
    session_at,
    session_rows,
)
from tests.projections.partitioned import STORED_FROM, PartitionedLog, project
from tests.projections.story import Entry, call, dial_of, interleaved, queued, webhook

ASKED = {"asked": 3, "placed": 1}


def detail(folded: Folded) -> SessionDetail | None:
    rows = session_rows(folded)
    return detail_of(rows[0], leg_rows(folded), command_rows(folded)) if rows else None


@pytest.fixture
async def log(engine: AsyncEngine) -> PartitionedLog:
    """Calls whose records fall between one another, in four partitions, at random."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    log = PartitionedLog(of={f"s{number}": number % 4 for number in range(8)} | ASKED)
    calls = [[*call(f"s{number}"), *queued(f"s{number}")] for number in range(8)]
    for entries in calls:
        chance.shuffle(entries)
    log.append(*interleaved([*calls[:5], [*dial_of("asked", "placed"), *call("placed")]]))
    log.append(*interleaved(calls[5:]))
    async with engine.connect() as connection:
        await project(connection, log)
    return log


async def test_a_session_as_of_each_of_its_positions_is_a_cold_fold(
    log: PartitionedLog, engine: AsyncEngine
) -> None:
    async with engine.connect() as connection:
        for stored in log.records:
            if stored.session_id in ASKED:
                continue
            expected = detail(log.folded(stored.session_id, stored.stored_at))
            for as_of in (stored.seq, stored.stored_at):
                found = await read_session_as_of(connection, stored.session_id, as_of)
                assert found == expected, as_of
            # A record of another partition stands for its time.
            other = log.folded("s1", stored.stored_at)
            assert await read_session_as_of(connection, "s1", stored.seq) == detail(other)


async def test_a_list_as_of_each_position_is_the_list_that_there_was(
    log: PartitionedLog, engine: AsyncEngine
) -> None:
    names = sorted({each.session_id for each in log.records})
    filters = [
        SessionFilter(),
        SessionFilter(status="active"),
        SessionFilter(status="ended", connection_id="connection-1"),
        SessionFilter(from_number="+1 202-555-0100"),
        SessionFilter(to_number="nobody"),
    ]
    async with engine.connect() as connection:
        for number, stored in enumerate(log.records):
            at, wanted = stored.stored_at, filters[number % len(filters)]
            rows = [row for name in names for row in session_rows(log.folded(name, at))]
            shown = [each for row in rows if is_listed(each := session_at(row, at), wanted)]
            expected = sorted(shown, key=lambda row: row.first_stored_at, reverse=True)
            found: list[SessionView] = []
            before_seq: int | None = None
            while page := await list_sessions_as_of(
                connection, wanted, at, limit=3, before_seq=before_seq
            ):
                found += page
                before_seq = page[-1].first_seq
            assert found == expected, (at, wanted)
        now = STORED_FROM + timedelta(days=1)
        latest = await list_sessions_as_of(connection, SessionFilter(), now, limit=250)
        assert latest == await list_sessions(connection, SessionFilter(), limit=250, now=now)


async def test_queue_visits_as_of_each_position_are_those_that_there_were(
    log: PartitionedLog, engine: AsyncEngine
) -> None:
    names = sorted({each.session_id for each in log.records})
    filters = [
        QueueVisitFilter(),
        QueueVisitFilter(queue="support"),
        QueueVisitFilter(session_id="s1"),
        QueueVisitFilter(enqueued_from=STORED_FROM, enqueued_before=STORED_FROM),
    ]
    async with engine.connect() as connection:
        visits_seen = 0
        for number, stored in enumerate(log.records):
            at, wanted = stored.stored_at, filters[number % len(filters)]
            rows = [row for name in names for row in queue_visit_rows(log.folded(name, at))]
            expected = [row for row in rows if is_listed_visit(row, wanted)]
            expected.sort(key=lambda row: (row.first_stored_at, row.first_seq), reverse=True)
            found: list[QueueVisitView] = []
            before_seq: int | None = None
            while page := await list_queue_visits_as_of(
                connection, wanted, at, limit=3, before_seq=before_seq
            ):
                found += page
                before_seq = page[-1].first_seq
            assert found == expected, (at, wanted)
            visits_seen += len(found)
        assert visits_seen
        now = STORED_FROM + timedelta(days=1)
        latest = await list_queue_visits_as_of(connection, QueueVisitFilter(), now, limit=250)
        assert latest == await list_queue_visits(connection, QueueVisitFilter(), limit=250)


async def test_a_list_of_the_past_has_a_bound(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_as_of, "FOLDED_SESSIONS_MAX", 2)
    log = PartitionedLog(of={f"s{number}": number for number in range(4)})
    log.append(*interleaved([call(f"s{number}") for number in range(4)]))
    async with engine.connect() as connection:
        await project(connection, log)
        at = STORED_FROM + timedelta(seconds=20)
        nobody = SessionFilter(to_number="nobody")
        assert await list_sessions_as_of(connection, nobody, at, limit=3) == []
        assert len(await list_sessions_as_of(connection, SessionFilter(), at, limit=2)) == 2
        with pytest.raises(TooMuchToFold, match=r"2 sessions with .* with 2 of 3 found"):
            await list_sessions_as_of(connection, SessionFilter(), at, limit=3)
        log.append(*(each for number in range(4) for each in queued(f"s{number}")))
        at = log.records[-1].stored_at
        log.append(*(each for name in log.of for each in dial_of(name, f"dialled-{name}")))
        await project(connection, log)
        with pytest.raises(TooMuchToFold, match="Filter by queue or session_id"):
            await list_queue_visits_as_of(connection, QueueVisitFilter(), at, limit=250)


async def test_an_unreadable_session_is_in_a_list_of_the_past_with_its_error(
    engine: AsyncEngine,
) -> None:
    log = PartitionedLog()
    unheard = Encoded(type="Unheard", version=3, fact_id="", body=b"{}")
    log.append(*call("s")[:2], Entry(session_id="s", side="out", encoded=unheard), *call("s")[2:])
    async with engine.connect() as connection:
        await project(connection, log)
        at = log.records[3].stored_at
        [row] = await list_sessions_as_of(connection, SessionFilter(), at, limit=9)
    assert "Unheard" in str(row.fold_error)


async def test_a_timeline_of_two_partitions_is_in_order_of_time(
    log: PartitionedLog, engine: AsyncEngine
) -> None:
    own = [each for each in log.records if each.session_id in ASKED]
    expected = [each.seq for each in sorted(own, key=lambda each: each.stored_at)]
    assert expected != sorted(expected)
    async with engine.connect() as connection:
        for session_id in ASKED:
            for limit in (1, 2, 3, len(expected)):
                found: list[int] = []
                has_more = True
                while has_more:
                    page = await read_timeline(
                        connection, session_id, after_seq=found[-1] if found else 0, limit=limit
                    )
                    found += [each.seq for each in page.entries]
                    has_more = page.has_more
                assert found == expected
                before = [BIGINT_MAX]
                while page.entries:
                    page = await read_timeline(
                        connection, session_id, before_seq=before[0], limit=limit
                    )
                    assert page.has_more == (len(before) > 1)
                    before = [*(each.seq for each in page.entries), *before]
                assert before == [*expected, BIGINT_MAX]
        for number, seq in enumerate(expected):
            page = await read_timeline(connection, "placed", as_of=seq)
            assert [each.seq for each in page.entries] == expected[: number + 1]
        for number, stored in enumerate(sorted(own, key=lambda each: each.stored_at)):
            page = await read_timeline(connection, "placed", as_of=stored.stored_at)
            assert [each.seq for each in page.entries] == expected[: number + 1]


async def test_pages_of_a_timeline_lose_nothing_while_it_grows(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "TIMELINE_BYTES_MAX", 1_000)
    log = PartitionedLog(of=ASKED)
    log.append(*dial_of("asked", "placed"))
    found: list[int] = []
    async with engine.connect() as connection:
        for entry in [*call("placed"), None]:
            await project(connection, log)
            page = await read_timeline(
                connection, "placed", after_seq=found[-1] if found else 0, limit=2
            )
            found += [each.seq for each in page.entries]
            if entry is not None:
                log.append(entry)
        while page.has_more:
            page = await read_timeline(connection, "placed", after_seq=found[-1], limit=2)
            found += [each.seq for each in page.entries]
    assert found == [each.seq for each in log.records]


async def test_an_early_moment_of_a_long_session_costs_no_more_than_it_needs(
    engine: AsyncEngine,
) -> None:
    log = PartitionedLog()
    said = [UnknownEvent(event_type="call.said", event_id=str(number)) for number in range(3_000)]
    log.append(*call("s")[:2], *(webhook("s", each) for each in said))
    rows: list[int] = []
    async with engine.connect() as connection:
        await project(connection, log)
        await connection.execute(text("analyze event_log"))
        await connection.commit()
    early = log.records[4]
    async with engine.connect() as connection:
        for as_of in (early.seq, early.stored_at):
            before = await _rows_read(connection)
            found = await read_session_as_of(connection, "s", as_of)
            assert found is not None
            assert found.session.last_seq == early.seq
            rows.append(await _rows_read(connection) - before)
    assert max(rows) < 50, rows


async def _rows_read(connection: AsyncConnection) -> int:
    """Rows of event_log that this transaction has read from the table so far."""
    found = await connection.execute(
        text(
            "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)"
            " from pg_stat_xact_user_tables where relname = 'event_log'"
        )
    )
    return int(found.scalar_one())
