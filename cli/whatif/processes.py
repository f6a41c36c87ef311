"""The processes that run the flow, one for each core, and a thread here for each of them.

A process may be ended by the flow (`os._exit`, a crash in a library). Then the session that it
worked on is counted as an error, and another process goes on with the rest.
"""

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

from offhook.cli.whatif.child import AHEAD, Loaded, Part, sent
from offhook.cli.whatif.replay import Found, Replayed
from offhook.cli.whatif.tally import Tally
from offhook.errors import OperatorFault, SettingInvalid, words_of
from offhook.flow.whatif import Difference

DECIDES_WITHIN_S = 10.0
"""A flow that takes longer to decide counts as raising: it may never end. See `limit_of`."""

ENDED_MAX = 100
"""A flow that has ended this many processes is tried on no more sessions."""

_WITHHELD = (
    "OFFHOOK_NATS",
    "OFFHOOK_POSTGRES",
    "OFFHOOK_CARRIER",
    "OFFHOOK_SIGNING",
    "OFFHOOK_API",
)
"""Variables that name servers and keys: a flow on trial does not get them."""


def run_parts(
    flow: str,
    names: Sequence[str] | None,
    parts: Iterable[Part],
    *,
    processes: int,
    on_tally: Callable[[Tally], None],
) -> tuple[Loaded, Tally]:
    """Run the parts through the flow; `on_tally` is called with what each has come to.

    `names` are those of the recorded flows; None is all, an empty one the flow's own. Raises
    SettingInvalid if the flow cannot be loaded, and OperatorFault.
    """
    with _Pool(flow, names, processes, on_tally) as pool:
        for part in parts:
            pool.put(part)
        return pool.finish()


class _Pool:
    def __init__(
        self,
        flow: str,
        names: Sequence[str] | None,
        processes: int,
        on_tally: Callable[[Tally], None],
    ) -> None:
        self._flow = flow
        self._names = names
        self._on_tally = on_tally
        self._parts: queue.Queue[Part | None] = queue.Queue(processes * AHEAD)
        self._lock = threading.Lock()
        self._tally = Tally()
        self._ended = 0
        self._failed: BaseException | None = None
        self._stopped = threading.Event()
        self._running: set[_Process] = set()
        started: list[_Process] = []
        try:
            # All at once: they load what they import side by side.
            for _ in range(processes):
                started.append(self._start())
            self.loaded = started[0].load()
        except BaseException:
            for process in started:
                process.end()
            raise
        self._threads = [threading.Thread(target=self._serve, args=(each,)) for each in started]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopped.set()
        with self._lock:
            running = list(self._running)
        for process in running:
            process.end()
        for thread in self._threads:
            thread.join()

    def put(self, part: Part | None) -> None:
        """Wait until a process is free for it. Raises what has failed in the meantime."""
        while True:
            if self._failed is not None:
                raise self._failed
            try:
                self._parts.put(part, timeout=_LOOK_EVERY_S)
            except queue.Full:
                continue
            return

    def finish(self) -> tuple[Loaded, Tally]:
        """Wait for all that was put in."""
        for _ in self._threads:
            self.put(None)
        for thread in self._threads:
            thread.join()
        if self._failed is not None:
            raise self._failed
        return self.loaded, self._tally

    def _start(self) -> "_Process":
        process = _Process(self._flow, self._names)
        with self._lock:
            self._running.add(process)
        return process

    def _serve(self, process: "_Process") -> None:
        try:
            process.load()
            pending: deque[Part] = deque()
            more = True
            while more or pending:
                try:
                    if not more or len(pending) == AHEAD:
                        self._take(process.receive())
                        pending.popleft()
                    elif (part := self._next()) is not None:
                        pending.append(part)
                        process.send(part)
                    else:
                        more = False
                except _Ended as why:
                    process = self._after_end(process, pending, why)
            process.end()
        except BaseException as error:
            self._failed = self._failed or error

    def _next(self) -> Part | None:
        while not self._stopped.is_set():
            try:
                return self._parts.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
        raise _Stopped

    def _after_end(self, ended: "_Process", pending: deque[Part], why: "_Ended") -> "_Process":
        """Another process with the same parts, without the session that ended this one."""
        while not self._stopped.is_set():
            self._take(self._without_killer(ended.current_session(), pending, why))
            with self._lock:
                self._running.discard(ended)
            ended.end()
            process = self._start()
            process.load()
            try:
                for part in pending:
                    process.send(part)
                return process
            except _Ended as again:
                ended, why = process, again
        raise _Stopped

    def _without_killer(self, killer: str, pending: deque[Part], why: "_Ended") -> Tally:
        """Take the session out of the parts. Raises OperatorFault if it is in none of them."""
        self._ended += 1
        for number, part in enumerate(pending):
            rest = [each for each in part if each[0] != killer]
            if len(rest) < len(part) and self._ended <= ENDED_MAX:
                pending[number] = rest
                tally = Tally()
                tally.count(_ending(killer, str(why)))
                return tally
        raise OperatorFault(f"the process that runs the flow has ended: {why}")

    def _take(self, tally: Tally) -> None:
        with self._lock:
            self._tally.add(tally)
            self._on_tally(tally)


