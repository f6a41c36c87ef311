"""Whose turn it is: urgency, slots, news, and what the carrier says."""

import asyncio

import pytest

from offhook.events import IssuedCommand
from offhook.telnyx.client import CONNECTIONS_MAX
from offhook.telnyx.outcomes import Accepted, Busy, Outcome, RateLimit
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending import queue as module
from offhook.workers.sending.fairness import SHARE
from offhook.workers.sending.permits import PermitRequest
from offhook.workers.sending.queue import DIALS_IN_FLIGHT_MAX, CommandQueue
from offhook.workers.sending.rate_limits import RateLimits
from offhook.workers.sending.rates import rates_from
from tests.virtual_clock import VirtualClock

FOREVER_S = 1e6


class Bench:
    """CommandQueue at one command a second, and who was sent in which order and when."""

    def __init__(self, commands_per_s: float = 1.0, slots: int = 8) -> None:
        self.clock = VirtualClock()
        self.slots = Slots(slots)
        self.metrics = WorkerMetrics()
        limits = rates_from(dials_per_s=0, commands_per_s=commands_per_s)
        self.queue = CommandQueue(
            RateLimits("w", limits, 0.0),
            self.slots,
            self.metrics,
            clock=lambda: self.clock.now,
            sleep=self.clock.sleep,
        )
        self.sent: list[tuple[str, float]] = []

    @property
    def order(self) -> list[str]:
        return [operation for operation, _ in self.sent]

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        """As the carrier's client."""
        self.sent.append((command.operation, self.clock.now))
        return Accepted(status=200)

    async def pass_on(self, operation: str, session_id: str = "s") -> None:
        """As a session does it: in a slot, which is lent while it waits."""
        await self.slots.take()
        command = IssuedCommand(command_id="c", operation=operation)
        async with PermitRequest(self.queue, operation, session_id) as request:
            while request.status != "granted":
                await request.ask(FOREVER_S, goes_first=False)
            await request.send(self, command, repeated=False)
        self.slots.leave()

    async def all(self, *operations: str) -> None:
        await asyncio.gather(*(self.pass_on(operation) for operation in operations))

    def waiting(self) -> float | None:
        return self.metrics.registry.get_sample_value("offhook_commands_waiting")


async def test_who_comes_first_goes_first_among_the_equally_urgent() -> None:
    bench = Bench(commands_per_s=2)
    names = ["speak", "transfer", "bridge", "speak", "refer"]
    await bench.clock.run(bench.all(*names))
    assert bench.sent == list(zip(names, [0, 0, 1, 1, 2], strict=True))


async def test_the_most_urgent_goes_next_however_many_wait() -> None:
    bench = Bench()
    await bench.clock.run(bench.all("dial", "dial", "transfer", "answer", "dial", "hangup"))
    assert bench.order == ["dial", "hangup", "answer", "transfer", "dial", "dial"]
    assert bench.waiting() == 0


async def test_a_flood_of_hangups_that_lasts_leaves_answers_and_the_rest_their_turns() -> None:
    bench = Bench(slots=200)

    async def flood() -> None:
        every = [asyncio.create_task(bench.all("dial", "answer", "answer", "speak"))]
        for _ in range(40):
            every.append(asyncio.create_task(bench.all("hangup", "hangup")))
            await bench.clock.sleep(1.1)
        await asyncio.gather(*every)

    await bench.clock.run(flood())
    turns = {kind: [at for sent, at in bench.sent if sent == kind] for kind in set(bench.order)}
    assert turns["answer"] == [8, 17]
    assert turns["speak"] == [9]
    assert turns["dial"] == [0], "it came before all others"
    assert len(turns["hangup"]) == 80


async def test_a_hangup_that_comes_at_the_right_moment_does_not_take_anothers_share() -> None:
    bench = Bench()

    async def flood() -> None:
        await bench.pass_on("answer")
        waiting = asyncio.create_task(bench.pass_on("answer"))
        for _ in range(12):
            await bench.pass_on("hangup")
        await waiting

    await bench.clock.run(flood())
    assert bench.order.index("answer", 1) == SHARE


async def test_dials_that_wait_in_every_lane_keep_no_hangup_out() -> None:
    bench = Bench(slots=1)

    async def burst() -> None:
        dials = asyncio.gather(*(bench.pass_on("dial") for _ in range(20)))
        await bench.clock.sleep(2.5)
        assert bench.waiting() == 17
        await bench.pass_on("hangup")
        await dials

    await bench.clock.run(burst())
    assert bench.sent[:4] == [("dial", 0), ("dial", 1), ("dial", 2), ("hangup", 3)]
    assert len(bench.sent) == 21
    assert not bench.slots.all_taken()


async def test_a_newcomer_does_not_overtake_its_equals() -> None:
    bench = Bench()

    async def burst() -> None:
        first = asyncio.gather(bench.pass_on("speak", "a"), bench.pass_on("speak", "b"))
        await bench.clock.sleep(0.5)
        assert bench.queue.take("speak") is None
        await first

    await bench.clock.run(burst())


