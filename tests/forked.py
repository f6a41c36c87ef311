"""Roles as processes that are forked from one that has imported their modules already.

An interpreter spends about a second of CPU on those imports, and the tests start hundreds of roles.
A role that is forked is a process of its own all the same: it can be killed, frozen and drained, it
has its own environment, log and session, and runs the same command. The tests of `offhook up`,
`offhook demo` and the wheel start programs as a user does.
"""

import asyncio
import atexit
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from offhook.process.logs import configure_logs
from offhook.settings import settings_from

LIBRARIES = (
    "fastapi",
    "faststream.nats",
    "httpx",
    "nacl.signing",
    "prometheus_client",
    "rich.console",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.ext.asyncio",
    "uvicorn",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "zstandard",
)
ENDS_TIMEOUT_S = 180.0
PATIENCE_S = 60.0
"""Longer than a busy machine keeps a process waiting, which is no outage."""

OF_OFFHOOK = (
    "offhook.cli.main",
    "offhook.events",
    "offhook.codec.webhooks",
    *(f"offhook.{room}.app" for room in ("api", "ingress", "projections", "simulator", "workers")),
)


class Forked:
    """The process, with what tests use of a `subprocess.Popen`.

    Its standard error goes to `log` too, or to a file of its own; it runs in the directory, or in
    this process's.
    """

    def __init__(
        self,
        run: Callable[..., None],
        words: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        errors: Path | None = None,
        directory: Path | None = None,
    ) -> None:
        outputs = str(log), str(errors or log)
        where = str(directory or os.getcwd())
        self._process = _server().Process(
            target=_run, args=(run, words, dict(env), _path(env), where, outputs), daemon=True
        )
        self._process.start()
        self._reading = threading.Lock()  # the status can be read once
        self.args = words

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The status that it ended with, negative for a signal; None while it is running."""
        with self._reading:
            return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The status, once it has ended. Raises TimeoutExpired."""
        wait([self._process.sentinel], timeout)
        if (status := self.returncode) is None:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Nothing if it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def command(words: Sequence[str], *, env: Mapping[str, str], stdout: IO[bytes], **_: Any) -> Forked:
    """For `subprocess.Popen` of `python -P -m offhook WORD…`, its output going to a file."""
    assert list(words[:4]) == [sys.executable, "-P", "-m", "offhook"], words
    return Forked(run_command, words[4:], env, Path(stdout.name))


popen = SimpleNamespace(**{**vars(subprocess), "Popen": command})
"""In place of the module `subprocess`, where roles are started."""


def run_command(*words: str) -> None:
    """In the new process: `offhook WORD…`."""
    from offhook.cli.main import main

    sys.argv = ["offhook", *words]
    main()


def offhook(
    *words: str, env: Mapping[str, str], timeout_s: float = ENDS_TIMEOUT_S
) -> "subprocess.CompletedProcess[str]":
    """`offhook WORD…` in this directory, once it has ended. Raises TimeoutExpired."""
    with tempfile.TemporaryDirectory() as directory:
        output, errors = (Path(directory, name) for name in ("output", "errors"))
        process = Forked(run_command, words, env, output, errors)
        try:
            status = process.wait(timeout_s)
        finally:
            process.kill()
        return subprocess.CompletedProcess(words, status, output.read_text(), errors.read_text())


def run_room(room: str) -> None:
    """In the new process: the room's `app.run` with the settings of the environment."""
    run = importlib.import_module(f"offhook.{room}.app").run
    configure_logs(room)
    asyncio.run(run(settings_from(os.environ)))


def _run(
    run: Callable[..., None],
    words: Sequence[str],
    env: Mapping[str, str],
    path: list[str],
    directory: str,
    outputs: tuple[str, str],
) -> None:
    """In the new process: become what a new interpreter would be, then run."""
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(directory)
    sys.path[:] = path
    for stream, file in enumerate(outputs, start=1):
        output = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(output, stream)
        os.close(output)
    _be_patient()
    try:
        run(*words)
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends a process without them


def _be_patient() -> None:
    """Have a first connection, and what a request waits for, waited for however long it takes."""
    from offhook.api import freshness
    from offhook.jetstream import lookup
    from offhook.jetstream.client import connection

    connection.FIRST_CONNECTION_S = PATIENCE_S  # type: ignore[assignment]
    freshness.CATCH_UP_S = lookup.TIMEOUT_S = PATIENCE_S / 2


@cache
def _server() -> ForkServerContext:
    """Started with the first process, and ended with this one."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([*LIBRARIES, *OF_OFFHOOK, __name__])
    return server


@cache
def _path_of_interpreter() -> list[str]:
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; print(*sys.path, sep='\\n')"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.splitlines()


def _path(env: Mapping[str, str]) -> list[str]:
    """`sys.path` of a new interpreter with this environment, without the working directory."""
    first = [each for each in env.get("PYTHONPATH", "").split(os.pathsep) if each]
    return [*first, *_path_of_interpreter()]
