"""When a command is given up, by which clock, and counted from when."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from offhook.codec.facts import encode
from offhook.events import (
    CommandFailed,
)
from offhook.jetstream.log import Appended
from offhook.telnyx.outcomes import NoAnswer
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    held_by,
    initiated,
    request,
    settler_on,
)


async def assert_given_up(log: MemoryLog, carrier: ScriptedCarrier) -> None:
    """The command was never sent, and has failed for its deadline."""
    assert carrier.sent == []
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert failed.reason == "deadline"


async def test_after_45_seconds_a_command_is_given_up() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, *[NoAnswer(detail="ReadTimeout")] * 100, slow_s=2)
    await arrive(log, answered())
    decided_at = log.now
    await settler_on(log, carrier).settle(SESSION)
    failed = [f for f in await facts(log, CommandFailed) if isinstance(f, CommandFailed)]
    assert (failed[0].operation, failed[0].reason) == ("transfer", "deadline")
    transfers = [each for each, _ in carrier.sent if each.operation == "transfer"]
    assert 5 <= len(transfers) <= 23
    # The flow heard of it, and its hangup had 45 seconds of its own.
    assert failed[1].operation == "hangup"
    assert log.now - decided_at < timedelta(seconds=95)


async def test_a_request_that_waited_too_long_is_not_sent() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await request(log, "hangup")
    log.now += timedelta(seconds=46)
    await settler_on(log, carrier).settle(SESSION)
    await assert_given_up(log, carrier)


async def test_a_decision_found_too_old_is_given_up_not_sent() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    log.now += timedelta(seconds=46)
    await settler_on(log, carrier).settle(SESSION)
    await assert_given_up(log, carrier)


async def test_a_request_that_is_taken_over_counts_from_the_request() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    command = await request(log, "hangup")
    log.now += timedelta(seconds=30)
    decided = dataclasses.replace(held_by("w2", 1), flow="api", commands=(command,))
    await log.append(SESSION, "out", encode(decided, SESSION))
    log.now += timedelta(seconds=20)

    await settler_on(log, carrier).settle(SESSION)

    await assert_given_up(log, carrier)


async def test_a_request_that_went_ahead_counts_from_the_request_when_it_is_taken_over() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    first = await arrive(log, initiated())
    await arrive(log, answered())  # not decided on yet, and older than the request
    command = await request(log, "hangup")
    requested = (await log.read(SESSION))[-1]
    await log.append(SESSION, "out", encode(held_by("w2", first), SESSION))
    log.now += timedelta(seconds=30)
    hangup = dataclasses.replace(held_by("w2", requested.seq), commands=(command,), flow="api")
    await log.append(SESSION, "out", encode(hangup, SESSION))
    log.now += timedelta(seconds=20)

    await settler_on(log, carrier).settle(SESSION)

    assert "hangup" not in carrier.operations
    failures = [each for each in await facts(log, CommandFailed) if isinstance(each, CommandFailed)]
    assert ("hangup", "deadline") in [(each.operation, each.reason) for each in failures]


@pytest.mark.parametrize("slow_s", [0.0, 0.9])
async def test_a_slow_log_moves_no_deadline_of_a_request(slow_s: float) -> None:
    class Slow(MemoryLog):
        """Its acknowledgements are late."""

        async def append(self, *args: Any, **more: Any) -> Appended:
            appended = await super().append(*args, **more)
            self.now += timedelta(seconds=slow_s)
            return appended

    log = Slow()
    carrier = ScriptedCarrier(log)
    await request(log, "transfer", to="+12025550123")
    log.now += timedelta(seconds=44.5 - slow_s)
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ([] if slow_s else ["transfer"])


@pytest.mark.parametrize("ahead_s", [-30, 30])
async def test_a_deadline_goes_by_the_clock_of_the_log(ahead_s: float) -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    for age_s, sent in ((40, 1), (46, 0)):
        seq = await arrive(log, initiated(f"e-{age_s}"))
        decided = held_by("w2", seq, command_id=f"c-{age_s}")
        await log.append(SESSION, "out", encode(decided, SESSION))
        log.now += timedelta(seconds=age_s)
        carrier.sent.clear()
        await settler_on(log, carrier, ahead_s=ahead_s).settle(SESSION)
        assert len(carrier.sent) == sent


async def test_a_request_is_as_old_as_the_log_says() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await request(log, "hangup")
    log.now += timedelta(seconds=46)
    await settler_on(log, carrier, ahead_s=-30).settle(SESSION)
    assert carrier.sent == []