async def test_a_command_that_holds_up_news_goes_first_of_its_kind() -> None:
    bench = Bench()
    sessions: list[str] = []

    async def send(session_id: str) -> None:
        await bench.pass_on("dial", session_id)
        sessions.append(session_id)

    async def burst() -> None:
        every = asyncio.gather(*(send(each) for each in ("a", "b", "c", "with news", "e")))
        await bench.clock.sleep(0.5)
        bench.queue.hurry("with news")
        bench.queue.hurry("another session's")
        await every

    await bench.clock.run(burst())
    assert sessions == ["a", "with news", "b", "c", "e"]


async def test_a_permit_that_is_not_fetched_goes_to_the_next() -> None:
    bench = Bench()

    async def gives_up() -> None:
        async with PermitRequest(bench.queue, "hangup", "s") as request:
            await request.ask(0, goes_first=False)
            assert request.status == "queued"
            await bench.clock.sleep(5)  # its permit is granted meanwhile, and not fetched
            raise TimeoutError

    async def burst() -> None:
        await bench.pass_on("answer")
        late = asyncio.create_task(gives_up())
        await bench.clock.sleep(0.1)
        await bench.pass_on("answer")
        with pytest.raises(TimeoutError):
            await late

    await bench.clock.run(burst())
    assert bench.sent == [("answer", 0), ("answer", 5)]


async def test_nobody_is_sent_before_a_busy_carriers_time() -> None:
    bench = Bench(commands_per_s=0)

    async def burst() -> None:
        bench.queue.learn(Busy(retry_after_s=4.0, detail="429"))
        assert bench.queue.was_busy.is_set()
        await bench.all("dial", "hangup")

    await bench.clock.run(burst())
    assert bench.sent == [("hangup", 4), ("dial", 4)]
    busy = bench.metrics.registry.get_sample_value("offhook_carrier_busy_total", {"of": "commands"})
    assert busy == 1


async def test_one_odd_header_stops_no_call_for_long_and_its_end_least_of_all() -> None:
    bench = Bench(commands_per_s=0)

    async def burst() -> None:
        bench.queue.learn(Busy(retry_after_s=60.0, detail="429"))
        await bench.all("dial", "answer", "hangup")

    await bench.clock.run(burst())
    assert bench.sent == [("hangup", 5), ("answer", 15), ("dial", 15)]


async def test_an_end_that_meets_429_again_tells_how_long_the_rest_waits() -> None:
    bench = Bench(commands_per_s=0)

    async def burst() -> None:
        bench.queue.learn(Busy(retry_after_s=18.0, detail="429"))
        answering = asyncio.create_task(bench.pass_on("answer"))
        await bench.pass_on("hangup")
        bench.queue.learn(Busy(retry_after_s=13.0, detail="429"))
        await answering

    await bench.clock.run(burst())
    assert bench.sent == [("hangup", 5), ("answer", 18)]


async def test_too_many_dials_hold_up_dials_alone() -> None:
    bench = Bench(commands_per_s=0)

    async def burst() -> None:
        bench.queue.learn(Busy(retry_after_s=4.0, detail="429 90103", dials_only=True))
        await bench.all("dial", "transfer")

    await bench.clock.run(burst())
    assert bench.sent == [("transfer", 0), ("dial", 4)]


async def test_the_rate_headers_of_an_answer_are_obeyed() -> None:
    bench = Bench(commands_per_s=0)

    async def burst() -> None:
        bench.queue.learn(Accepted(status=200, rate=RateLimit(limit=2, remaining=1, reset_s=3.0)))
        await bench.all("speak", "speak", "speak")
        bench.queue.learn(Accepted(status=200, rate=RateLimit(limit=2, remaining=0, reset_s=2.0)))
        await bench.pass_on("hangup")

    await bench.clock.run(burst())
    assert bench.sent == [("speak", 0), ("speak", 0), ("speak", 3), ("hangup", 5)]


async def test_an_answer_that_says_nothing_is_left_for_long_holds_nobody_up_for_long() -> None:
    bench = Bench(commands_per_s=0)

    async def burst() -> None:
        rate = RateLimit(limit=1000, remaining=0, reset_s=3000.0)
        bench.queue.learn(Accepted(status=200, rate=rate))
        await bench.pass_on("hangup")

    await bench.clock.run(burst())
    assert bench.sent == [("hangup", module.NOTHING_LEFT_MAX_S)]


async def test_no_more_wait_than_could_be_sent_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUED_MAX", 2)
    bench = Bench()

    async def burst() -> None:
        every = asyncio.create_task(bench.all("dial", "dial", "dial"))
        await bench.clock.sleep(0.5)
        assert bench.queue.is_full_for("dial")
        assert not bench.queue.is_full_for("hangup")
        assert not bench.queue.is_full_for("answer")
        await every

    await bench.clock.run(burst())


async def test_no_more_are_in_flight_than_there_are_connections_and_dials_leave_some() -> None:
    bench = Bench(commands_per_s=0)
    in_flight = [bench.queue.take("dial") for _ in range(CONNECTIONS_MAX)]
    assert sum(permit is not None for permit in in_flight) == DIALS_IN_FLIGHT_MAX
    assert bench.queue.take("transfer") is not None

    async def burst() -> None:
        waiting = asyncio.create_task(bench.all("dial", "transfer", "hangup"))
        await bench.clock.sleep(1)
        assert sorted(bench.order) == ["hangup", "transfer"]
        for permit in in_flight:
            if permit is not None:
                bench.queue.give_back(permit, sent=True)
        await waiting

    await bench.clock.run(burst())
    assert bench.sent[2:] == [("dial", 1)]
