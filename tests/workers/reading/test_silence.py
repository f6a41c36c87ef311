"""A worker reads a session after a silence without a look at what came to others meanwhile."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import LogUnavailable
from offhook.events import CallAnswered, CallHangup, CallUnhold, Decided, Record
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.reads import Counted
from offhook.jetstream.stream import STREAM
from offhook.jetstream.subjects import subject_of
from offhook.position import position_of
from offhook.session import fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.silence import FEW_MAX, SILENT, Silences
from offhook.workers.reading.silence import NEAR as USUAL_NEAR
from tests.memory_log import MemoryLog
from tests.memory_snapshots import MemorySnapshots
from tests.workers.reading.long_session import (
    EVENTS,
    AskedLog,
    AskedSnapshots,
    Watching,
    Worker,
    at_once,
    rested,
    snapshots_in,
    transcription,
    woken,
)
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    ScriptedCarrier,
    arrive,
    initiated,
    request,
    settler_on,
)

NEAR = 4
OTHERS = 2 * NEAR


class Stand:
    """A worker's cache on a log that can be asked what it was asked for."""

    def __init__(self, log: AskedLog) -> None:
        self.log = log
        self.metrics = WorkerMetrics()
        self.store = AskedSnapshots(log.asked)
        self.cache = SessionCache(
            log,
            at_once,
            snapshots=snapshots_in(self.store),
            silences=Silences(log, self.metrics, near=NEAR),
        )

    async def asked_for(
        self, arrived: Sequence[Record], *, rang: bool = False, wake_seq: int | None = None
    ) -> list[str]:
        """What the log is asked for when these are delivered. Then all that it has is known."""
        self.log.asked.clear()
        newest = max((each.seq for each in arrived), default=0)
        state = await self.cache.read(
            SESSION,
            newest if wake_seq is None else wake_seq,
            arrived=lambda: arrived,
            woken_at=self.log.now if rang or arrived else None,
        )
        asked = [*self.log.asked]
        records = await self.log.read(SESSION)
        assert state.latest() == fold(SESSION, records)
        assert (state.known.in_count, state.known.out_count) == (
            sum(each.side == "in" for each in records),
            sum(each.side == "out" for each in records),
        )
        return asked

    @property
    def outcomes(self) -> dict[str, float]:
        return outcomes(self.metrics)


async def short_call(log: MemoryLog, name: str = "w1") -> Worker:
    """A call of a few records, which that worker has decided on."""
    worker = Worker(log, MemorySnapshots(), name)
    await worker.settler.settle(SESSION, await arrive(log, initiated()))
    await worker.settler.settle(SESSION, await arrive(log, transcription(0)))
    return worker


async def silence(log: MemoryLog, after: timedelta = SILENT) -> None:
    """Others have records meanwhile."""
    for number in range(OTHERS):
        event = initiated(f"other-{uuid.uuid4()}-{number}")
        await log.append("other", "in", encoded_webhook(wire_body(event), event.event_id))
    log.now += after + timedelta(seconds=1)


async def known(log: AskedLog, *, is_whole: bool = True) -> Stand:
    """A worker's cache with a call of which it has read all, or not its last decision."""
    stand = Stand(log)
    if is_whole:
        await short_call(log)
        await stand.cache.read(SESSION)
    else:
        worker = Worker(log, MemorySnapshots())
        await worker.settler.settle(SESSION, await arrive(log, initiated()))
        await arrive(log, transcription(0))
        await stand.cache.read(SESSION)
        await worker.settler.settle(SESSION)
    return stand


async def test_of_a_session_that_was_read_at_its_rest_nothing_is_read() -> None:
    stand = await known(log := AskedLog())
    await silence(log)
    assert await stand.asked_for(await woken(log, 100, 101)) == ["count"]
    assert stand.outcomes == {"counted": 1}


async def test_an_alarm_after_a_silence_needs_no_read_either() -> None:
    stand = await known(log := AskedLog())
    await silence(log)
    assert await stand.asked_for([], rang=True) == ["count"]


