"""Calls of two numbers, of which one is erased, and what is looked at before and after."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.jetstream.log import JetStreamLog
from offhook.projections.retention.scan import Proof, scan
from offhook.projections.retention.targets import Target, find_target
from offhook.projections.views.past.timeline import read_timeline
from tests.projections.retention.settled_calls import settled_calls

HERS = "+12025550177"
NAMES = ["call-of-hers-1", "call-of-theirs-2", "call-of-hers-3"]
NOW = datetime(2027, 1, 31, tzinfo=UTC)


class Killed(Exception):
    """Stands for kill -9."""


def kill_at(step: str) -> Callable[[str], None]:
    """An `at_step` that ends there."""

    def kill(done: str) -> None:
        if done == step:
            raise Killed

    return kill


async def calls(client: Client, log: JetStreamLog, engine: AsyncEngine) -> None:
    for name in NAMES:
        await settled_calls(
            client, log, engine, [name], number=HERS if "hers" in name else "+12025550166"
        )


async def target_of(
    engine: AsyncEngine,
    session_ids: Sequence[str] = (),
    numbers: Sequence[str] = (),
    now: datetime = NOW,
    at_skipped: Callable[[str], None] = lambda segment: None,
) -> Target:
    async with engine.connect() as connection:
        return await find_target(connection, session_ids, numbers, [], now, at_skipped=at_skipped)


async def scanned(engine: AsyncEngine, target: Target, stores: Sequence[Path], root: Path) -> Proof:
    async with engine.connect() as connection:
        return await scan(connection, target, stores=stores, roots=[str(root)])


async def timeline_of(engine: AsyncEngine, session_id: str) -> Any:
    async with engine.connect() as connection:
        return (await read_timeline(connection, session_id)).entries
