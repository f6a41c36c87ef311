"""The search in SQL against plain Python on seeded sessions."""

import random
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, literal_column, text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.projections.views.search import number_plans, session_lists, start_range
from offhook.projections.views.search.session_filter import SessionFilter, is_listed
from offhook.projections.views.search.session_lists import (
    list_sessions,
    stream_sessions,
)
from offhook.projections.views.search.time_bound import SearchTooLong
from offhook.projections.views.sessions import SessionView, session_at, sessions
from tests.projections.views.search.oracle import (
    COUNT,
    FILTERS,
    NOW,
    WANTED_NUMBERS,
    is_found,
    seeded,
    stored,
)

_OF_SOME = {"FEW_MAX": 0, "COUNTED_FIRST_MAX": 0}
_OF_MANY = {**_OF_SOME, "SOME_MAX": 0}


def _set(monkeypatch: pytest.MonkeyPatch, bounds: dict[str, int]) -> None:
    for module in (number_plans, session_lists, start_range):
        for name, bound in bounds.items():
            monkeypatch.setattr(module, name, bound, raising=False)


async def test_the_search_finds_what_plain_python_finds(engine: AsyncEngine) -> None:
    seed = random.randrange(10**6)
    rows = seeded(seed)
    newest = sorted(rows, key=lambda row: (row["first_stored_at"], row["first_seq"]), reverse=True)
    async with engine.connect() as connection:
        await stored(connection, rows)
        for wanted in (SessionFilter(), *FILTERS):
            expected = [row["session_id"] for row in newest if is_found(row, wanted)]
            found: list[SessionView] = []
            before_seq: int | None = None
            while page := await list_sessions(
                connection, wanted, limit=100, now=NOW, before_seq=before_seq
            ):
                found += page
                before_seq = page[-1].first_seq
            assert [each.session_id for each in found] == expected, (seed, wanted)
            assert 0 < len(expected) < COUNT, (seed, wanted)
            streamed = stream_sessions(connection, wanted, limit=COUNT, now=NOW)
            assert [each async for each in streamed] == found
            if wanted.number is None and not wanted.any_leg:
                # A row in hand, as lists of the past decide.
                every = [session_at(SessionView(**_view(row)), NOW) for row in newest]
                in_hand = [each.session_id for each in every if is_listed(each, wanted)]
                assert in_hand == expected, (seed, wanted)


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        _OF_SOME,
        {**_OF_SOME, "COMPARED_MAX": 20, "OTHERS_MAX": 1},
        _OF_MANY,
        {**_OF_MANY, "WALKED_MAX": 20},
    ],
    ids=["of few", "of some", "of some, long ago", "of many", "of many, long ago"],
)
async def test_a_number_and_other_filters_find_page_by_page_what_plain_python_finds(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, int]
) -> None:
    _set(monkeypatch, bounds)
    seed = random.randrange(10**6)
    any_of, rows = random.Random(seed), seeded(seed)
    newest = sorted(rows, key=lambda row: (row["first_stored_at"], row["first_seq"]), reverse=True)
    async with engine.connect() as connection:
        await stored(connection, rows)
        alone = [SessionFilter(number=each) for each in WANTED_NUMBERS]
        for wanted in (*alone, *(_combined(any_of) for _ in range(35))):
            expected = [row["session_id"] for row in newest if is_found(row, wanted)]
            found: list[str] = []
            before_seq: int | None = None
            while page := await list_sessions(
                connection,
                wanted,
                limit=any_of.choice((2, 7, 50)),
                now=NOW,
                before_seq=before_seq,
            ):
                found += [each.session_id for each in page]
                before_seq = page[-1].first_seq
            assert found == expected, (seed, wanted)


@pytest.mark.parametrize(
    "bounds",
    [{}, _OF_SOME, _OF_MANY, {**_OF_MANY, "APART_MAX": 0}],
    ids=["of few", "of some", "of many", "many were stored apart"],
)
async def test_a_range_of_starts_finds_what_plain_python_finds(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, int]
) -> None:
    _set(monkeypatch, bounds)
    seed = random.randrange(10**6)
    any_of, rows = random.Random(seed), seeded(seed)
    newest = sorted(rows, key=lambda row: (row["first_stored_at"], row["first_seq"]), reverse=True)
    numbers: list[dict[str, Any]] = [{}, {"status": "empty"}, {"from_number": "*", "any_leg": True}]
    for name in ("number", "from_number", "to_number"):
        numbers += [{name: each} for each in any_of.sample(WANTED_NUMBERS, 3)]
    async with engine.connect() as connection:
        await stored(connection, rows)
        for number in numbers:
            since = NOW - timedelta(minutes=any_of.randrange(250))
            until = since + timedelta(minutes=any_of.choice((1, 30, 250)))
            bounded = {"started_from": since, "started_before": until}
            for left_out in (None, "started_from", "started_before"):
                times = {name: at for name, at in bounded.items() if name != left_out}
                wanted = SessionFilter(**number | times)
                expected = [row["session_id"] for row in newest if is_found(row, wanted)]
                limit = any_of.choice((10, 40))
                page = await list_sessions(connection, wanted, limit=limit, now=NOW)
                found = [each.session_id for each in page]
                while len(page) == limit:
                    before_seq = page[-1].first_seq
                    page = await list_sessions(
                        connection, wanted, limit=limit, now=NOW, before_seq=before_seq
                    )
                    found += [each.session_id for each in page]
                assert found == expected, (seed, wanted)
                for most in (None, limit):
                    streamed = stream_sessions(connection, wanted, limit=most, now=NOW)
                    ids = [each.session_id async for each in streamed]
                    assert ids == expected[:most], (seed, wanted)


