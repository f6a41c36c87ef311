"""How long a search for sessions takes, with millions of them.

    python -m bench.queries.search [--sessions 1000000] [--rounds 30] [--explain] [--keep DIR]

Rows are made by Postgres itself (`generate_series`), two legs for each session; indexes are those
of the migrations. Each round asks for every search once, as the API does (`list_sessions`, a page
of 50, its transaction included), and for two floors: `ping` is "select 1" in such a transaction,
and `newest` the page without a filter. Numbers differ from round to round. With --explain the plans
of each search are printed. With --keep Postgres is in that folder, and what it has from another run
is migrated and measured again.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.queries.filling import fill_table, has_database
from bench.setting.machine import describe, median, percentile
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import MIGRATIONS
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.errors import StatementFailed
from offhook.projections.views.database.transactions import read_at_one_moment
from offhook.projections.views.schema.migrate import migrate
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from offhook.projections.views.search.time_bound import SearchTooLong
from offhook.projections.views.sessions import SessionView

TARGET_MS = 50
PAGE = 50
AGENTS = 5_000
LINES = 2_000
LONG_AGO = ", a day long ago"
"""Such searches are compared with a plain statement, in the first round."""

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)

# A caller is one of 900 million numbers of a country, of three countries; the line called is one
# of LINES, and the second leg goes to one of AGENTS. One session in fifty failed, and in one of
# forty a transfer did; in one of 2,000 the flow raised.
_SESSIONS = """
insert into sessions (
    session_id, status, started_at, answered_at, ended_at, leg_count, call_control_id,
    connection_id, direction, from_number, to_number, hangup_cause, hangup_source,
    sip_hangup_cause, recording_count, flow, flow_version, parked, failed, failed_commands,
    flow_raised_at, first_seq, last_seq, first_stored_at, last_stored_at
)
select
    md5(i::text)::uuid::text, 'ended', at, at + interval '3 s', at + interval '1 minute', 2,
    'v3:' || md5(i::text),
    (i % 7)::text, 'incoming',
    (array['+49', '+1', '+44'])[1 + i % 3] || (100000000 + (hashint8(i) & 2147483647) % 900000000),
    '+1202' || (5550000 + (hashint8(i + 7000000000) & 2147483647) % :lines),
    case when i % 50 = 0 then 'not_found' when i % 9 = 0 then 'user_busy'
    else 'normal_clearing' end,
    'caller', case when i % 50 = 0 then '404' else '200' end,
    0, 'frontdesk', '7', false, i % 50 = 0,
    case when i % 40 = 0 then jsonb_build_array(jsonb_build_object(
        'operation', case when i % 40000 = 0 then 'refer' else 'transfer' end,
        'reason', 'refused', 'http_status', 422, 'count', 1
    )) end,
    case when i % 2000 = 0 then at end,
    i * 10, i * 10 + 9, at, at + interval '1 minute'
from generate_series(1, :sessions) as series (i),
    lateral (select timestamptz '2026-01-01 00:00:00+00' + i * interval '1 s' as at) as times
"""
_LEGS = """
insert into legs (
    call_control_id, session_id, connection_id, direction, from_number, to_number, state,
    started_at, answered_at, ended_at, hangup_cause, last_seq
)
select
    'v3:' || session_id || part, session_id, connection_id,
    case part when 0 then direction else 'outgoing' end, from_number,
    case part when 0 then to_number
    else '+4420' || (70000000 + (hashint8(first_seq) & 2147483647) % :agents) end,
    'ended', started_at, answered_at, ended_at, hangup_cause, last_seq
from sessions, generate_series(0, 1) as parts (part)
"""
_COMMANDS = """
insert into commands (
    session_id, command_id, operation, call_control_id, parameters, status, reason, http_status,
    attempts, flow, flow_version, ordinal, decided_at, caused_at, settled_at, last_seq
)
select
    session_id, 'c' || session_id, failed_commands -> 0 ->> 'operation', call_control_id,
    jsonb_build_object('from', to_number, 'to',
        '+4420' || (70000000 + (hashint8(first_seq) & 2147483647) % :agents)),
    'failed', 'refused', 422, 1, flow, flow_version, 0, started_at, started_at, started_at, last_seq