async def test_what_is_known_already_is_not_counted_again_if_it_is_redelivered() -> None:
    stand = await known(log := AskedLog())
    await silence(log)
    first, *_ = await log.read(SESSION)
    [record] = await woken(log, 100)
    assert await stand.asked_for([first, record]) == ["count"]


async def test_what_was_delivered_to_another_worker_is_found_among_recent_records() -> None:
    stand = await known(log := AskedLog())
    await silence(log)
    first, second = await woken(log, 100, 101)
    assert await stand.asked_for([second]) == ["count", "tail", "count"]
    assert await stand.asked_for([]) == ["tail"]
    assert stand.outcomes == {"recent": 1}
    assert first.seq < second.seq


async def test_what_another_worker_has_just_decided_is_found_there_too() -> None:
    stand = await known(log := AskedLog())
    await silence(log)
    [record] = await woken(log, 100)
    await Worker(log, MemorySnapshots(), "w2").settler.settle(SESSION, record.seq)
    assert await stand.asked_for([record]) == ["count", "tail", "count"]


async def test_what_was_appended_before_the_silence_is_read_one_by_one() -> None:
    """Its own records, if there was no rest; or those of another worker."""
    stand = await known(log := AskedLog(), is_whole=False)
    await silence(log)
    [record] = await woken(log, 100)
    assert await stand.asked_for([record]) == ["count", "tail", "count", "few"]
    assert stand.outcomes == {"few": 1}


async def test_between_two_silences_is_what_another_worker_knows() -> None:
    stand = await known(log := AskedLog())
    await silence(log)
    [record] = await woken(log, 100)
    await Worker(log, MemorySnapshots(), "w2").settler.settle(SESSION, record.seq)
    await silence(log)
    assert await stand.asked_for([], rang=True) == ["count", "count", "tail", "count", "few"]
    await silence(log)
    assert await stand.asked_for(await woken(log, 101)) == ["count"]


class Noting(AskedLog):
    """Notes where the earliest read began."""

    earliest: int = 0

    async def read(self, session_id: str, **more: Any) -> Sequence[Record]:
        self.earliest = min(self.earliest, more.get("in_after", 0), more.get("out_after", 0))
        return await super().read(session_id, **more)


@pytest.mark.parametrize("rang", [False, True])
async def test_nothing_before_the_end_of_a_silence_is_looked_at_again(rang: bool) -> None:
    """Neither for the next record, nor for a timer that fires, nor at a rest."""

    stand = await known(log := Noting())
    await silence(log)
    until = log.last_seq
    await stand.asked_for([] if rang else await woken(log, 100), rang=rang)
    await Worker(log, MemorySnapshots(), "w2").settler.settle(SESSION)
    await arrive(log, transcription(101))
    log.earliest = log.last_seq
    state = await stand.cache.read(SESSION)
    assert log.earliest >= until
    assert state.latest() == fold(SESSION, await log.read(SESSION))


async def test_nothing_before_it_is_looked_at_again_after_a_snapshot_either() -> None:
    stand = Stand(log := Noting())
    await rested(log, stand.store)
    await silence(log)
    until = log.last_seq
    assert "few" not in await stand.asked_for(await woken(log, 100))
    await arrive(log, transcription(101))
    log.earliest = log.last_seq
    await stand.cache.read(SESSION)
    assert log.earliest >= until


async def ended(log: MemoryLog) -> Record:
    """The end of the call, which says when it began."""
    leg = CallHangup(
        event_id="h", call_control_id=LEG, start_time=(await log.read(SESSION))[0].stored_at
    )
    await arrive(log, leg)
    return (await log.read(SESSION))[-1]


async def requested(log: MemoryLog) -> Record:
    await request(log, "hangup")
    return (await log.read(SESSION))[-1]


async def unheld(log: MemoryLog) -> Record:
    await arrive(log, CallUnhold(event_id="u", call_control_id=LEG))
    return (await log.read(SESSION))[-1]


