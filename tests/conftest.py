"""What every test may ask for: the real servers, a free port, the captured webhooks.

A missing server fails the tests that need it; nothing is skipped.
"""

import asyncio
import fcntl
import functools
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import MIGRATIONS
from offhook.jetstream import reads
from offhook.projections.views.schema.migrate import migrate
from tests import forked
from tests.free_ports import free_port

START_TIMEOUT_S = 120.0
PROCESSES_MORE = 1  # than cores: many tests wait, but twice as many keep calls waiting for seconds
LONG = (
    *("tests/whole/", "tests/api/", "tests/cli/", "tests/projections/", "tests/jetstream/"),
    *("tests/test_", "tests/workers/"),
)
TOGETHER = ("tests/api/",)
"""Folders whose files share servers that take long to start: one process runs all of them."""

# Every run draws anew and a failure prints the blob that repeats it. Set explicitly, since
# Hypothesis by itself draws the same examples every time wherever it detects a CI machine.
# No deadline, and no check of how long drawing takes: a busy machine is not a failed property.
hypothesis.settings.register_profile(
    "offhook",
    max_examples=100,
    derandomize=False,
    print_blob=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("offhook")


def pytest_xdist_auto_num_workers() -> int:
    """How many processes `--numprocesses auto` starts."""
    return (os.cpu_count() or 1) + PROCESSES_MORE


class _ByFileOrFolder(LoadFileScheduling):  # type: ignore[misc]
    """One process runs a file, or all files of a folder of TOGETHER."""

    def _split_scope(self, nodeid: str) -> str:
        together = [folder for folder in TOGETHER if nodeid.startswith(folder)]
        return together[0] if together else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFileOrFolder:
    """In place of `--dist loadfile`."""
    return _ByFileOrFolder(config, log)


@pytest.fixture
def patient_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what the API of JetStream says waited for, however busy the machine is."""
    monkeypatch.setattr(reads, "API_TIMEOUT_S", START_TIMEOUT_S)
    monkeypatch.setattr(reads, "SLOW_S", START_TIMEOUT_S)


@pytest.fixture
def patient_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process wait for the log, however busy the machine is. Not for outages."""
    for limit in (
        "archived.TIMEOUT_S",
        "client.connection.FIRST_CONNECTION_S",
        "lookup.TIMEOUT_S",
        "partitions.API_TIMEOUT_S",
        "provisioning.provision.API_TIMEOUT_S",
        "reads.READ_TIMEOUT_S",
    ):
        monkeypatch.setattr(f"offhook.jetstream.{limit}", START_TIMEOUT_S / 2)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """One for the run. Tests keep apart by stream names and sessions of their own."""
    with NatsServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for the run. Tests keep apart by a `create_database` of their own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres_server: PostgresServer) -> str:
    """The name of a migrated database, a `create_database` template; nobody connects to it."""
    name = "migrated"
    asyncio.run(migrate(postgres_server.create_database(name), MIGRATIONS))
    return name


@pytest.fixture(name="free_port")
def a_free_port() -> int:
    """A loopback port for this test alone."""
    return free_port()


@pytest.fixture(scope="session", autouse=True)
def _an_interrupt_reaches_children() -> None:
    """A shell that starts the run in the background lets it, and what it starts, ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _stacks_among_others() -> Iterator[None]:
    """Stacks start on a busy machine, where another process chooses ports at the same time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("offhook.cli.embedded.stack._free_port", free_port)
        patched.setattr("offhook.cli.embedded.stack.READY_TIMEOUT_S", START_TIMEOUT_S)
        patched.setattr("offhook.cli.embedded.server.START_TIMEOUT_S", START_TIMEOUT_S)
        patched.setattr("offhook.cli.embedded.server.LOCK_TIMEOUT_S", START_TIMEOUT_S)
        patched.setattr("offhook.cli.embedded.stack.subprocess", forked.popen)
        yield


@pytest.fixture(scope="session", autouse=True)
def _servers_keep_their_ports() -> Iterator[None]:
    """Also while they are down: a port of the system's choice may go to another process then."""
    begin = NatsServer.__init__

    def with_ports(server: NatsServer, *arguments: Any, port: int = -1, **more: Any) -> None:
        begin(server, *arguments, port=free_port() if port == -1 else port, **more)
        server._monitor_port = free_port()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(NatsServer, "__init__", with_ports)
        yield


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Not for each HTTP client: that is 30 ms of CPU, and tests that wait ask again and again."""
    read_once = functools.cache(httpx.create_ssl_context)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("httpx._transports.default.create_ssl_context", read_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _clusters_are_copies() -> Iterator[None]:
    """Only the first PostgreSQL of a process runs `initdb`; the others start on a copy of it.

    Without fsync and full pages in the WAL: a killed PostgreSQL keeps what it committed, only a
    power cut would lose it. Without autovacuum, which never rests with a database for each test.
    """
    make, run = PostgresServer._make_cluster, PostgresServer._tool
    with ExitStack() as kept, pytest.MonkeyPatch.context() as patched:
        made: list[PostgresServer] = []

        def copy(server: PostgresServer) -> None:
            if not made:
                first = PostgresServer()
                kept.callback(first.close)
                if first._identity:
                    first._let_nobody_through()
                make(first)
                with (first._data / "postgresql.conf").open("a") as settings:
                    settings.write("fsync = off\nfull_page_writes = off\nautovacuum = off\n")
                made.append(first)
            copying = ["cp", "-R", str(made[0]._data), str(server._data)]
            subprocess.run(copying, check=True, **server._surroundings())

        def quick(server: PostgresServer, tool: str, *arguments: str) -> None:
            # A copy of the files takes 17 ms of CPU, one through the WAL 70 ms.
            more = ("--strategy=file_copy",) if tool == "createdb" else ()
            run(server, tool, *more, *arguments)

        patched.setattr(PostgresServer, "_make_cluster", copy)
        patched.setattr(PostgresServer, "_tool", quick)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes stays until the end: no garbage collection has to look through it."""
    gc.disable()
    try:
        with _the_first_alone():
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _the_first_alone() -> Iterator[None]:
    """The first of several processes compiles all files, the others wait and read what it wrote."""
    with Path(__file__).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not sys.dont_write_bytecode:
                fcntl.flock(file, fcntl.LOCK_SH)
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Dealt out to several processes, long files go first: the last one is waited for alone."""

    def rank(item: pytest.Item) -> int:
        found = [at for at, folder in enumerate(LONG) if item.nodeid.startswith(folder)]
        return found[0] if found else len(LONG)

    if hasattr(config, "workerinput"):
        items.sort(key=rank)


@pytest.fixture(scope="session")
def capture_files() -> list[Path]:
    """The captured webhooks in the directory OFFHOOK_CAPTURES, by name; none if it is unset."""
    directory = os.environ.get("OFFHOOK_CAPTURES")
    return sorted(Path(directory).glob("*.json")) if directory else []
