"""A real server as a child process: start, wait until it is ready, stop.

What it stores survives a stop, a kill and a restart. It runs in its own session, so that Ctrl-C
reaches Offhook alone, which drains first and stops its servers last.
"""

import atexit
import fcntl
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self

from offhook.errors import OperatorFault

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LOCK_TIMEOUT_S = 5.0
POLL_S = 0.01


class EmbeddedServer(ABC):
    """One child process and its directory. Leaving the `with` block stops it."""

    name: str

    def __init__(self, directory: Path | None = None) -> None:
        """Store everything in `directory`; without one, in a temporary one that `close` removes."""
        self._temporary = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = self._temporary_directory() if directory is None else directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / "server.log"
        atexit.register(self.close)

    @property
    def pid(self) -> int:
        """The process id, while it runs."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> Self:
        """Return once it is ready. Raises OperatorFault with the end of its log if it never is."""
        assert self._process is None, f"{self.name} is already running as pid {self.pid}"
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
        """Shut it down in order and wait; does nothing if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would (`kill -9`) and wait."""
        self._end(signal.SIGKILL)

    def ended(self) -> int | None:
        """The status it ended with by itself, negative for a signal; None while it is running."""
        return None if self._process is None else self._process.poll()

    def restart(self) -> Self:
        """Start it again with the same store and port. Raises OperatorFault as `start` does."""
        self._end(signal.SIGKILL)
        return self.start()

    def close(self) -> None:
        """Stop it and remove its temporary directories."""
        self.stop()
        self._temporary.close()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        """Start the process, which inherits the lock."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it accepts requests."""

    def _take(self, lock: IO[str]) -> None:
        """Lock the directory: two servers would corrupt the store, and NATS takes no lock itself.

        The child and its children inherit the lock, so it is free only once the last of them has
        ended, even if Offhook was killed; PostgreSQL's outlive their parent by some milliseconds.
        """
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    pid = lock.read()
                    raise OperatorFault(
                        f"another {self.name} (pid {pid}) is running on {self.directory}; stop its"
                        f" `offhook up` first, or process {pid} if that was killed"
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
                    f"{self.name} was not ready after {START_TIMEOUT_S:g} s: {self.last_words()}"
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
        """The end of its log, in one line."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:]) or f"{self.log_path} is empty"
