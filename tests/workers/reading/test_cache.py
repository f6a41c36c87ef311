"""How much a worker keeps of the sessions it has read."""

import asyncio

from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.workers.reading.cache import SessionCache
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import SESSION, initiated

LONG, SHORT = "long-session", "short-session"


async def test_a_long_session_leaves_the_cache_for_others() -> None:
    cache, log = await cache_of(facts_max=10)
    for name in (LONG, SHORT, SESSION):
        await cache.read(name)
    assert [name for name in (LONG, SHORT, SESSION) if cache.known(name)] == [SHORT, SESSION]
    assert (await cache.read(LONG)).size == 10
    assert [name for name in (LONG, SHORT, SESSION) if cache.known(name)] == [LONG]
    await add(log, SHORT, 3)
    assert (await cache.read(SHORT)).size == 4
    assert cache.known(LONG) is None


async def test_one_session_is_kept_however_long_it_is() -> None:
    cache, _ = await cache_of(facts_max=3)
    await cache.read(LONG)
    assert cache.known(LONG) is not None
    cache.drop(LONG)
    assert cache.known(LONG) is None
    assert (await cache.read(LONG)).size == 10


async def test_no_more_sessions_are_kept_than_the_bound() -> None:
    cache, _ = await cache_of(cached_max=2)
    for name in (LONG, SHORT, LONG, SESSION):
        await cache.read(name)
    assert [name for name in (LONG, SHORT, SESSION) if cache.known(name)] == [LONG, SESSION]


async def cache_of(cached_max: int = 10, facts_max: int = 100) -> tuple[SessionCache, MemoryLog]:
    """An empty cache, and the log with a session of 10 records and two with one."""
    log = MemoryLog()
    for name, count in ((LONG, 10), (SHORT, 1), (SESSION, 1)):
        await add(log, name, count)
    return SessionCache(log, asyncio.sleep, cached_max, facts_max), log


async def add(log: MemoryLog, session_id: str, count: int) -> None:
    """More records, each of another event."""
    first = len(await log.read(session_id))
    for number in range(first, first + count):
        event = initiated(f"{session_id}-{number}")
        await log.append(session_id, "in", encoded_webhook(wire_body(event), event.event_id))