@pytest.mark.parametrize(
    ("wake", "asked"),
    [(ended, []), (unheld, ["since"]), (requested, ["since"]), (None, ["since", "count"])],
)
async def test_a_session_that_is_not_known_is_read_around_the_silence(
    wake: Callable[[MemoryLog], Awaitable[Record]] | None, asked: list[str]
) -> None:
    """The log is asked when it began, if that is not said, as by an alarm."""
    log = AskedLog()
    await short_call(log)
    await silence(log)
    arrived = [await wake(log)] if wake is not None else []
    stand = Stand(log)
    around = ["snapshot", *asked, "tail", "count", "few"]
    assert await stand.asked_for(arrived, rang=not arrived) == around
    assert stand.outcomes == {"few": 1}


async def test_what_is_said_to_an_application_seldom_ends_a_silence() -> None:
    """A session that is not known is read at once, and the log is not asked when it began."""
    await short_call(log := AskedLog())
    await silence(log)
    assert await Stand(log).asked_for(await woken(log, 100)) == ["snapshot", "first"]
    arrived = [*await woken(log, 101), await unheld(log)]
    assert (await Stand(log).asked_for(arrived))[:2] == ["snapshot", "since"]


async def test_what_comes_soon_is_read_as_usual() -> None:
    stand = await known(log := AskedLog())
    await silence(log, after=-timedelta(seconds=1))
    arrived = await woken(log, 100)
    assert await stand.asked_for(arrived) == ["tail"]
    other = Stand(log)
    assert await other.asked_for([await ended(log)]) == ["snapshot", "first"]
    other.cache = Stand(log).cache
    assert await other.asked_for([], rang=True) == ["snapshot", "since", "first"]
    assert (stand.outcomes, other.outcomes) == ({}, {})


async def test_what_is_near_is_read_as_usual() -> None:
    stand = await known(log := AskedLog())
    log.now += 2 * SILENT
    arrived = await woken(log, 100)
    assert await stand.asked_for(arrived) == ["tail"]
    assert await Stand(log).asked_for([]) == ["snapshot", "first"]
    assert stand.outcomes == {}


async def test_more_than_a_few_are_read_as_usual() -> None:
    stand = await known(log := AskedLog())
    for number in range(FEW_MAX + 1):
        await arrive(log, transcription(1000 + number))
    await silence(log)
    asked = await stand.asked_for(await woken(log, 100))
    assert asked[:3] == ["count", "tail", "count"]
    assert set(asked[3:]) == {"tail"}
    assert stand.outcomes == {"searched": 1}


class SaidLog(AskedLog):
    """Answers what is `said` when it is asked how many records there are."""

    said: Counted | None = None

    async def counted(self, session_id: str) -> Counted | None:
        self.asked.append("count")
        return self.said


@pytest.mark.parametrize(
    "answer", ["none", "of a server that lags", "of another partition", "of other sides"]
)
async def test_a_number_that_does_not_count_is_not_used(answer: str) -> None:
    stand = await known(log := SaidLog())
    await silence(log)
    first, second = await woken(log, 100, 101)
    if answer == "of a server that lags":
        # It has the first of the two, so that their number is as expected.
        log.said = log.counted_until(SESSION, first.seq)
    elif answer == "of another partition":
        until = position_of(2, log.last_seq)
        log.said = replace(log.counted_until(SESSION, log.last_seq), until=until)
    elif answer == "of other sides":
        # One less on the one than are known, and one more on the other.
        whole = log.counted_until(SESSION, log.last_seq)
        log.said = replace(whole, in_count=whole.in_count - 2, out_count=whole.out_count + 1)
    assert await stand.asked_for([second]) == ["count", "tail", "count", "tail"]
    assert stand.outcomes == {"searched": 1}


