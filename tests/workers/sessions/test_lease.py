"""A lease builds on what its worker has read; a record that was stored already is news."""

import pytest

from offhook.codec.facts import encode
from offhook.errors import PositionTaken
from offhook.events import CommandAttempted, CommandSucceeded
from offhook.workers.reading.cache import SessionCache
from offhook.workers.sessions.lease import OwnLease
from tests.memory_log import MemoryLog

SESSION = "session-1"
OUTCOME = CommandSucceeded(command_id="c-1", http_status=200)


async def no_pause(_: float) -> None:
    """Nothing is waited for: the log is in memory."""


async def lease_on(log: MemoryLog) -> OwnLease:
    cache = SessionCache(log, no_pause)
    state = await cache.read(SESSION)
    return OwnLease(state, cache=cache, log=log, worker="w2", send_s=2.0, now=lambda: log.now)


async def test_an_outcome_that_another_worker_recorded_before_its_next_record_ends_the_lease() -> (
    None
):
    log = MemoryLog()
    lease = await lease_on(log)
    await log.append(SESSION, "out", encode(OUTCOME, SESSION))
    attempted = CommandAttempted(
        command_id="c-2", attempt=2, because="503", worker="w1", lease_s=3.0
    )
    await log.append(SESSION, "out", encode(attempted, SESSION))
    with pytest.raises(PositionTaken):
        await lease.append(OUTCOME)


async def test_an_outcome_that_another_worker_recorded_after_it_took_over_ends_the_lease() -> None:
    """Nothing follows the outcome, but the other worker has a lease, and sends what comes next."""
    log = MemoryLog()
    lease = await lease_on(log)
    taken_over = CommandAttempted(
        command_id="c-1", attempt=2, because="taken over", worker="w1", lease_s=3.0
    )
    await log.append(SESSION, "out", encode(taken_over, SESSION))
    await log.append(SESSION, "out", encode(OUTCOME, SESSION))
    with pytest.raises(PositionTaken):
        await lease.append(OUTCOME)


async def test_an_outcome_that_was_stored_and_not_acknowledged_is_read_and_built_on() -> None:
    log = MemoryLog()
    lease = await lease_on(log)
    await log.append(SESSION, "out", encode(OUTCOME, SESSION))
    await lease.append(OUTCOME)
    assert lease.state.out_seq == lease.state.tail_seq == 1
    await lease.renew("c-2", 2, "503")
    assert lease.state.tail_seq == 2
