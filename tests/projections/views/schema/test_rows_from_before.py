"""Rows of earlier revisions get what later ones keep of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.projections.views.database.engine import open_database
from offhook.projections.views.live.outcomes import count_outcomes
from offhook.projections.views.schema.migrate import downgrade, migrate
from offhook.projections.views.sessions import read_session
from tests.projections.rollups import assert_rolled_up, rolled_up
from tests.projections.views.schema.sessions import insert_session


@asynccontextmanager
async def _rows_at(
    url: str, migrations: Path, revision: str, sessions: tuple[str, ...], rows: str
) -> AsyncIterator[AsyncEngine]:
    """A database of this revision with these sessions, and what the statement inserts."""
    await migrate(url, migrations, revision)
    engine = open_database(url)
    async with engine.begin() as connection:
        for session_id in sessions:
            await insert_session(connection, session_id)
        await connection.execute(text(rows))
    yield engine
    await engine.dispose()


async def test_rows_from_before_survive_the_columns_that_came_later(
    empty_database_url: str, migrations: Path
) -> None:
    rows = (
        "insert into sessions (session_id, status, leg_count, parked, first_seq, last_seq)"
        " values ('s', 'ended', 1, false, 1, 2)"
    )
    async with _rows_at(empty_database_url, migrations, "0002", (), rows) as engine:
        await migrate(empty_database_url, migrations)
        async with engine.connect() as connection:
            found = await read_session(connection, "s")
        assert found is not None
        assert (found.session.recording_count, found.session.cost) == (0, None)


async def test_calls_that_a_network_refused_before_have_failed(
    empty_database_url: str, migrations: Path
) -> None:
    rows = (
        "insert into legs (call_control_id, session_id, state, ended_at, hangup_cause,"
        " sip_hangup_cause, last_seq) values"
        " ('a', 'forbidden', 'ended', now(), 'call_rejected', '403', 2),"
        " ('b', 'declined', 'ended', now(), 'call_rejected', '603', 2)"
    )
    async with _rows_at(
        empty_database_url, migrations, "0018", ("forbidden", "declined"), rows
    ) as engine:
        for revision_, failed in (("0019", {"forbidden"}), ("0018", set())):
            change = migrate if revision_ == "0019" else downgrade
            await change(empty_database_url, migrations, revision_)
            async with engine.connect() as connection:
                found = await connection.execute(
                    text("select session_id from sessions where failed")
                )
                assert set(found.scalars()) == failed


async def test_sessions_from_before_have_their_failed_commands(
    empty_database_url: str, migrations: Path
) -> None:
    rows = (
        "insert into commands (session_id, command_id, operation, status, reason,"
        " http_status, attempts, ordinal, last_seq) values"
        " ('failed', '1', 'dial', 'failed', 'deadline', null, 3, 0, 9),"
        " ('failed', '2', 'transfer', 'failed', 'refused', 422, 1, 0, 4),"
        " ('failed', '3', 'transfer', 'failed', 'refused', 422, 1, 0, 8),"
        " ('failed', '4', 'speak', 'failed', 'call_ended', 422, 1, 0, 9),"
        " ('failed', '6', 'speak', 'failed', 'call_ended', null, 0, 0, 9),"
        " ('failed', '7', 'answer', 'failed', 'call_ended', null, 2, 0, 6),"
        " ('failed', '8', 'bridge', 'failed', 'call_ended', 422, 2, 0, 11),"
        " ('none', '5', 'speak', 'succeeded', null, 200, 1, 0, 2)"
    )
    async with _rows_at(empty_database_url, migrations, "0019", ("failed", "none"), rows) as engine:
        refused = {"operation": "transfer", "reason": "refused", "http_status": 422, "count": 2}
        late = {"operation": "dial", "reason": "deadline", "http_status": None, "count": 1}
        answer = {"operation": "answer", "reason": "call_ended", "http_status": None, "count": 1}
        bridge = {"operation": "bridge", "reason": "call_ended", "http_status": 422, "count": 1}
        for change, to, expected in (
            (migrate, "0025", [refused, late]),
            (migrate, "0026", [refused, answer, late, bridge]),
            (downgrade, "0025", [refused, late]),
        ):
            await change(empty_database_url, migrations, to)
            async with engine.connect() as connection:
                found = await connection.execute(
                    text("select failed_commands from sessions order by session_id")
                )
                assert found.scalars().all() == [expected, None]
                await connection.execute(text("update commands set decided_at = now()"))
                outcomes = await count_outcomes(connection, datetime(2026, 11, 1, tzinfo=UTC))
                assert (outcomes.failed["call_ended"], outcomes.overtaken) == (4, 2)


async def test_sessions_from_before_have_when_their_flow_raised(
    empty_database_url: str, migrations: Path
) -> None:
    rows = (
        "insert into event_log (seq, session_id, side, type, version, stored_at, body)"
        " select seq, session_id, 'out', type, 1, timestamptz '2026-11-22 10:00:00+00'"
        " + seq * interval '1 s', '{}' from (values"
        " (1, 'raised', 'SessionParked'), (3, 'raised', 'SessionParked'),"
        " (4, 'raised', 'Decided'), (5, 'none', 'Decided')"
        ") as stored (seq, session_id, type)"
    )
    async with _rows_at(empty_database_url, migrations, "0024", ("raised", "none"), rows) as engine:
        await migrate(empty_database_url, migrations)
        async with engine.connect() as connection:
            raised, none = [await read_session(connection, each) for each in ("raised", "none")]
        assert raised is not None
        assert none is not None
        assert raised.session.flow_raised_at == datetime(2026, 11, 22, 10, 0, 3, tzinfo=UTC)
        assert none.session.flow_raised_at is None


async def test_legs_from_before_are_in_every_histogram(
    empty_database_url: str, migrations: Path
) -> None:
    rows = (
        "insert into legs (call_control_id, session_id, direction, connection_id, state,"
        " started_at, answered_at, ended_at, cost, currency, last_seq)"
        " select n, n, nullif(direction, ''), 'c-' || n % 2, 'ended', at,"
        " case when n % 3 > 0 then at + n * interval '1 s' end, at + n * interval '9 s',"
        " 0.5, 'USD', n::bigint << 45"
        " from generate_series(1, 12) as n cross join lateral (select"
        " (array['incoming', 'outgoing', ''])[1 + n % 3] as direction,"
        " timestamptz '2026-11-29 22:10:00+00' + n * interval '1 hour' as at) as each"
    )
    async with _rows_at(empty_database_url, migrations, "0026", (), rows) as engine:
        # A row for each class, and costs among them, as up to revision 0027.
        conditions = {"leg_sums": "calls <> 0", "leg_classes": "legs <> 0"}
        async with engine.connect() as connection:
            before = await rolled_up(connection, conditions)
        assert all(before.values())
        await migrate(empty_database_url, migrations)
        await assert_rolled_up(engine)
        await downgrade(empty_database_url, migrations, "0026")
        async with engine.connect() as connection:
            assert await rolled_up(connection, conditions) == before
