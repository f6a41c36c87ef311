"""`offhook archive` as an operator runs it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.projections.retention.erase import Erased
from offhook.projections.retention.scan import Proof
from tests.cli.history.conftest import Installation, take_calls


async def test_every_goes_on_when_a_rebuild_was_at_work(
    here: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await take_calls(here, "s1")
    loop, slept = asyncio.get_running_loop(), list[float]()
    async with here.engine.connect() as rebuild:
        await rebuild.execute(text("select pg_advisory_lock(hashtextextended('rebuild', 0))"))

        def sleep(pause_s: float) -> None:
            slept.append(pause_s)
            if len(slept) == 2:
                raise SystemExit(0)
            asyncio.run_coroutine_threadsafe(rebuild.invalidate(), loop).result()

        module = "offhook.cli.history.archive.command.time"
        monkeypatch.setattr(module, SimpleNamespace(sleep=sleep))
        words = ("archive", "--to", str(tmp_path), "--every", "6h")
        printed = await asyncio.to_thread(here.terminal, *words)
    assert slept == [6 * 3600.0] * 2
    assert "failed: another rebuild of these views is running: wait for it; retrying in 6h" in (
        printed.output
    )
    assert "0 sessions with 0 records archived" in printed.output
    assert (printed.status, printed.errors) == (0, "")


async def test_the_end_of_an_erasure_says_what_its_proof_could_not_reach(
    here: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = Proof(unreachable=["the stream files in /store: not on this machine"])

    class Finished:
        def __init__(
            self, *_: object, at_proof: Callable[[list[Erased]], None], **__: object
        ) -> None:
            self._at_proof = at_proof

        async def finish(self) -> None:
            erased = Erased(
                erasure_id=7, sessions=1, records=4, messages=2, segments=0, given_up=[],
                unfinished=0, proof=proof,
            )  # fmt: skip
            self._at_proof([erased])

    monkeypatch.setattr("offhook.cli.history.archive.run.Eraser", Finished)
    printed = await asyncio.to_thread(here.terminal, "archive", "--to", str(tmp_path))
    assert printed.output.splitlines()[:2] == [
        "erasure 7 finished: 4 records, 2 messages of the streams; found 0 times afterwards",
        "not scanned: the stream files in /store: not on this machine",
    ]


def test_every_does_not_go_on_with_an_age_that_is_always_refused() -> None:
    words = ["archive", "--to", "unused", "--every", "6h", "--older-than", "3h"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "expected at least 1 day" in str(result.exception)


def test_a_place_that_is_not_supported_is_refused_before_there_is_anything_to_archive() -> None:
    result = CliRunner().invoke(app, ["archive", "--to", "nowhere://bucket"])
    assert result.exit_code == 1
    assert "nowhere://bucket cannot be opened: Protocol not known" in str(result.exception)
