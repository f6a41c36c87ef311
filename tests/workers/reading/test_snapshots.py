"""A worker that begins at a snapshot decides as one that has read every record."""

import ast
import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import offhook
from offhook.events import CallEvent, CallTranscription
from offhook.session import Session, fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.fingerprint import FOLDED_BY, fold_fingerprint
from offhook.workers.reading.state import Snapshot
from tests.memory_log import MemoryLog
from tests.memory_snapshots import MemorySnapshots
from tests.workers.reading.long_session import (
    SHORT_MAX,
    AskedLog,
    AskedSnapshots,
    Watching,
    at_once,
    counted,
    long_call,
    snapshots_in,
    transcription,
)
from tests.workers.sessions.stand import SESSION, ScriptedCarrier, arrive, initiated, settler_on


def snapshot_of(session_id: str) -> Snapshot:
    """Of a session of a record on each side."""
    session = Session(session_id=session_id)
    return Snapshot(
        session=session, in_seq=1, out_seq=2, out_at=MemoryLog().now, in_count=1, out_count=1
    )


async def next_seen(
    log: MemoryLog, store: MemorySnapshots, fingerprint: str = "this code", number: int = 90
) -> Session:
    """What the flow sees at the next event, which a worker gets that does not know the call."""
    watching = Watching()
    carrier = ScriptedCarrier(log)
    settler = settler_on(
        log, carrier, watching.flow, f"w{number}", snapshots=snapshots_in(store, fingerprint)
    )
    seq = await arrive(log, transcription(number))
    expected = fold(SESSION, await log.read(SESSION))
    await settler.settle(SESSION, seq)
    [(event, session)] = watching.seen
    assert isinstance(event, CallTranscription)
    assert event.event_id == f"t{number}"
    assert session == expected
    assert [*session.commands] == [*expected.commands]
    assert carrier.operations == (["speak"] if number % 3 == 0 else [])
    return session


@pytest.mark.parametrize(
    ("is_new", "events", "asked"),
    [
        (True, SHORT_MAX - 2, ["first"]),
        (True, SHORT_MAX - 1, ["first", "snapshot", "tail"]),
        (False, SHORT_MAX - 2, ["snapshot", "first"]),
        (False, SHORT_MAX - 1, ["snapshot", "first", "tail"]),
    ],
)
async def test_of_a_session_without_a_snapshot_the_first_records_are_read(
    is_new: bool, events: int, asked: list[str]
) -> None:
    log = AskedLog()
    settler = settler_on(log, ScriptedCarrier(log), Watching().flow)
    arriving: list[CallEvent] = [initiated(), *(transcription(3 * n + 1) for n in range(events))]
    for event in arriving:
        await settler.settle(SESSION, await arrive(log, event))
    expected = fold(SESSION, await log.read(SESSION))
    log.asked.clear()
    snapshots = snapshots_in(AskedSnapshots(log.asked))
    state = await SessionCache(log, asyncio.sleep, snapshots=snapshots).read(SESSION, is_new=is_new)
    assert state.latest() == expected
    assert log.asked == asked


@pytest.mark.parametrize(
    ("is_new", "asked"),
    [
        (False, ["snapshot", "count", "record", "tail"]),
        (True, ["first", "snapshot", "count", "record", "tail"]),
    ],
)
async def test_a_worker_that_takes_a_long_call_over_reads_its_tail(
    is_new: bool, asked: list[str]
) -> None:
    log = AskedLog()
    store = AskedSnapshots(log.asked)
    await long_call(log, store)
    expected = fold(SESSION, await log.read(SESSION))
    log.asked.clear()
    cache = SessionCache(log, asyncio.sleep, snapshots=snapshots_in(store))
    state = await cache.read(SESSION, is_new=is_new)
    assert state.latest() == expected
    assert log.asked == asked
    await next_seen(log, store)


async def test_nothing_else_is_read_for_the_first_record_of_a_session() -> None:
    log = AskedLog()
    snapshots = snapshots_in(AskedSnapshots(log.asked))
    settler = settler_on(log, ScriptedCarrier(log), Watching().flow, snapshots=snapshots)
    await settler.settle(SESSION, await arrive(log, initiated()), is_new=True)
    assert log.asked == ["first"]


BREAKS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda body: b"",
    "no snapshot": lambda body: b"{}",
    "cut off": lambda body: body[:-20],
    "of another session": lambda body: body.replace(SESSION.encode(), b"x" * len(SESSION)),
    "of another shape": lambda body: b"\x92\xa9this code\x01",
    "altered": lambda body: body[:-30] + bytes([body[-30] ^ 1]) + body[-29:],
}


@pytest.mark.parametrize("broken", BREAKS)
async def test_a_snapshot_that_cannot_be_read_is_done_without(broken: str) -> None:
    log, store = MemoryLog(), MemorySnapshots()
    await long_call(log, store)
    body = store.bodies[SESSION]
    store.bodies[SESSION] = BREAKS[broken](body)
    assert store.bodies[SESSION] != body
    assert await snapshots_in(store).read(SESSION) is None
    await next_seen(log, store)


