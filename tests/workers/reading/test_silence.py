"""A worker reads a session after a silence without a look at what came to others meanwhile."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallAnswered, Decided, Record
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import STREAM
from offhook.jetstream.subjects import subject_of
from offhook.session import fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.silence import SILENT, Silences
from tests.memory_log import MemoryLog
from tests.memory_snapshots import MemorySnapshots
from tests.workers.reading.long_session import (
    EVENTS,
    AskedLog,
    Worker,
    rested,
    transcription,
    woken,
)
from tests.workers.reading.silent_call import (
    NEAR,
    OTHERS,
    Noting,
    Stand,
    ended,
    known,
    outcomes,
    requested,
    short_call,
    silence,
    unheld,
)
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    arrive,
)


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
