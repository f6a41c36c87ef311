"""What ends by itself is restarted: at once, then after longer pauses, and not forever."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from offhook.cli.embedded.stack import Stack
from offhook.cli.embedded.supervisor import ENDS_MAX, PAUSES_S, STEADY_S, STORE_CHECK_S, Supervisor
from offhook.errors import OperatorFault


@dataclass
class FakeProcess:
    status: int | None = None

    def poll(self) -> int | None:
        return self.status


@dataclass
class FakeServer:
    name: str
    status: int | None = None
    restarts: int = 0
    refusal: str = ""
    stays_down: bool = False

    def refuses_writes(self) -> str:
        return self.refusal

    def ended(self) -> int | None:
        return self.status

    def restart(self) -> None:
        self.status, self.refusal = None, ""
        self.restarts += 1
        if self.stays_down:
            raise OperatorFault("out of disk")

    def last_words(self) -> str:
        return "out of disk"


@dataclass
class FakeStack:
    """One worker and one simulator; what is started runs and is ready at once."""

    nats: FakeServer = field(default_factory=lambda: FakeServer("nats-server"))
    postgres: FakeServer = field(default_factory=lambda: FakeServer("postgres"))
    processes: dict[str, FakeProcess] = field(
        default_factory=lambda: {"worker-1": FakeProcess(), "simulator": FakeProcess()}
    )
    starts: list[str] = field(default_factory=list)

    def start(self, name: str) -> None:
        self.starts.append(name)
        self.processes[name] = FakeProcess()

    def is_ready(self, name: str) -> bool:
        return True

    def log_tail(self, name: str, lines: int = 15) -> str:
        return f"the end of {name}.log"


class Room:
    def __init__(self, *vital: str) -> None:
        self.stack = FakeStack()
        self.said: list[str] = []
        self.now = 0.0
        self.supervisor = Supervisor(
            cast(Stack, self.stack), self.said.append, vital=vital, clock=lambda: self.now
        )

    def wait(self, seconds: float) -> None:
        """Let time pass, with a look four times a second."""
        for _ in range(round(seconds * 4)):
            self.now += 0.25
            self.supervisor.check()

    def end(self, name: str = "worker-1", status: int = -9) -> None:
        self.stack.processes[name].status = status
        self.supervisor.check()


def test_a_role_that_is_killed_runs_again_at_once() -> None:
    room = Room()
    room.supervisor.check()
    room.end()
    assert room.stack.starts == ["worker-1"]
    room.supervisor.check()
    assert room.said == [
        "worker-1 was killed by SIGKILL; restarting it",
        "worker-1 is ready again (0 s)",
    ]
    room.supervisor.check()
    assert len(room.said) == 2


def test_what_ends_again_and_again_is_restarted_slower_and_given_up() -> None:
    room = Room()
    waited: list[float] = []
    for _ in PAUSES_S:
        room.end(status=1)
        ended_at = room.now
        while room.stack.processes["worker-1"].status is not None:
            room.now += 0.25
            room.supervisor.check()
        waited.append(room.now - ended_at)
    assert waited == list(PAUSES_S)
    assert "the end of worker-1.log" in room.said[0]
    assert "restarting it in 0.5 s" in "".join(room.said)
    told = f"(?s)status 1, {ENDS_MAX} times in a row.*the end of worker-1"
    with pytest.raises(OperatorFault, match=told):
        room.end(status=1)


def test_a_role_that_ran_for_a_while_is_restarted_at_once_however_often_it_ended() -> None:
    room = Room()
    for _ in range(3 * ENDS_MAX):
        room.end()
        room.supervisor.check()
        room.now += STEADY_S
    assert len(room.stack.starts) == 3 * ENDS_MAX


def test_a_vital_role_is_not_restarted() -> None:
    room = Room("simulator")
    room.end()
    with pytest.raises(OperatorFault, match="simulator was killed by SIGKILL\nthe end of"):
        room.end("simulator")


@pytest.mark.parametrize("which", ["nats", "postgres"])
def test_a_server_is_restarted_too_at_once_and_then_slower(which: str) -> None:
    room = Room()
    server: FakeServer = getattr(room.stack, which)
    for restarts, pause_s in enumerate(PAUSES_S, start=1):
        server.status = -9
        room.supervisor.check()
        assert server.restarts == restarts - (pause_s > 0)
        room.now += pause_s
        room.supervisor.check()
        assert server.restarts == restarts
    assert room.said[:2] == [
        f"{server.name} was killed by SIGKILL; restarting it",
        f"{server.name} is up again (0 s)",
    ]


def test_without_the_log_there_is_an_end() -> None:
    room = Room()
    room.stack.nats.status, room.stack.nats.stays_down = 1, True
    with pytest.raises(OperatorFault, match=f"{ENDS_MAX} times in a row: out of disk"):
        room.wait(600)
    assert room.stack.nats.restarts == len(PAUSES_S)


def test_postgres_is_tried_again_for_as_long_as_its_disk_is_full() -> None:
    """It gave up everything at the first start that failed: the calls too, which need no views."""
    room = Room()
    postgres = room.stack.postgres
    postgres.status, postgres.stays_down = 1, True
    room.wait(3600)
    assert "postgres ended with status 1; restarting it: out of disk" in room.said[0]
    assert "postgres did not start; restarting it in 0.5 s: out of disk" in room.said[1]
    assert postgres.restarts > 3600 / max(PAUSES_S) - len(PAUSES_S)
    postgres.stays_down = False
    room.now += max(PAUSES_S)
    room.supervisor.check()
    assert room.said[-1] == "postgres is up again (0 s)"


def test_a_log_that_takes_no_writes_until_a_restart_is_restarted() -> None:
    room = Room()
    room.stack.nats.refusal = "write error: no space left on device"
    room.supervisor.check()
    assert not room.said  # looked at now and then
    room.now = STORE_CHECK_S
    room.supervisor.check()
    assert room.stack.nats.restarts == 1
    assert "restarting it: write error: no space left on device" in room.said[0]
    room.now += STORE_CHECK_S
    room.supervisor.check()
    assert room.stack.nats.restarts == 1