class _Process:
    """A process with the flow in it. Its methods raise _Ended once it has ended."""

    def __init__(self, flow: str, names: Sequence[str] | None) -> None:
        """Raises OperatorFault if it cannot be started."""
        self._current = tempfile.NamedTemporaryFile(prefix="offhook-whatif-")  # noqa: SIM115
        kept = {name: text for name, text in os.environ.items() if not name.startswith(_WITHHELD)}
        # -P as `offhook` itself: no module of the working directory replaces one of Python's.
        command = [sys.executable, "-P", "-c", "from offhook.cli.whatif.child import main; main()"]
        command += [flow, json.dumps(names), self._current.name, str(DECIDES_WITHIN_S)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=kept)
        except OSError as error:
            raise OperatorFault(
                f"cannot start a process that runs the flow: {words_of(error)}; try fewer with"
                " --processes"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._parts: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._flow = flow
        self._loaded: Loaded | None = None

    def load(self) -> Loaded:
        """Wait until it has loaded the flow. Raises SettingInvalid."""
        if self._loaded is None:
            try:
                self._loaded = self._read()
            except _Ended as ended:
                self.end()
                raise SettingInvalid(
                    f"{self._flow!r} cannot be loaded: its process ended: {ended}"
                ) from None
        if self._loaded.error:
            self.end()
            raise SettingInvalid(self._loaded.error)
        return self._loaded

    def send(self, part: Part) -> None:
        """Hand it a part."""
        try:
            self._parts.write(sent(part))
            self._parts.flush()
        except OSError:
            raise _Ended(self._process.wait()) from None

    def receive(self) -> Tally:
        """What the oldest part that was handed over has come to."""
        tally: Tally = self._read()
        return tally

    def current_session(self) -> str:
        """The session that it worked on last."""
        self._current.seek(0)
        return self._current.read().decode(errors="replace").rstrip()

    def end(self) -> None:
        """End it, if it has not ended yet."""
        self._process.kill()
        self._process.wait()
        for file in (self._parts, self._answers):
            with suppress(OSError):  # what was to be written is not wanted any more
                file.close()
        self._current.close()

    def _read(self) -> Any:
        try:
            return pickle.load(self._answers)
        except (EOFError, pickle.UnpicklingError):
            raise _Ended(self._process.wait()) from None


class _Ended(Exception):
    """The process has ended by itself."""

    def __init__(self, status: int) -> None:
        said = f"exit status {status}"
        if status < 0:
            said = f"signal {signal.Signals(-status).name}"
        super().__init__(said)


class _Stopped(Exception):
    """The run is over."""


_LOOK_EVERY_S = 0.2


def _ending(session_id: str, why: str) -> Replayed:
    found = Found(
        session_id=session_id,
        position=0,
        stored_at=datetime.min.replace(tzinfo=UTC),
        event="some event",
        version="",
        difference=Difference(kind="error", what=f"ends its process ({why})"),
    )
    return Replayed(verdict="different", session_id=session_id, found=found)
