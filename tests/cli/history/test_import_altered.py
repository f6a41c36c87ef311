"""`offhook import` of records that are in the log with other content: they are named."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
from sqlalchemy import text

from offhook.codec.webhooks import wire_body
from offhook.history.files import writing
from offhook.history.importing import NAMED_MAX
from offhook.history.lines import HistoryRecord, line_of
from offhook.jetstream.consuming.delivery import DeliveredRecord
from offhook.jetstream.retention import Retention
from offhook.position import position_text
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from tests.cli.history.conftest import KEY, SIGNED_AT, Installation, take_calls
from tests.cli.history.test_import import exported
from tests.cli.terminal import Printed
from tests.projections.story import events_of

Alter = Callable[[HistoryRecord], HistoryRecord]


def written(path: Path, records: Sequence[HistoryRecord]) -> Path:
    with writing(str(path)) as file:
        for each in records:
            file.write(line_of(each))
    return path


async def imported(into: Installation, path: Path) -> Printed:
    return await asyncio.to_thread(into.terminal, "import", str(path))


async def stored(of: Installation, *session_ids: str) -> list[DeliveredRecord]:
    """Everything that the log has of these sessions."""
    retention = Retention(of.client)
    return [record for each in session_ids for record in await retention.read(each)]


def with_fields(record: HistoryRecord, **fields: object) -> HistoryRecord:
    body = msgspec.json.decode(record.body) | fields
    return replace(record, body=msgspec.json.encode(body))


def with_caller(record: HistoryRecord, caller: str) -> HistoryRecord:
    body = json.loads(record.body)
    body["data"]["payload"]["from"] = caller
    return replace(record, body=json.dumps(body, separators=(",", ":")).encode())


ALTERED: dict[str, tuple[str, Alter, str]] = {
    "caller": (
        "WebhookReceived",
        lambda record: with_caller(record, "+19995550100"),
        "body (data.payload.from)",
    ),
    "spaces": (
        "WebhookReceived",
        lambda record: replace(record, body=json.dumps(json.loads(record.body), indent=1).encode()),
        "body (the same JSON in other bytes)",
    ),
    "signature": (
        "WebhookReceived",
        lambda record: replace(record, headers={**record.headers, SIGNATURE_HEADER: "bm8="}),
        f"header {SIGNATURE_HEADER}",
    ),
    "unsigned": (
        "WebhookReceived",
        lambda record: replace(record, headers={}),
        f"header {SIGNATURE_HEADER}; header {TIMESTAMP_HEADER}",
    ),
    "version": (
        "WebhookReceived",
        lambda record: replace(record, version=2),
        "version (2, in the log 1)",
    ),
    "time": (
        "WebhookReceived",
        lambda record: replace(record, stored_at=record.stored_at + timedelta(hours=1)),
        "stored_at (",
    ),
    "cause": ("Decided", lambda record: with_fields(record, cause_seq=1), "body (cause_seq)"),
    "flow": (
        "Decided",
        lambda record: with_fields(record, flow="x", worker="x"),
        "body (flow, worker)",
    ),
    "outcome": (
        "CommandSucceeded",
        lambda record: replace(
            with_fields(record, operation="answer", reason="refused", attempts=1),
            type="CommandFailed",
        ),
        "type (CommandFailed, in the log CommandSucceeded); body (",
    ),
}


async def test_altered_records_are_named_and_the_log_keeps_its_own(
    here: Installation, there: Installation, tmp_path: Path
) -> None:
    await take_calls(here, *ALTERED)
    path = tmp_path / "calls.jsonl"
    records = await exported(here, path)
    # Other positions than here, so that references are rewritten.
    await take_calls(there, "mine")
    assert (await imported(there, path)).status == 0
    lines: dict[str, int] = {}
    for name, (kind, alter, _) in ALTERED.items():
        numbers = [
            n for n, each in enumerate(records) if (each.session_id, each.type) == (name, kind)
        ]
        lines[name] = numbers[-1]
        records[lines[name]] = alter(records[lines[name]])
    altered = written(tmp_path / "altered.jsonl", records)

    for installation in (there, here):
        before = await stored(installation, *ALTERED)
        printed = await imported(installation, altered)
        assert printed.status == 1
        assert f"0 records added, {len(records) - len(ALTERED)} already there" in printed.errors
        assert (
            f"{len(ALTERED)} records differ from the log, which was left as it is" in printed.errors
        )
        named = [each for each in printed.errors.splitlines() if "differs: " in each]
        assert len(named) == len(ALTERED)
        for name, (_, _, what) in ALTERED.items():
            line, position = lines[name], await _place(installation, records[lines[name]])
            [found] = [each for each in named if f"altered.jsonl, line {line + 1}: " in each]
            assert (
                f" of session {name}, in the log at position {position}, differs: {what}" in found
            )
        assert await stored(installation, *ALTERED) == before


async def _place(of: Installation, record: HistoryRecord) -> str:
    [found] = [
        each.seq
        for each in await of.log.read(record.session_id)
        if (each.seq if each.imported_from is None else each.imported_from) == record.position
    ]
    return position_text(found)


async def test_the_first_ones_are_named_and_the_new_records_behind_them_are_added(
    here: Installation, tmp_path: Path, there: Installation
) -> None:
    await take_calls(here, *(f"s{number}" for number in range(4)))
    records = await exported(here, tmp_path / "calls.jsonl")
    await imported(there, written(tmp_path / "part.jsonl", records[:60]))
    altered = [
        with_caller(each, "+19995550100") if each.type == "WebhookReceived" else each
        for each in records[:60]
    ] + records[60:]
    count = sum(one != other for one, other in zip(altered, records, strict=True))
    assert count > NAMED_MAX

    printed = await imported(there, written(tmp_path / "altered.jsonl", altered))

    assert printed.status == 1
    assert f"24 records added, {60 - count} already there" in printed.errors
    assert f"{count} records differ from the log" in printed.errors
    assert printed.errors.count("differs: ") == NAMED_MAX
    assert f"and {count - NAMED_MAX} more" in printed.errors
    assert (await imported(there, tmp_path / "calls.jsonl")).status == 0


async def test_a_captured_webhook_with_another_body_is_named(
    there: Installation, tmp_path: Path
) -> None:
    bodies = [wire_body(event) for event in events_of("s1")]
    path = tmp_path / "captured.json"
    path.write_bytes(b"[" + b",\n".join(bodies) + b"]")
    assert (await imported(there, path)).status == 0
    before = await stored(there, "s1")
    body = json.loads(bodies[2])
    body["data"]["payload"]["from"] = "+19995550100"
    bodies[2] = json.dumps(body).encode()
    path.write_bytes(b"[" + b",\n".join(bodies) + b"]")

    printed = await imported(there, path)

    assert printed.status == 1
    assert "0 records added, 8 already there" in printed.errors
    assert "captured.json, webhook 3: s1-event-3 of session s1, in the log at" in printed.errors
    assert "differs: body (data.payload.from)" in printed.errors
    assert await stored(there, "s1") == before


async def test_another_delivery_of_a_captured_webhook_is_there_already(
    here: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1")
    lines = []
    for event in events_of("s1"):
        body = json.loads(wire_body(event))
        body["meta"]["attempt"] += 1
        text = json.dumps(body)
        headers = sign(text.encode(), KEY, SIGNED_AT + 7)
        lines.append(json.dumps({"headers": headers, "body": text}))
    path = tmp_path / "captured.jsonl"
    path.write_text("\n".join(lines))
    printed = await imported(here, path)
    assert (printed.status, "0 records added, 9 already there" in printed.errors) == (0, True)

    # The same delivery, with a signature that is not its own.
    wrapped = {
        "headers": sign(b"another", KEY, SIGNED_AT),
        "body": wire_body(events_of("s1")[0]).decode(),
    }
    path.write_text(json.dumps(wrapped))
    printed = await imported(here, path)
    assert printed.status == 1
    assert f"differs: header {SIGNATURE_HEADER}\n" in printed.errors


async def test_what_was_done_is_printed_when_a_file_breaks_off(
    here: Installation, there: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1")
    whole, broken = tmp_path / "calls.jsonl", tmp_path / "broken.jsonl"
    await exported(here, whole)
    broken.write_bytes(whole.read_bytes().splitlines(keepends=True)[0] + b"{\n")
    printed = await asyncio.to_thread(there.terminal, "import", str(whole), str(broken))
    assert printed.status == 1
    assert "21 records added, 0 already there" in printed.errors
    assert "broken.jsonl, line 2: " in printed.errors


async def test_a_row_of_event_log_that_was_altered_is_seen_where_it_comes_from(
    here: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1")
    async with here.engine.begin() as connection:
        await connection.execute(
            text(
                "update event_log set body ="
                " convert_to(replace(convert_from(body, 'utf8'), '+12025550100', '+1999'), 'utf8')"
                " where fact_id = 's1-event-1'"
            )
        )
    await exported(here, tmp_path / "calls.jsonl")
    printed = await imported(here, tmp_path / "calls.jsonl")
    assert printed.status == 1
    assert "0 records added, 20 already there" in printed.errors
    assert "1 record differs from the log" in printed.errors
    assert "s1-event-1 of session s1" in printed.errors
    assert "differs: body (data.payload.from)" in printed.errors