async def test_a_record_that_comes_before_the_count_is_read_too() -> None:
    class Between(AskedLog):
        coming = 0

        async def counted(self, session_id: str) -> Counted | None:
            if self.coming:
                self.coming -= 1
                await arrive(self, transcription(200 + self.coming))
            return await super().counted(session_id)

    stand = await known(log := Between())
    await silence(log)
    [record] = await woken(log, 100)
    log.coming = 2
    asked = await stand.asked_for([record])
    assert asked == ["count", "tail", "count", "few", "tail", "count"]
    assert stand.outcomes == {"recent": 1}


@pytest.mark.parametrize("lagging", ["read", "read_few"])
async def test_a_replica_that_lags_hides_nothing(lagging: str) -> None:
    class Lagging(AskedLog):
        lags = 0

        async def read(self, session_id: str, **more: Any) -> Sequence[Record]:
            return self._seen("read", await super().read(session_id, **more))

        async def read_few(self, session_id: str, **more: int) -> Sequence[Record]:
            return self._seen("read_few", await super().read_few(session_id, **more))

        def _seen(self, what: str, found: Sequence[Record]) -> Sequence[Record]:
            if what != lagging or not self.lags:
                return found
            self.lags -= 1
            return found[:-1]

    stand = await known(log := Lagging(), is_whole=False)
    await silence(log)
    await woken(log, 100)
    [record] = await woken(log, 101)
    log.lags = 1
    await stand.asked_for([record])
    assert log.lags == 0


async def test_a_session_in_doubt_is_read_from_its_first_record() -> None:
    stand = await known(log := AskedLog())
    await silence(log)
    stand.cache.drop(SESSION)
    assert await stand.asked_for(await woken(log, 100)) == ["snapshot", "first"]


async def test_a_session_that_has_left_the_log_is_not_taken_for_known() -> None:
    stand = await known(log := AskedLog())
    log.forget(SESSION)
    await silence(log)
    [record] = await woken(log, 100)
    log.asked.clear()
    await stand.cache.read(SESSION, record.seq, arrived=lambda: [record], woken_at=record.stored_at)
    assert log.asked == ["count", "tail", "count", "tail"]


async def test_no_decision_stands_on_a_log_that_was_restored() -> None:
    """It has as many records of the session, but others."""
    log, copy = AskedLog(), AskedLog()
    worker, other = Worker(log, MemorySnapshots()), Worker(copy, MemorySnapshots(), "w2")
    await silence(log)
    await worker.settler.settle(SESSION, await arrive(log, initiated()))
    await worker.rest()
    await other.settler.settle(SESSION, await arrive(copy, initiated()))
    log.__dict__.update(copy.__dict__)
    while log.last_seq <= 2 * USUAL_NEAR:
        await silence(log)
    [record] = await woken(log, 102)  # one that the flow speaks at
    log.asked.clear()
    with pytest.raises(LogUnavailable, match="its records have left the log"):
        await worker.settler.settle(
            SESSION, record.seq, arrived=lambda: [record], woken_at=record.stored_at
        )
    assert log.asked[0] == "count"
    assert outcomes(worker.metrics) == {"counted": 1}
    decided = [each for each in await log.read(SESSION) if isinstance(each.fact, Decided)]
    assert len(decided) == 1
    await worker.settler.settle(SESSION, record.seq, arrived=lambda: [record])
    assert worker.flow.seen[-1][1] == fold(SESSION, (await log.read(SESSION))[:3])


async def test_who_settles_reads_around_the_silences_that_are_given() -> None:
    log, metrics = MemoryLog(), WorkerMetrics()
    silences = Silences(log, metrics, near=NEAR)
    settler = settler_on(log, ScriptedCarrier(log), Watching().flow, silences=silences)
    await settler.settle(SESSION, await arrive(log, initiated()))
    await silence(log)
    await settler.settle(SESSION, await arrive(log, transcription(0)), woken_at=log.now)
    assert outcomes(metrics) == {"few": 1}


