"""Flows that are tried in processes of their own, and what they would do to them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from offhook.cli.demo.flow import demo
from offhook.commands import Answer, Command, Hangup, Speak, Transfer
from offhook.events import CallAnswered, CallHangup, CallInitiated, Event
from offhook.flow import Flow
from offhook.session import Session

GREETING = "Hello"


def greeting(event: Event, session: Session) -> Sequence[Command]:
    match event:
        case CallInitiated():
            return [Answer()]
        case CallAnswered():
            return [Speak(payload=GREETING, voice="female"), Hangup()]
        case _:
            return []


greet = Flow(name="greet", version="1", decide=greeting)


def _unlike(change: Callable[[Event, Session, Sequence[Command]], Sequence[Command]]) -> Flow:
    return Flow(
        name="greet",
        version="2",
        decide=lambda event, session: change(event, session, greeting(event, session)),
    )


def _planted(event: Event, session: Session, said: Sequence[Command]) -> Sequence[Command]:
    """Three changes, by the last digit of the caller's number."""
    caller = session.caller
    digit = caller.from_[-1:] if caller is not None and caller.from_ else ""
    match digit, event:
        case "1", CallAnswered():
            return [replace(said[0], payload="Good morning"), said[1]]  # type: ignore[call-arg]
        case "2", CallHangup():
            return [Hangup()]
        case "3", CallAnswered():
            return [said[1], said[0]]
    return said


def _connects(event: Event, session: Session, said: Sequence[Command]) -> Sequence[Command]:
    with socket.create_connection(("127.0.0.1", int(os.environ["PORT_OF_TEST"]))):
        return said


def _prints(event: Event, session: Session, said: Sequence[Command]) -> Sequence[Command]:
    print("said", said)  # noqa: T201
    return said


def _starts(event: Event, session: Session, said: Sequence[Command]) -> Sequence[Command]:
    subprocess.run(["true"], check=True)
    return said


def _ends(event: Event, session: Session, said: Sequence[Command]) -> Sequence[Command]:
    caller = session.caller
    if isinstance(event, CallAnswered) and caller is not None and caller.from_ == "+12025550103":
        os.kill(os.getpid(), signal.SIGKILL)
    return said


def _loops(event: Event, session: Session, said: Sequence[Command]) -> Sequence[Command]:
    while isinstance(event, CallAnswered):
        try:
            time.sleep(0.01)
        except OSError:
            continue
    return said


planted = _unlike(_planted)
connects = _unlike(_connects)
prints = _unlike(_prints)
starts = _unlike(_starts)
ends = _unlike(_ends)
loops = _unlike(_loops)


def _of_demo(event: Event, session: Session) -> Sequence[Command]:
    """The demo's flow, but callers are transferred with more time to ring."""
    return [
        replace(each, timeout_secs=25) if isinstance(each, Transfer) else each
        for each in demo.decide(event, session)
        if isinstance(each, Command)
    ]


longer = replace(demo, version="longer", decide=_of_demo)
