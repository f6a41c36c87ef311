"""What a record costs in calls of 10 to 100,000 events, and how long the event loop was blocked.

    python -m bench.long_calls.fold [--events 10,1000,10000,100000]

Needs no server. Half of the records are interim results of a transcription, half the decisions on
them. `worker` and `projector` fold a whole call, `one more` is a record added to a call that is
already loaded, with the rows that it changes; `show` is the plain fold, which `as_of` uses too.
WRONG if one of the ways ends in another state than a plain fold of all records.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from rich.console import Console
from rich.table import Table

from bench.long_calls.sessions import BEGAN, body_of, event_id_of
from bench.setting.machine import describe
from offhook.codec.facts import decode, encode
from offhook.events import Decided, Record
from offhook.process.slices import Slices
from offhook.projections.views.fold import Folded, advanced, written
from offhook.projections.views.registry import rows_of
from offhook.session import Session, fold
from offhook.workers.reading.state import SessionState

SESSION = "long"

MORE = 1_000
"""Events added to a call that is already loaded, to measure what one more record costs."""

RECORDS_MIN = 1_000
"""A short call is folded repeatedly until this many records were folded."""


def stored_of(events: int) -> list[tuple[int, str, bytes, str]]:
    """Sequence, type, body and id of a fact and the decision on it, for each event."""
    stored = []
    for number in range(events):
        seq, event_id = 2 * number + 1, event_id_of(number, SESSION)
        decided = Decided(
            cause_seq=seq, cause_id=event_id, flow="f", flow_version="1", worker="w", lease_s=3.0
        )
        decision = encode(decided, SESSION)
        stored.append((seq, "WebhookReceived", body_of(number, SESSION), event_id))
        stored.append((seq + 1, decision.type, decision.body, decision.fact_id))
    return stored


def record_of(seq: int, kind: str, body: bytes, fact_id: str) -> Record:
    at = BEGAN + timedelta(milliseconds=20 * seq)
    fact = decode(kind, 1, body)
    return Record(seq=seq, stored_at=at, session_id=SESSION, fact=fact, fact_id=fact_id)


async def worker(records: list[Record]) -> SessionState:
    state = SessionState(session=Session(session_id=SESSION))
    slices = Slices()
    for side in ("out", "in"):  # the order of the log if the decisions are read first
        for record in records:
            if record.side == side:
                state.add(record)
                await slices.yield_if_due()
    assert await state.next_cause() is None
    return state


async def projector(records: list[Record]) -> Folded:
    folded = Folded(session=Session(session_id=SESSION))
    slices = Slices()
    for record in records:
        folded = advanced(folded, record)
        await slices.yield_if_due()
    rows_of(folded)
    return folded


async def read(stored: list[tuple[int, str, bytes, str]]) -> list[Record]:
    slices = Slices()
    records = []
    for each in stored:
        records.append(record_of(*each))
        await slices.yield_if_due()
    return records


async def whole(records: list[Record]) -> Session:
    return fold(SESSION, records)


async def measured(work: Callable[[], Awaitable[object]], count: int) -> tuple[float, float]:
    """Processor time for one of `count` records, and another task's longest wait, in seconds."""
    longest, last = 0.0, time.process_time()

    async def other() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0)
            now = time.process_time()
            longest, last = max(longest, now - last), now

    rounds = max(1, RECORDS_MIN // count)
    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    gc.collect()
    last, began = time.process_time(), time.process_time()
    for _ in range(rounds):
        await work()
    took = time.process_time() - began
    await asyncio.sleep(0)
    task.cancel()
    return took / rounds / count, longest


async def more_in_projector(folded: Folded, following: list[Record]) -> Folded:
    folded = written(folded)
    for record in following:
        after = advanced(folded, record)
        rows_of(after, folded.last_seq)
        folded = written(after)
    return folded


async def row_of(events: int) -> list[str]:
    stored = stored_of(events + MORE)
    records = await read(stored)
    known, following = records[: 2 * events], records[2 * events :]
    state, folded = await worker(known), await projector(known)
    of_known, of_all = fold(SESSION, known), fold(SESSION, records)
    are_right = state.latest() == folded.session == of_known

    async def add() -> None:  # once: it changes the state
        for record in following:
            state.add(record)
            if record.side == "in":
                assert await state.next_cause() is not None
                state.latest()
        assert await state.next_cause() is None

    decoding, read_held = await measured(partial(read, stored[: 2 * events]), 2 * events)
    anew, worker_held = await measured(partial(worker, known), 2 * events)
    more, _ = await measured(add, len(following))
    projecting, projector_held = await measured(partial(projector, known), 2 * events)
    written_more, _ = await measured(partial(more_in_projector, folded, following), len(following))
    folding, _ = await measured(partial(whole, known), 2 * events)
    more_folded = await more_in_projector(folded, following)
    are_right = are_right and state.latest() == more_folded.session == of_all
    are_right = are_right and len(of_all.facts) == len(of_all.decided) == events + MORE
    if not are_right:
        return [f"{events:,}", *["WRONG"] * 7]
    each = (decoding, anew, more, projecting, written_more, folding)
    held = max(read_held, worker_held, projector_held)
    return [f"{events:,}", *(f"{value * 1e6:.1f}" for value in each), f"{held * 1e3:.1f}"]


def table_of(sizes: list[int]) -> Table:
    table = Table(title="µs of processor time for a record; ms for which another task had to wait")
    for column in (
        "events",
        "decode",
        "worker",
        "one more",
        "projector",
        "one more",
        "show",
        "longest wait",
    ):
        table.add_column(column, justify="right")
    for events in sizes:
        table.add_row(*asyncio.run(row_of(events)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", default="10,1000,10000,100000")
    sizes = [int(each) for each in parser.parse_args().events.split(",")]
    console = Console()
    print(describe("bench.long_calls.fold"))  # noqa: T201
    console.print(table_of(sizes))


if __name__ == "__main__":
    main()
