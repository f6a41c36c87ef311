"""`offhook erase`: what is refused before anything is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from offhook.cli.history.erase import run
from offhook.cli.main import app
from offhook.errors import OperatorFault, PassingFault
from offhook.projections.retention.erase import Erased
from offhook.projections.retention.scan import Proof


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ((), "nothing to erase"),
        (("--number", "+12025550100", "--name", ""), "--name is empty"),
        ((" ",), "SESSION is empty"),
        (("s1", "--resume"), "--resume takes no SESSION"),
        (("s1", "--give-up", "segment-1"), "--give-up needs --resume"),
    ],
)
def test_what_names_nothing_is_refused(words: tuple[str, ...], refused: str) -> None:
    result = CliRunner().invoke(app, ["erase", *words, "--yes"])
    assert result.exit_code == 1
    assert refused in str(result.exception)


def test_where_the_proof_cannot_go_is_refused_first(tmp_path: Path) -> None:
    report = tmp_path / "none" / "proof.json"
    result = CliRunner().invoke(app, ["erase", "s1", "--yes", "--report", str(report)])
    assert result.exit_code == 1
    assert str(result.exception) == f"{report} cannot be opened: No such file or directory"


def test_a_store_that_does_not_exist_is_refused_first(tmp_path: Path) -> None:
    store = tmp_path / "none"
    result = CliRunner().invoke(app, ["erase", "s1", "--yes", "--store", str(store)])
    assert result.exit_code == 2
    assert "Invalid value for '--store'" in result.output


def test_a_directory_that_is_no_store_of_the_log_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "jetstream" / "$G" / "streams" / "OTHER").mkdir(parents=True)
    result = CliRunner().invoke(app, ["erase", "s1", "--yes", "--store", str(tmp_path)])
    assert result.exit_code == 1
    assert str(result.exception).startswith(f"--store {tmp_path} has no streams of the log")


def test_the_proof_is_kept_if_it_cannot_be_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def erase(*words: Any) -> None:
        words[-1](["s1"])

    def print_(*_: object) -> None:
        raise BrokenPipeError

    for name, instead in (("_erase", erase), ("_print", print_), ("_report", str)):
        monkeypatch.setattr(run, name, instead)
    report = tmp_path / "proof.json"
    CliRunner().invoke(app, ["erase", "s1", "--yes", "--report", str(report)])
    assert "s1" in report.read_text()


def test_a_proof_is_written_and_printed_before_the_erasure_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def erase(*words: Any) -> None:
        erased = Erased(
            erasure_id=7, sessions=1, records=4, messages=2, segments=0, given_up=["segment-1"],
            unfinished=1, proof=Proof(),
        )  # fmt: skip
        words[-1]([erased])
        [written] = json.loads(report.read_bytes())
        assert (written["erasure_id"], written["given_up"]) == (7, ["segment-1"])
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_erase", erase)
    report = tmp_path / "proof.json"
    result = CliRunner().invoke(app, ["erase", "s1", "--yes", "--report", str(report)])
    assert result.exit_code == 130
    assert result.output.startswith("erasure 7: 1 session, 4 records, ")
    assert result.output.splitlines()[-2:] == [
        "1 erasure not finished, such as of records that arrived meanwhile:"
        " run `offhook erase --resume`",
        "interrupted. Run `offhook erase --resume`, in case it is not finished",
    ]
    assert report.exists()


@pytest.mark.parametrize(
    ("words", "steps", "then"),
    [
        (["s1"], [], "Nothing was erased"),
        (["s1"], ["noted"], "Run `offhook erase --resume` to finish"),
        (["--resume"], [], "Run `offhook erase --resume` to finish"),
    ],
)
def test_an_erasure_that_was_not_begun_is_not_to_be_resumed(
    words: list[str], steps: list[str], then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[BaseException] = [PassingFault("no NATS server answers"), KeyboardInterrupt()]

    async def erase(
        _1: object, _2: object, _3: object, at_step: Callable[[str], None], _4: object
    ) -> None:
        for step in steps:
            at_step(step)
        raise ends.pop(0)

    monkeypatch.setattr(run, "_erase", erase)
    result = CliRunner().invoke(app, ["erase", *words, "--yes"])
    assert result.exit_code == 1
    assert str(result.exception) == f"no NATS server answers. {then}"
    interrupted = CliRunner().invoke(app, ["erase", *words, "--yes"])
    assert (interrupted.exit_code, interrupted.output) == (130, f"interrupted. {then}\n")


@pytest.mark.parametrize(
    ("steps", "said", "then"),
    [
        ([], "nothing was erased", ""),
        (
            ["noted"],
            "segment s1 cannot be read",
            ". Once that is mended, run `offhook erase --resume` to finish",
        ),
        (["noted"], "run `offhook erase --resume --full-vacuum`", ""),
    ],
)
def test_a_fault_of_an_erasure_that_was_begun_says_how_to_finish_it(
    steps: list[str], said: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def erase(
        _1: object, _2: object, _3: object, at_step: Callable[[str], None], _4: object
    ) -> None:
        for step in steps:
            at_step(step)
        raise OperatorFault(said)

    monkeypatch.setattr(run, "_erase", erase)
    result = CliRunner().invoke(app, ["erase", "s1", "--yes"])
    assert result.exit_code == 1
    assert str(result.exception) == said + then