async def test_a_long_session_is_begun_at_its_snapshot_and_recent_records() -> None:
    log = AskedLog()
    stand = Stand(log)
    await rested(log, stand.store)
    await silence(log)
    first, second = await woken(log, 100, 101)
    assert await stand.asked_for([second]) == ["snapshot", "count", "tail", "count"]
    assert first.seq < second.seq


async def test_after_a_snapshot_without_more_a_silence_begins_with_its_last_record() -> None:
    log = AskedLog()
    stand = Stand(log)
    await rested(log, stand.store)
    assert await stand.asked_for([], rang=True) == ["snapshot", "count"]
    await silence(log, after=-timedelta(seconds=1))
    assert (await stand.asked_for(await woken(log, 100)))[-1] == "tail"
    assert "count" not in log.asked


async def test_a_long_session_without_a_rest_is_begun_at_an_older_snapshot() -> None:
    log = AskedLog()
    stand = Stand(log)
    worker = Worker(log, stand.store)
    await worker.call(EVENTS + 1)
    await silence(log)
    asked = await stand.asked_for(await woken(log, 100))
    assert asked[:4] == ["snapshot", "count", "tail", "count"]
    assert asked[4:] == ["record", "count", "tail", "count", "few"]
    assert stand.outcomes == {"few": 1}


@pytest.mark.usefixtures("patient_reads")
async def test_on_jetstream_a_silence_is_read_around(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")
    await provision(client, [nats_server.monitor_url])
    log, session_id = JetStreamLog(client), str(uuid.uuid4())

    async def append(session_id: str) -> Record:
        event = CallAnswered(event_id=str(uuid.uuid4()), call_control_id=LEG)
        encoded = encoded_webhook(wire_body(event), event.event_id)
        seq = (await log.append(session_id, "in", encoded)).seq
        record = await log.record_at(session_id, seq)
        assert record is not None
        return record

    async def decide(record: Record) -> None:
        said = Decided(
            cause_seq=record.seq, cause_id="", flow="f", flow_version="1", worker="w1", lease_s=3.0
        )
        await log.append(session_id, "out", encode(said, session_id))

    async def others() -> None:
        for _ in range(OTHERS):
            await append(str(uuid.uuid4()))

    metrics = WorkerMetrics()
    silences = Silences(log, metrics, near=NEAR, silent=timedelta(0))
    knowing = SessionCache(log, asyncio.sleep, silences=silences)

    async def is_read(cache: SessionCache, *arrived: Record) -> str:
        """How; it is all there is."""
        before = outcomes(metrics)
        last = arrived[-1]
        state = await cache.read(
            session_id, last.seq, arrived=lambda: arrived, woken_at=last.stored_at
        )
        assert state.latest() == fold(session_id, await log.read(session_id))
        after = outcomes(metrics)
        return " ".join(each for each in after if after[each] != before.get(each, 0))

    for _ in range(3):
        await decide(await append(session_id))
    await knowing.read(session_id)
    await others()
    assert await is_read(knowing, await append(session_id)) == "counted"
    await others()
    missed, arrived = await append(session_id), await append(session_id)
    assert await is_read(knowing, arrived) == "recent"
    await decide(missed)
    await others()
    arrived = await append(session_id)
    assert await is_read(knowing, arrived) == "few"
    assert await is_read(SessionCache(log, asyncio.sleep, silences=silences), arrived) == "few"
    await decide(arrived)
    await others()
    await client.jetstream().purge_stream(STREAM, subject=subject_of(session_id, "out"))
    arrived = await append(session_id)
    assert "searched" not in outcomes(metrics)
    await knowing.read(
        session_id, arrived.seq, arrived=lambda: [arrived], woken_at=arrived.stored_at
    )
    assert outcomes(metrics)["searched"] == 1
    await close(client)


def outcomes(metrics: WorkerMetrics) -> dict[str, float]:
    """How often sessions were read in each way after a silence."""
    [family] = metrics.silences.collect()
    return {
        each.labels["outcome"]: each.value for each in family.samples if each.name.endswith("total")
    }
