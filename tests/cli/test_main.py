"""The program itself."""

import json
import os
import re
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from offhook.cli.main import app, or_ready_file
from tests import forked

HEAVY = ("nats", "faststream", "sqlalchemy", "alembic", "fastapi", "starlette")


def test_a_command_loads_only_what_it_needs() -> None:
    """Else `offhook ingress` would hold the database's libraries in memory, and --help be slow."""
    assert loaded_by("offhook.cli.main", HEAVY) == "[]"


def test_a_role_that_checks_the_revision_loads_no_migrations() -> None:
    """They are 0.1 s of CPU at each start of a projector or an API."""
    assert loaded_by("offhook.projections.views.schema.migrate", ("alembic", "mako")) == "[]"


@pytest.mark.parametrize("words", [("asyncapi",), ("--version",)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_the_output_is_one_line(words: tuple[str], unbuffered: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "offhook", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert (
        done.stderr
        == "offhook: the output or a temporary file cannot be written: No space left on device\n"
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_is_cut_short_is_an_error(tmp_path: Path, unbuffered: str) -> None:
    # As on a disk that has room for a part of it.
    command = 'ulimit -f 8; exec "$0" -m offhook asyncapi'
    with (tmp_path / "document").open("wb") as file:
        done = subprocess.run(
            ["bash", "-c", command, sys.executable],
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert (
        done.stderr == "offhook: the output or a temporary file cannot be written: File too large\n"
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_reads_the_output_may_have_seen_enough(unbuffered: str) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$0" -m offhook asyncapi | true; exit ${PIPESTATUS[0]}', sys.executable],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_output_is_lost_in_an_old_locale(encoding: str) -> None:
    said = "+1 → Zoë 😀"
    code = (
        "from offhook.cli.main import _escape_what_the_locale_lacks as escape\n"
        f"escape(); print({json.dumps(said, ensure_ascii=False)!a})"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(printed.stdout.decode(encoding)) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("calls", "--limit", "-1"), "'--limit': '-1' should be greater than or equal to 1"),
        (("calls", "--status", "up"), "'--status': 'up' is not one of 'active', 'ended', 'empty'."),
        (("rebuild", "start", "--workers", "x"), "'--workers': 'x' should be a valid integer"),
    ],
)
def test_a_value_that_is_refused_is_named(words: tuple[str, ...], said: str) -> None:
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.replace("│", " ").split())


@pytest.mark.parametrize("role", ["ingress", "worker", "projector", "api", "simulator"])
def test_help_of_a_role_says_where_its_settings_are(role: str) -> None:
    shown = CliRunner().invoke(app, [role, "-h"], env={"COLUMNS": "200"}).stdout
    assert "OFFHOOK_*" in shown
    assert "offhook/settings.py" in shown


def test_help_is_as_wide_as_the_terminal() -> None:
    """Its lines ended where those of the docstrings do: the last word of one stood alone."""
    for words in (("demo",), ("rebuild", "start"), ("parked", "retry")):
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).stdout
        usage, *text = re.split(r"\n\s*\n", shown.partition("╭─ ")[0].strip())
        assert usage.startswith("Usage: ")
        assert len(text) == 2, shown
        for paragraph in text:
            lines = [line.strip() for line in paragraph.strip().split("\n")]
            for line, following in pairwise(lines):
                word = following.partition(" ")[0]
                assert len(f"{line} {word}") > 78, f"{line} | {following}"


def test_an_address_that_nobody_answers_at_is_named_with_what_to_do() -> None:
    """Most often the ready file was forgotten in another terminal."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OFFHOOK_")}
    url = {"OFFHOOK_POSTGRES_URL": f"postgresql://postgres@127.0.0.1:{port}/postgres"}
    ended = forked.offhook("parked", "list", env=environment | url)
    assert ended.returncode == 1
    assert ended.stderr.startswith("offhook: cannot connect to Postgres: ")
    assert ended.stderr.endswith(
        "; see OFFHOOK_POSTGRES_URL, or give the --ready-file of `offhook up`\n"
    )


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("show", "s", "--ready-file", "ready.json"), {}),
        (("show", "s", "--ready-file=ready.json"), {}),
        (("show", "s"), {"OFFHOOK_READY_FILE": "ready.json"}),
        (("worker",), {}),
    ],
)
def test_a_ready_file_is_asked_for_only_where_it_would_help(
    words: tuple[str, ...], environment: dict[str, str]
) -> None:
    assert or_ready_file(words, environment) == ""
    assert or_ready_file(("show", "s"), {}) != ""


def loaded_by(module: str, of: tuple[str, ...]) -> str:
    code = f"import sys, {module}; print([m for m in {of!r} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return loaded.stdout.strip()
