"""Restart roles and servers that end by themselves: at once, then after growing pauses.

running ──ends──▶ pausing ──started──▶ starting ──ready──▶ running
             └── the ENDS_MAX-th end in a row: OperatorFault, with the end of its log
                 (PostgreSQL is restarted for as long as it takes)
"""

import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from offhook.cli.embedded.server import EmbeddedServer
from offhook.cli.embedded.stack import Say, Stack
from offhook.errors import OperatorFault
from offhook.wording.durations import duration

STEADY_S = 60.0
"""What has run for this long has recovered: its next end counts as the first."""

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
"""Before the first restart, the second, and so on."""

ENDS_MAX = len(PAUSES_S) + 1
"""Ends in a row after which it is given up: about a minute."""

STORE_CHECK_S = 5.0
"""How often NATS is asked for its health. After a full disk it needs a restart to take writes."""

_LOG_LINES = 3


@dataclass(kw_only=True)
class _Part:
    started_at: float
    ends: int = 0  # in a row
    restart_at: float | None = None  # None unless it has ended
    is_starting: bool = False


class Supervisor:
    """Keeps a started stack running. `vital` names roles whose end is an error instead."""

    def __init__(
        self,
        stack: Stack,
        say: Say,
        *,
        vital: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stack = stack
        self._say = say
        self._vital = vital
        self._clock = clock
        self._parts: dict[str, _Part] = {}
        self._store_checked_at = clock()

    def check(self) -> None:
        """Call this a few times a second. Raises OperatorFault after ENDS_MAX ends in a row."""
        for server in (self._stack.nats, self._stack.postgres):
            self._check_server(server)
        self._check_store()
        for name, process in list(self._stack.processes.items()):
            part = self._parts.setdefault(name, _Part(started_at=self._clock()))
            if part.restart_at is not None:
                self._restart_when_due(name, part)
            elif (status := process.poll()) is not None:
                self._note_end(name, part, status)
                self._restart_when_due(name, part)
            elif part.is_starting and self._stack.is_ready(name):
                part.is_starting = False
                self._say(f"{name} is ready again ({duration(self._clock() - part.started_at)})")

    def _check_store(self) -> None:
        now = self._clock()
        if now - self._store_checked_at < STORE_CHECK_S:
            return
        self._store_checked_at = now
        if said := self._stack.nats.refuses_writes():
            self._say(
                f"nats-server takes no writes although its disk has room; restarting it: {said}"
            )
            self._stack.nats.restart()
            self._say(f"nats-server is up again ({duration(self._clock() - now)})")

    def _note_end(self, name: str, part: _Part, status: int) -> None:
        self._count_end(part)
        part.is_starting = False
        how = f"{name} {_ending(status)}"
        # Of a kill from outside its log says nothing.
        words = f"\n{self._stack.log_tail(name, _LOG_LINES)}" if status >= 0 else ""
        if name in self._vital:
            raise OperatorFault(f"{how}\n{self._stack.log_tail(name)}")
        if part.ends >= ENDS_MAX:
            tail = self._stack.log_tail(name)
            raise OperatorFault(f"{how}, {part.ends} times in a row\n{tail}")
        self._plan_restart(part, how, words)

    def _restart_when_due(self, name: str, part: _Part) -> None:
        if part.restart_at is None or self._clock() < part.restart_at:
            return
        part.restart_at = None
        part.is_starting = True
        part.started_at = self._clock()
        self._stack.start(name)

    def _check_server(self, server: EmbeddedServer) -> None:
        part = self._parts.setdefault(server.name, _Part(started_at=self._clock()))
        if part.restart_at is None:
            if (status := server.ended()) is None:
                return
            words = f": {server.last_words()}" if status >= 0 else ""
            self._note_server_end(server, part, f"{server.name} {_ending(status)}", words)
        now = self._clock()
        if part.restart_at is None or now < part.restart_at:
            return
        part.restart_at = None
        part.started_at = now
        try:
            server.restart()
        except OperatorFault as error:
            self._note_server_end(server, part, f"{server.name} did not start", f": {error}")
        else:
            self._say(f"{server.name} is up again ({duration(self._clock() - now)})")

    def _note_server_end(self, server: EmbeddedServer, part: _Part, how: str, words: str) -> None:
        self._count_end(part)
        # Calls go on without the views, and a disk may be full for hours, so PostgreSQL is never
        # given up. Without NATS nothing works.
        if part.ends >= ENDS_MAX and server is not self._stack.postgres:
            raise OperatorFault(f"{how}, {part.ends} times in a row: {server.last_words()}")
        self._plan_restart(part, how, words)

    def _count_end(self, part: _Part) -> None:
        is_steady = self._clock() - part.started_at >= STEADY_S
        part.ends = 1 if is_steady else part.ends + 1

    def _plan_restart(self, part: _Part, how: str, words: str) -> None:
        pause_s = PAUSES_S[min(part.ends, len(PAUSES_S)) - 1]
        part.restart_at = self._clock() + pause_s
        self._say(f"{how}; restarting it" + (f" in {pause_s:g} s" if pause_s else "") + words)


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