@pytest.mark.parametrize("number", [None, "+12025550101"])
async def test_sessions_of_a_range_that_were_stored_late_are_looked_up(
    engine: AsyncEngine, number: str | None
) -> None:
    rows = [{**row, "status": "ended"} for row in seeded(1, delayed=0)]
    start = NOW - timedelta(days=1)
    rows[0] |= {"started_at": start, "first_stored_at": NOW, "from_number": "+12025550101"}
    ran: list[tuple[str, Any]] = []
    async with engine.connect() as connection:
        await stored(connection, rows)
        # Postgres then reads in the order of an index wherever it can, as it may among millions.
        await connection.execute(text("set local enable_sort = off"))
        await connection.execute(text("set local enable_seqscan = off"))
        event.listen(
            connection.sync_connection,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, parameters, *_: ran.append(
                (statement, parameters)
            ),
        )
        wanted = SessionFilter(started_before=start + timedelta(hours=1), from_number=number)
        [found] = await list_sessions(connection, wanted, limit=1, now=NOW)
        statement, parameters = ran[-1]
        explained = await connection.exec_driver_sql(f"explain {statement}", parameters)
        plan = "\n".join(explained.scalars())
    assert found.session_id == rows[0]["session_id"]
    assert "sessions_pkey" in plan
    assert "first_stored_at_index" not in plan, plan


async def test_a_range_up_to_the_last_time_there_is_finds_all(engine: AsyncEngine) -> None:
    ends = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]
    rows = [{**row, "status": "ended"} for row in seeded(1) if row["started_at"]]
    wanted = SessionFilter(started_from=ends[0], started_before=ends[1])
    async with engine.connect() as connection:
        await stored(connection, rows)
        page = await list_sessions(connection, wanted, limit=COUNT, now=NOW)
    assert len(page) == len(rows)


async def test_a_transfer_that_lost_a_race_with_the_hangup_is_found_among_many(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, _OF_MANY)
    rows, number = seeded(0), "+12025550101"
    for place, row in enumerate(rows):
        at = NOW - timedelta(minutes=2 * place)
        row |= {"first_stored_at": at, "started_at": at, "commands": [], "failed_commands": None}
        row |= {"status": "ended", "legs": [{**row["legs"][0], "started_at": at}]}
        row["legs"][0]["from_number"] = number
    newest = rows[0]
    newest["legs"] = [{**newest["legs"][0], "from_number": None, "to_number": None}]
    newest["commands"] = [
        {
            "command_id": "transfer",
            "operation": "transfer",
            "status": "failed",
            "parameters": {"to": number},
            "decided_at": newest["first_stored_at"],
        }
    ]
    async with engine.connect() as connection:
        await stored(connection, rows)
        wanted = SessionFilter(number=number)
        page = await list_sessions(connection, wanted, limit=2, now=NOW)
    assert page[0].session_id == newest["session_id"]


def _combined(any_of: random.Random) -> SessionFilter:
    """A number of any leg, or of a session, with up to two other filters, perhaps in a range."""
    asked: dict[str, Any] = {}
    for other in any_of.sample(FILTERS, any_of.randrange(3)):
        asked |= {name: value for name, value in asdict(other).items() if value is not None}
    name = any_of.choice(("number", "number", "from_number", "to_number"))
    asked[name] = any_of.choice(WANTED_NUMBERS)
    for bound in any_of.sample(("started_from", "started_before"), any_of.randrange(3)):
        asked[bound] = NOW - timedelta(minutes=any_of.randrange(250))
    return SessionFilter(**asked)


def _view(row: dict[str, Any]) -> dict[str, Any]:
    return {column.name: row.get(column.name) for column in sessions.columns}


async def test_a_search_has_a_bound_of_time(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.connect() as connection:
        await connection.execute(
            text(
                "create or replace function pg_temp.slow(text) returns text language sql as"
                " 'select $1 from pg_sleep(30)'"
            )
        )
        await stored(connection, [{**seeded(1)[0], "status": "ended"}])
        monkeypatch.setattr(session_lists, "FOR_SEARCHES", "set local statement_timeout = 50")
        also = literal_column("pg_temp.slow(sessions.session_id)").is_not(None)
        with pytest.raises(SearchTooLong, match="more than 10 s"):
            await list_sessions(
                connection,
                SessionFilter(status="ended"),
                limit=1,
                now=NOW + timedelta(days=1),
                also=also,
            )


async def test_what_is_read_first_for_a_range_has_the_bound_too(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_lists, "FOR_SEARCHES", "set local statement_timeout = 50")
    async with engine.connect() as other, engine.connect() as connection:
        await other.execute(text("lock table sessions in access exclusive mode"))
        with pytest.raises(SearchTooLong, match="more than 10 s"):
            await list_sessions(connection, SessionFilter(started_from=NOW), limit=1, now=NOW)
