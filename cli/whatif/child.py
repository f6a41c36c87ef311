"""The process that runs the flow on parts of the history: `main` is all that it does.

It has no connection to anything. It reads parts from its standard input, and answers each on what
was its standard output, pickled; what the flow prints goes to standard error.

    argument 1    the flow, `module:attribute`
    argument 2    the names of the recorded flows, as JSON; null is all of them, [] the flow's own
    argument 3    a file in which the session it works on is named, for when the flow ends it
    argument 4    how long the flow may take to decide, in seconds: longer counts as raising
"""

import asyncio
import gc
import json
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Any

import msgspec

from offhook.cli.whatif.closed import close_network
from offhook.cli.whatif.replay import Replay, Row
from offhook.cli.whatif.tally import Tally
from offhook.errors import SettingInvalid
from offhook.flow import Flow
from offhook.workers.sessions.flow_loading import flows_from

AHEAD = 2
"""Parts that a process may have received and not answered."""

ALARMS = 20
"""In the time that a flow may take to decide."""

NAME_BYTES_MAX = 128
"""A session's id in the file that names it; it has 64 characters at most."""

Part = list[tuple[str, list[Row]]]
"""Sessions with their records, in order of position."""

_PARTS = msgspec.msgpack.Decoder(Part)
_LENGTH_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The flow was loaded; or `error` says why not."""

    name: str = ""
    version: str = ""
    error: str = ""


class TooSlow(Exception):
    """The flow did not decide in time."""


def main() -> None:
    """Load the flow and answer until standard input ends."""
    name, names, place, within_s = sys.argv[1:]
    parts, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the flow prints must not end up among the answers.
    os.dup2(2, 1)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    loop = asyncio.new_event_loop()  # it has a pair of sockets of its own
    close_network()
    try:
        (flow,) = flows_from([name], said_by="FLOW is ")
    except SettingInvalid as error:
        _answer(answers, Loaded(error=str(error)))
        return
    _answer(answers, Loaded(name=flow.name, version=flow.version))
    with open(place, "r+b", buffering=0) as current:
        replay = Replay(flow, _recorded_names(names, flow), limit_of(float(within_s)))
        loop.run_until_complete(_work(replay, parts, answers, current.fileno()))


async def _work(replay: Replay, parts: IO[bytes], answers: IO[bytes], current: int) -> None:
    received: queue.Queue[Part | None] = queue.Queue(AHEAD)
    threading.Thread(target=_receive, args=(parts, received), daemon=True).start()
    # Nothing here makes circles by the thousand, and a collection goes through all there is.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    while (part := received.get()) is not None:
        tally = Tally()
        for session_id, rows in part:
            os.pwrite(current, session_id.encode()[:NAME_BYTES_MAX].ljust(NAME_BYTES_MAX), 0)
            tally.count(await replay.of(session_id, rows))
        _answer(answers, tally)


def sent(part: Part) -> bytes:
    """The part as a process reads it. Pickled it takes ten times as long, for its times."""
    content = msgspec.msgpack.encode(part)
    return len(content).to_bytes(_LENGTH_BYTES) + content


def _receive(parts: IO[bytes], received: "queue.Queue[Part | None]") -> None:
    try:
        while length := parts.read(_LENGTH_BYTES):
            received.put(_PARTS.decode(parts.read(int.from_bytes(length))))
    finally:
        # Also after part of a part, if the parent was killed while it wrote.
        received.put(None)


def _answer(answers: IO[bytes], answer: Any) -> None:
    pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()


def _recorded_names(text: str, flow: Flow) -> frozenset[str] | None:
    names: list[str] | None = json.loads(text)
    if names is None:
        return None
    return frozenset(names or [flow.name])


def limit_of(within_s: float) -> Callable[[], AbstractContextManager[None]]:
    """Raises TooSlow in a block that lasts longer, but for time in which the process stood still.

    It is counted in alarms: those of a time in which the machine did not run the process come to
    one. So do those during one call of C code, after which it raises at the earliest. Processor
    time would not end a flow that sleeps.
    """
    alarms = 0

    def on_alarm(number: int, frame: Any) -> None:
        nonlocal alarms
        alarms += 1
        if alarms >= ALARMS:  # again and again: the flow may catch the first one
            raise TooSlow(f"it has not decided within {within_s:g} s")

    signal.signal(signal.SIGALRM, on_alarm)

    @contextmanager
    def limited() -> Iterator[None]:
        nonlocal alarms
        alarms = 0
        signal.setitimer(signal.ITIMER_REAL, within_s / ALARMS, within_s / ALARMS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    return limited
