"""`offhook import`: the same sessions elsewhere, each record once, and nobody is called."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import Decided, Record, SessionParked
from offhook.history.files import records_in, writing
from offhook.history.lines import HistoryRecord, line_of
from offhook.jetstream.archived import ArchivedMarks
from offhook.jetstream.stream import WORKER, stream_of
from offhook.settings import Settings, environment_from
from tests.cli.history.conftest import Installation, take_calls
from tests.cli.history.killed_import import killed_import
from tests.forked import Forked, run_room
from tests.projections.story import dial_of, events_of, publish, stored_views
from tests.whole.callers import Caller
from tests.whole.stub_carrier import stub_carrier

TIMEOUT_S = 60.0
POSITIONS = {"first_seq", "last_seq", "cause_seq"}


def told(rows: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rows.items() if name not in POSITIONS}


async def views(installation: Installation) -> dict[str, list[dict[str, Any]]]:
    """Every row but for its positions."""
    found = await stored_views(installation.engine)
    return {name: [told(row) for row in rows] for name, rows in found.items()}


async def exported(here: Installation, path: Path) -> list[HistoryRecord]:
    printed = await asyncio.to_thread(here.terminal, "export", "-o", str(path))
    assert printed.status == 0, printed.errors
    return list(records_in(str(path)))


async def imported(there: Installation, *files: Path) -> str:
    printed = await asyncio.to_thread(there.terminal, "import", *map(str, files))
    assert printed.status == 0, printed.errors
    return printed.errors


async def read(installation: Installation, session_id: str) -> list[Record]:
    return list(await installation.log.read(session_id))


@contextmanager
def worker(settings: Settings, carrier_url: str, log: Path) -> Iterator[None]:
    """A real one, with a flow that answers every call."""
    theirs = replace(
        settings,
        flows=("tests.whole.flows:answer_then_transfer",),
        carrier_url=carrier_url,
        carrier_key="stub",
        carrier_timeout_s=TIMEOUT_S,  # the stub counts each attempt
    )
    env = {**os.environ, **environment_from(theirs), "PYTHONPATH": "."}
    process = Forked(run_room, ["workers"], env, log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_nothing_comes_of_an_import_but_the_same_sessions(
    here: Installation, there: Installation, free_port: int, tmp_path: Path
) -> None:
    names = [f"s{number}" for number in range(4)]
    await take_calls(here, *names)
    await publish(here.log, dial_of("dialled", "placed"))
    # Calls that are up, with nothing decided; one with a command that has no outcome.
    for session_id in ("up", "open"):
        event = events_of(session_id)[0]
        encoded = encoded_webhook(wire_body(event), event.event_id)
        appended = await here.log.append(session_id, "in", encoded)
    [dial] = [each for each in await read(here, "dialled") if isinstance(each.fact, Decided)]
    assert isinstance(dial.fact, Decided)
    decided = replace(dial.fact, cause_seq=appended.seq)
    await here.log.append("open", "out", encode(decided, "open"))
    parked = SessionParked(cause_seq=appended.seq, error="no", attempts=5)
    await here.log.append("open", "out", encode(parked, "open"))
    await here.project()
    path = tmp_path / "calls.jsonl.zst"
    records = await exported(here, path)

    caller = Caller()
    async with stub_carrier(free_port, delay_s=0) as carrier:
        with worker(there.settings, carrier.url, tmp_path / "worker.log"):
            assert f"{len(records)} records added, 0 already" in await imported(there, path)
            # A live call is answered, so the worker is at work, and it was delivered all before it.
            live = encoded_webhook(wire_body(caller.initiated()), caller.session_id)
            await there.log.append(caller.session_id, "in", live)
            await _until_all_is_delivered(there)
        arrivals = [(each.operation, each.call_control_id) for each in carrier.arrivals]
    assert arrivals == [("answer", caller.call_control_id)]

    for session_id in {each.session_id for each in records}:
        before, after = await read(here, session_id), await read(there, session_id)
        assert [each.imported_from for each in after] == [each.seq for each in before]
        assert [each.stored_at for each in after] == [each.stored_at for each in before]
        places = {each.imported_from: each.seq for each in after}
        for old, new in zip(before, after, strict=True):
            if isinstance(old.fact, Decided | SessionParked):
                # story's dials refer to a record that is not theirs
                cause_seq = places.get(old.fact.cause_seq, 0)
                assert new.fact == replace(old.fact, cause_seq=cause_seq)
            else:
                assert new.fact == old.fact
    await there.project()
    wanted, found = await views(here), await views(there)
    for name, rows in found.items():
        assert [row for row in rows if row["session_id"] != caller.session_id] == wanted[name]
    again = await exported(there, tmp_path / "again.jsonl")
    originals = {each.position: each for each in records}
    for each in again:
        if (origin := each.headers.get("Offhook-Imported")) and each.type != "Decided":
            original = originals[int(origin)]
            assert (each.session_id, each.stored_at) == (original.session_id, original.stored_at)
            assert each.headers.items() >= original.headers.items()
            assert each.body == original.body or each.type == "SessionParked"


async def _until_all_is_delivered(there: Installation) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            info = await there.client.jetstream().consumer_info(stream_of(0, 1), WORKER)
            if not (info.num_pending or 0) + (info.num_ack_pending or 0):
                return
            await asyncio.sleep(0.05)


async def test_an_import_twice_or_killed_is_an_import_once(
    here: Installation, there: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s0", "s1")
    records = await exported(here, tmp_path / "calls.jsonl")
    # Many sessions of the same calls, of which most are still to come when it is killed.
    path = tmp_path / "many.jsonl.zst"
    many = [
        replace(each, session_id=f"{each.session_id}-{number}")
        for number in range(15)
        for each in records
    ]
    with writing(str(path)) as file:
        for each in many:
            body = each.body if each.side == "out" else _renamed(each)
            file.write(line_of(replace(each, body=body)))
    env = {**os.environ, **environment_from(there.settings)}
    killed = Forked(killed_import, [str(path)], env, tmp_path / "log")
    assert await asyncio.to_thread(killed.wait, TIMEOUT_S) == -signal.SIGKILL
    found = re.search(r"(\d+) records added, (\d+) already there", await imported(there, path))

    assert found is not None
    added, known = map(int, found.groups())
    assert added + known == len(many)
    assert min(added, known) > 0
    assert f"0 records added, {len(many):,} already there" in await imported(there, path)
    assert await _count(there) == len(many)
    for session_id in {each.session_id for each in many}:
        wanted = [each.position for each in many if each.session_id == session_id]
        assert [each.imported_from for each in await read(there, session_id)] == wanted


def _renamed(record: HistoryRecord) -> bytes:
    """The event with an id of its own in each session, as carriers give."""
    event = json.loads(record.body)
    event["data"]["id"] = f"{record.session_id}-{record.position}"
    return json.dumps(event).encode()


async def _count(there: Installation) -> int:
    info = await there.client.jetstream().stream_info(stream_of(0, 1))
    return info.state.messages


async def test_a_session_with_other_records_is_refused_and_the_others_are_imported(
    here: Installation, there: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1", "s2")
    path = tmp_path / "calls.jsonl"
    await exported(here, path)
    event = events_of("s1")[3]
    await there.log.append("s1", "in", encoded_webhook(wire_body(event), event.event_id))

    printed = await asyncio.to_thread(there.terminal, "import", str(path))

    assert printed.status == 1
    assert "21 records added, 0 already there" in printed.errors
    assert "1 session refused" in printed.errors
    assert "session s1 has other records already, so the WebhookReceived at" in printed.errors
    assert len(await read(there, "s1")) == 1
    assert len(await read(there, "s2")) == 21
    # Where they come from nothing is new, and a later part of the history can follow.
    assert "0 records added, 42 already there" in await imported(here, path)


async def test_a_session_that_was_archived_or_erased_is_not_brought_back(
    here: Installation, there: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "left", "new")
    path = tmp_path / "calls.jsonl"
    await exported(here, path)
    await ArchivedMarks(there.client).add(["left"])

    printed = await asyncio.to_thread(there.terminal, "import", str(path))

    assert printed.status == 1
    assert "21 records added, 0 already there" in printed.errors
    assert "1 session refused" in printed.errors
    assert "session left was archived or erased: its records have left the log" in printed.errors
    assert (await read(there, "left"), len(await read(there, "new"))) == ([], 21)


async def test_a_history_can_come_in_parts_but_not_out_of_order(
    here: Installation, there: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1")
    records = await exported(here, tmp_path / "calls.jsonl")
    parts = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for number, path in enumerate(parts):
        with writing(str(path)) as file:
            for each in records[number * 7 : number * 7 + 7]:
                file.write(line_of(each))
    await imported(there, parts[0], parts[2])
    printed = await asyncio.to_thread(there.terminal, "import", str(parts[1]))
    assert printed.status == 1
    assert "has no place in it" in printed.errors
    assert len(await read(there, "s1")) == 14


async def test_captured_webhooks_are_imported_once(there: Installation, tmp_path: Path) -> None:
    bodies = [wire_body(event) for event in events_of("s1")]
    path = tmp_path / "captured.json"
    path.write_bytes(b"[" + b",\n".join(bodies) + b"]")
    assert "9 records added, 0 already there" in await imported(there, path)
    assert "0 records added, 9 already there" in await imported(there, path)
    found = await read(there, "s1")
    assert [each.fact_id for each in found] == [event.event_id for event in events_of("s1")]
    assert {each.imported_from for each in found} == {0}
    await there.project()
    assert [row["status"] for row in (await views(there))["sessions"]] == ["ended"]


async def test_what_cannot_be_read_is_left_out_and_named(
    here: Installation, there: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1")
    records = await exported(here, tmp_path / "calls.jsonl")
    odd = replace(records[-1], position=999, type="FromTheFuture")
    path = tmp_path / "odd.jsonl"
    with writing(str(path)) as file:
        for each in (*records, odd):
            file.write(line_of(each))
    printed = await asyncio.to_thread(there.terminal, "import", str(path))
    assert printed.status == 1
    assert "21 records added" in printed.errors
    assert "odd.jsonl, line 22: record type 'FromTheFuture' is not known" in printed.errors


async def test_a_file_that_is_not_there_is_named(there: Installation) -> None:
    printed = await asyncio.to_thread(there.terminal, "import", "/none.jsonl")
    assert printed.status == 1
    assert "/none.jsonl cannot be opened: No such file" in printed.errors
