"""`offhook export` as an operator runs it."""

import asyncio
import os
from pathlib import Path

from sqlalchemy import text

from offhook.history.files import records_in
from tests.cli.history.conftest import Installation, take_calls


async def test_every_record_is_exported_as_the_log_has_it(
    here: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1", "s2")
    path = tmp_path / "calls.jsonl.zst"
    printed = await asyncio.to_thread(here.terminal, "export", "-o", str(path))
    assert printed.status == 0, printed.errors
    assert printed.output == ""
    assert f"42 records of 2 sessions in {path}" in printed.errors
    found = list(records_in(str(path)))
    for session_id in ("s1", "s2"):
        stored = await here.log.read(session_id)
        mine = [each for each in found if each.session_id == session_id]
        assert [each.position for each in mine] == [each.seq for each in stored]
        assert [each.stored_at for each in mine] == [each.stored_at for each in stored]
        assert [each.fact_id for each in mine] == [each.fact_id for each in stored]
    signed = [each for each in found if each.side == "in"]
    assert {len(each.headers["telnyx-signature-ed25519"]) for each in signed} == {88}


async def test_what_is_selected_goes_to_standard_output_and_the_rest_beside_it(
    here: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1", "s2")
    # As an earlier version copied them: the headers are in the log alone.
    async with here.engine.begin() as connection:
        await connection.execute(text("update event_log set headers = null"))
    chosen = ("--session", "s2", "--type", "call.hangup", "--order", "time")
    printed = await asyncio.to_thread(here.terminal, "export", "-o", "-", *chosen)
    assert printed.status == 0, printed.errors
    path = tmp_path / "out"
    path.write_text(printed.output)
    found = list(records_in(str(path)))
    assert [each.fact_id for each in found] == ["s2-event-7", "s2-event-8"]
    assert found[0].headers["telnyx-timestamp"] == "1795348800"
    assert "2 records of 1 session in standard output" in printed.errors


async def test_a_wrong_selection_is_named_and_writes_no_file(
    here: Installation, tmp_path: Path
) -> None:
    await take_calls(here, "s1")
    path = tmp_path / "calls.jsonl"
    for options, named in (
        (("--since", "soon"), "--since: 'soon' is not a time"),
        (("--session", "none"), "session 'none' has no records"),
        (("--type", "call.hangupp"), "type 'call.hangupp', which is no event type"),
        (("--type", "call.hangupp"), "did you mean call.hangup?"),
        (("--from-position", "10:30"), "position 10:30 is in partition 10, of which no record"),
        (("--number", "12"), "number '12' is not E.164"),
        (("--from-position", "9" * 20), f"--from-position: '{'9' * 20}' is not a position"),
        (("--from-position", "1:3", "--to-position", "1:2"), "from position 1:3 to 1:2"),
        (("--from-position", "3", "--to-position", "2"), "nothing is from position 0:3 to 0:2"),
    ):
        printed = await asyncio.to_thread(here.terminal, "export", "-o", str(path), *options)
        # What is wrong in itself is a mistake in typing; what is not there may be there tomorrow.
        is_missing = "no records" in named or "event type" in named or "in partition" in named
        assert printed.status == (1 if is_missing or "did you mean" in named else 2)
        assert named in printed.errors
    assert os.listdir(tmp_path) == []