from sessions where failed_commands is not null
"""


def searches(any_of: random.Random, sessions: int, known: list[str]) -> Mapping[str, SessionFilter]:
    """Each search, with numbers of its own."""
    number = any_of.choice(known)
    last = FIRST + timedelta(seconds=sessions)
    agent = f"+4420{70_000_000 + any_of.randrange(AGENTS)}"
    line = f"+1202{5_550_000 + any_of.randrange(LINES)}"
    day = FIRST + timedelta(seconds=sessions // 3)
    a_day: dict[str, Any] = {"started_from": day, "started_before": day + timedelta(days=1)}
    return {
        "newest": SessionFilter(),
        "from, exact": SessionFilter(from_number=number),
        "to, exact": SessionFilter(to_number=line),
        "from, prefix of 6 digits": SessionFilter(from_number=f"{number[:7]}*"),
        "from, prefix of a country": SessionFilter(from_number="+49*"),
        "from, suffix of 4 digits": SessionFilter(from_number=f"*{number[-4:]}"),
        "from, no such number": SessionFilter(from_number="+999*"),
        "not from a country": SessionFilter(from_number="!+49*"),
        "any leg, exact": SessionFilter(number=agent),
        "any leg, one call": SessionFilter(number=number),
        "any leg, prefix of 6 digits": SessionFilter(number=f"{number[:7]}*"),
        "any leg, prefix of 9 digits": SessionFilter(number=f"{agent[:10]}*"),
        "any leg, prefix of a country": SessionFilter(number="+49*"),
        "any leg, suffix of 4 digits": SessionFilter(number=f"*{number[-4:]}"),
        "any leg, suffix of 2 digits": SessionFilter(number=f"*{number[-2:]}"),
        "no leg with a number": SessionFilter(number=f"!{agent}"),
        "any leg, no such number": SessionFilter(number="+999*"),
        "failed": SessionFilter(failed=True),
        "failed command, any": SessionFilter(failed_command="*"),
        "failed command, a rare one": SessionFilter(failed_command="refer"),
        "failed command, no such one": SessionFilter(failed_command="dial"),
        "no failed command": SessionFilter(failed_command="!*"),
        "flow raised": SessionFilter(flow_raised=True),
        "flow raised, in the last day": SessionFilter(flow_raised_from=last - timedelta(days=1)),
        "flow raised, in no time": SessionFilter(flow_raised_from=last + timedelta(days=1)),
        "flow did not raise": SessionFilter(flow_raised=False),
        "cause": SessionFilter(hangup_cause="not_found"),
        f"any leg, 2 digits{LONG_AGO}": SessionFilter(number=f"*{number[-2:]}", **a_day),
        f"any leg, a country{LONG_AGO}": SessionFilter(number="+49*", **a_day),
        f"from a country{LONG_AGO}": SessionFilter(from_number="+49*", **a_day),
        f"to, exact{LONG_AGO}": SessionFilter(to_number=line, **a_day),
    }


async def run(url: str, count: int, rounds: int, *, explain: bool) -> dict[str, list[float]]:
    engine = open_database(url, "bench", statement_timeout_s=None)
    any_of = random.Random(1)
    took: dict[str, list[float]] = {"ping": []}
    try:
        async with engine.connect() as connection:
            found = await connection.execute(text("select from_number from sessions limit 20000"))
            known = list(found.scalars())
        for number in range(rounds):
            started = time.perf_counter()
            async with engine.connect() as connection:
                await read_at_one_moment(connection)
                await connection.execute(text("select 1"))
            took["ping"].append(time.perf_counter() - started)
            for name, wanted in searches(any_of, count, known).items():
                page: list[SessionView] = []
                started = time.perf_counter()
                async with engine.connect() as connection:
                    await read_at_one_moment(connection)
                    with suppress(SearchTooLong):  # the table shows its bound
                        page = await list_sessions(connection, wanted, limit=PAGE, now=NOW)
                took.setdefault(name, []).append(time.perf_counter() - started)
                if number == 0 and name.endswith(LONG_AGO):
                    async with engine.connect() as connection:
                        await _compare(connection, name, wanted, page)
                if explain and number == 0:
                    async with engine.connect() as connection:
                        await _explain(connection, name, wanted)
    finally:
        await engine.dispose()
    return took


async def _compare(
    connection: AsyncConnection, name: str, wanted: SessionFilter, page: list[SessionView]
) -> None:
    """Stop if the page is not what a plain statement finds."""
    asked = {each: value for each, value in asdict(wanted).items() if each in _PLAIN and value}
    conditions = " and ".join(_PLAIN[each] for each in asked)
    values = {each: str(asked[each]).replace("*", "%") for each in NUMBERS if each in asked}
    found = await connection.execute(
        text(
            f"select session_id from sessions where {conditions}"
            " order by first_stored_at desc, first_seq desc limit :limit"
        ),
        {**asked, **values, "limit": PAGE},
    )
    if list(found.scalars()) != [each.session_id for each in page]:
        raise SystemExit(f"{name}: the page is not what a plain statement finds for {asked}")


NUMBERS = ("number", "from_number", "to_number")
_PLAIN = {
    "number": """(
        exists (
            select from legs where legs.session_id = sessions.session_id
            and (from_number like :number or to_number like :number) offset 0
        )
        or exists (
            select from commands where commands.session_id = sessions.session_id
            and (parameters ->> 'from' like :number or parameters ->> 'to' like :number) offset 0
        )
    )""",
    "from_number": "from_number like :from_number",
    "to_number": "to_number like :to_number",
    "started_from": "started_at >= :started_from",
    "started_before": "started_at < :started_before",
}


async def fill(url: str, count: int) -> None:
    engine = open_database(url, "bench", statement_timeout_s=None)
    async with engine.begin() as connection:
        await fill_table(connection, "sessions", _SESSIONS, {"sessions": count, "lines": LINES})
        await fill_table(connection, "legs", _LEGS, {"agents": AGENTS})
        await fill_table(connection, "commands", _COMMANDS, {"agents": AGENTS})
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("vacuum analyze sessions, legs, commands"))
    await engine.dispose()


async def _explain(connection: AsyncConnection, name: str, wanted: SessionFilter) -> None:
    """The plans of the statements that a page takes, each with the settings it has there."""
    ran: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        ran.append((statement, parameters))

    await read_at_one_moment(connection)
    event.listen(connection.sync_connection, "before_cursor_execute", note)
    with suppress(SearchTooLong):
        await list_sessions(connection, wanted, limit=PAGE, now=NOW)
    event.remove(connection.sync_connection, "before_cursor_execute", note)
    await connection.rollback()
    console = Console(soft_wrap=True)
    console.print(f"\n-- {name}", markup=False)
    for statement, parameters in ran:
        if "set_config(" in statement:
            await connection.exec_driver_sql(statement, parameters)
        else:
            explained = f"explain (analyze, buffers, costs off) {statement}"
            try:
                found = await connection.exec_driver_sql(explained, parameters)
            except StatementFailed as error:
                console.print(error, markup=False)
                break
            console.print(*found.scalars(), "", sep="\n", markup=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    before = describe("bench.queries.search")
    with (
        tempfile.TemporaryDirectory(prefix="offhook-bench-") as folder,
        PostgresServer(chosen.keep or Path(folder) / "postgres") as postgres,
    ):
        name = f"sessions_{chosen.sessions}"
        is_kept = has_database(postgres, name)
        url = postgres.url_of(name) if is_kept else postgres.create_database(name)
        asyncio.run(migrate(url, MIGRATIONS))
        if not is_kept:
            asyncio.run(fill(url, chosen.sessions))
        took = asyncio.run(run(url, chosen.sessions, chosen.rounds, explain=chosen.explain))
    console = Console(width=100)
    console.print(before)
    console.print(_table(took, chosen.sessions, chosen.rounds))


def _table(took: Mapping[str, list[float]], count: int, rounds: int) -> Table:
    table = Table(title=f"A page of {PAGE} of {count:,} sessions; {rounds} rounds, ms")
    for heading in ("search", "p50", "p99", "worst", "target"):
        table.add_column(heading, justify="left" if heading == "search" else "right")
    for name, seconds in took.items():
        figures = [
            f"{1000 * each:.1f}"
            for each in (median(seconds), percentile(seconds, 99), max(seconds))
        ]
        target = "" if name in ("ping", "newest") else f"≤ {TARGET_MS}"
        table.add_row(name, *figures, target)
    return table


if __name__ == "__main__":
    main()