async def test_without_an_answer_and_without_a_fingerprint_the_log_is_read() -> None:
    log, store = MemoryLog(), MemorySnapshots()
    await long_call(log, store)
    await next_seen(log, store, fingerprint="", number=90)
    await next_seen(log, store, fingerprint="other code", number=91)
    store.is_away = True
    await next_seen(log, store, number=92)


async def test_a_snapshot_of_records_that_left_the_log_is_not_used() -> None:
    log, store = MemoryLog(), MemorySnapshots()
    await long_call(log, store)
    log.forget(SESSION)
    for number in range(100, 100 + SHORT_MAX):
        await arrive(log, transcription(number))
    watching = Watching()
    settler = settler_on(log, ScriptedCarrier(log), watching.flow, snapshots=snapshots_in(store))
    await settler.settle(SESSION)
    _, session = watching.seen[0]
    assert (len(session.facts), dict(session.commands)) == (1, {})


async def test_a_log_with_other_records_at_these_positions_is_another_log() -> None:
    log, store = MemoryLog(), MemorySnapshots()
    await long_call(log, store)
    other = MemoryLog(log.now)
    await long_call(other, MemorySnapshots(), events=31)
    await next_seen(other, store)


async def test_a_worker_counts_what_became_of_snapshots() -> None:
    log, store, metrics = MemoryLog(), MemorySnapshots(), WorkerMetrics()
    await long_call(log, store)
    body = store.bodies[SESSION]

    async def taken_over(fingerprint: str = "this code") -> None:
        snapshots = snapshots_in(store, fingerprint, metrics)
        await SessionCache(log, at_once, snapshots=snapshots).read(SESSION)

    await taken_over()
    assert counted(metrics) == {"used": 1}
    await taken_over("other code")
    store.bodies[SESSION] = b"no snapshot"
    await taken_over()
    store.bodies[SESSION] = body
    log.forget(SESSION)
    for number in range(100, 100 + SHORT_MAX):
        await arrive(log, transcription(number))
    await taken_over()
    assert counted(metrics) == {"used": 1, "other_code": 1, "unreadable": 1, "outdated": 1}


async def test_a_snapshot_that_is_stored_is_counted_with_its_size_and_an_erased_one_is_not() -> (
    None
):
    store, metrics = MemorySnapshots(), WorkerMetrics()
    snapshots = snapshots_in(store, metrics=metrics)
    kept = snapshot_of("kept")
    snapshots.offer(kept)
    snapshots.offer(replace(kept, session=Session(session_id="erased")))
    store.delete("erased")  # between the offer and the storing
    await snapshots.store_offered()
    assert store.bodies.keys() == {"kept"}
    assert counted(metrics) == {"stored": 1, "refused": 1}
    [family] = metrics.snapshot_bytes.collect()
    sums = [each.value for each in family.samples if each.name.endswith("_sum")]
    assert sums == [len(store.bodies["kept"])]


async def test_one_that_cannot_be_stored_harms_nothing_and_the_next_one_is() -> None:
    store = MemorySnapshots()
    snapshots = snapshots_in(store)
    good = snapshot_of("good")
    huge = Session(session_id="bad", operations={"speak": 2**70})
    snapshots.offer(replace(good, session=huge))
    snapshots.offer(good)
    task = asyncio.create_task(snapshots.keep_storing())
    for _ in range(10):
        await asyncio.sleep(0)
    assert store.bodies.keys() == {"good"}
    store.is_away = True
    snapshots.offer(good)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    assert await snapshots_in(store).read("good") is None


# ------------------------------------------------------------------ which code folds


def _copy(root: Path) -> Path:
    """The files that fold, without the others."""
    package = Path(offhook.__file__).parent
    for path in {path for pattern in FOLDED_BY for path in package.glob(pattern)}:
        to = root / path.relative_to(package)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
    return root


def test_any_change_of_the_code_that_folds_makes_another_fingerprint(tmp_path: Path) -> None:
    root = _copy(tmp_path)
    known = {fold_fingerprint()}
    assert fold_fingerprint(root) in known
    for name in (
        "session/leg_fold.py",
        "codec/webhooks.py",
        "codec/facts.py",
        "workers/reading/state.py",
    ):
        with (root / name).open("a") as file:
            file.write("\n")
        known.add(fold_fingerprint(root))
    (root / "session" / "more.py").write_text("")
    known.add(fold_fingerprint(root))
    assert len(known) == 6
    (root / "session" / "fold.py").unlink()
    assert fold_fingerprint(root) == ""


def test_all_code_that_folds_is_in_the_fingerprint() -> None:
    package = Path(offhook.__file__).parent
    counted = {path for pattern in FOLDED_BY for path in package.glob(pattern)}
    left, seen = ["offhook.session.stored", "offhook.session.fold", "offhook.codec.facts"], set()
    while left:
        name = left.pop()
        path = package.joinpath(*name.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path in seen or not path.exists():
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("offhook."):
                left += [f"{node.module}", *(f"{node.module}.{each.name}" for each in node.names)]
    assert len(seen) > 20
    assert seen <= counted
