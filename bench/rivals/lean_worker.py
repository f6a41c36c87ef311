"""The worker of `lean`, a fair rival: a transaction per event, SKIP LOCKED, LISTEN/NOTIFY.

Run by `bench.latency` and `bench.workers`:
`python -m bench.rivals.lean_worker DATABASE_URL CARRIER_URL SLOTS`. The row is locked while the
carrier processes its command, and then its outcome is committed: a killed worker's locks are
released with its connection. It keeps no history and no order within a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import uuid

import asyncpg
import httpx

from offhook.process.logs import configure_logs
from offhook.process.serve import run_to_end

POLL_S = 1.0
CHANNEL = "events"
TABLE = """
    create table if not exists events (
        id bigint generated always as identity primary key,
        event_id text not null unique,
        body jsonb not null,
        command_id text,
        outcome jsonb
    );
    create index if not exists open_events on events (id) where outcome is null;
"""
INSERT = """
    with stored as (
        insert into events (event_id, body) values ($1, $2) on conflict do nothing returning id
    ) select pg_notify('events', '') from stored
"""
CLAIM = """
    select id, body from events where outcome is null order by id limit 1 for update skip locked
"""


async def run(database_url: str, carrier_url: str, slots: str) -> None:
    waking: asyncio.Queue[None] = asyncio.Queue()
    listening = await asyncpg.connect(database_url)
    count = int(slots)
    async with (
        asyncpg.create_pool(database_url, min_size=count, max_size=count) as pool,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        await pool.execute(TABLE)
        await listening.add_listener(CHANNEL, lambda *_: waking.put_nowait(None))
        # `bench.setting.children` waits for this line; this worker has no port.
        logging.getLogger(__name__).info("listening", extra={"port": 0})
        await asyncio.gather(*(_slot(pool, http, carrier_url, waking) for _ in range(count)))


async def _slot(
    pool: asyncpg.Pool[asyncpg.Record],
    http: httpx.AsyncClient,
    carrier_url: str,
    waking: asyncio.Queue[None],
) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await waking.get()
        async with pool.acquire() as connection:
            while await _settled_one(connection, http, carrier_url):
                pass


async def _settled_one(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record],
    http: httpx.AsyncClient,
    carrier_url: str,
) -> bool:
    async with connection.transaction():
        row = await connection.fetchrow(CLAIM)
        if row is None:
            return False
        event = json.loads(row["body"])["data"]
        command_id = str(uuid.uuid5(uuid.NAMESPACE_OID, event["id"]))
        outcome = None
        if event["event_type"] == "call.initiated":
            leg = event["payload"]["call_control_id"]
            url = f"{carrier_url}/calls/{leg}/actions/answer"
            answer = await http.post(url, json={"command_id": command_id})
            outcome = answer.raise_for_status().text
        await connection.execute(
            "update events set command_id = $2, outcome = $3 where id = $1",
            row["id"],
            command_id,
            outcome or "null",
        )
    return True


if __name__ == "__main__":
    configure_logs("lean")
    run_to_end(run(*sys.argv[1:4]))
