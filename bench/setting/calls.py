"""Calls in an open loop at workers, and when the command of each arrived at the carrier."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.setting.carrier import StubCarrier
from bench.setting.flows import POISON_NUMBER
from bench.setting.machine import hold_collections
from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallInitiated
from offhook.jetstream.log import JetStreamLog

LATE_S = 30.0
POLL_S = 0.05
CALLER = "+12025550101"


@dataclass(kw_only=True)
class CountingCarrier(StubCarrier):
    """`times` has when each command arrived, by call and command id."""

    times: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def arrived(self, call_control_id: str, command_id: str) -> None:
        self.times[call_control_id][command_id].append(time.perf_counter())

    def is_once(self, name: str) -> bool:
        """Whether exactly one command came for this call, once."""
        return [len(each) for each in self.times[f"v3:{name}"].values()] == [1]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What was appended: when each began, by its name (a call) or position (a record)."""

    healthy: dict[str, float]
    poisoned: dict[str, float]
    took_s: float

    def latencies_s(self, carrier: CountingCarrier) -> list[float]:
        """From the append of each healthy call to its first command at the carrier."""
        return [
            min(at for each in carrier.times[f"v3:{name}"].values() for at in each) - began
            for name, began in self.healthy.items()
            if carrier.times[f"v3:{name}"]
        ]


def in_turn(number: int) -> tuple[bool, bool]:
    """Without and with; every other round the other way round."""
    return (False, True) if number % 2 == 0 else (True, False)


async def calls_at_rate(
    log: JetStreamLog,
    carrier: CountingCarrier,
    count: int,
    rate: float,
    *,
    label: str,
    poisoned_of: int = 0,
) -> Round:
    """Append calls at the rate, one in `poisoned_of` poisoned, until each has its command."""
    healthy: dict[str, float] = {}
    poisoned: dict[str, float] = {}

    async def append(number: int) -> None:
        name = f"{label}-{number}"
        is_poisoned = poisoned_of and number % poisoned_of == poisoned_of // 2
        (poisoned if is_poisoned else healthy)[name] = time.perf_counter()
        await append_call(log, name, from_=POISON_NUMBER if is_poisoned else CALLER)

    took_s = await at_rate(count, rate, append)
    deadline = time.perf_counter() + LATE_S
    while time.perf_counter() < deadline and not all(  # noqa: ASYNC110
        carrier.times[f"v3:{name}"] for name in (*healthy, *poisoned)
    ):
        await asyncio.sleep(POLL_S)
    return Round(healthy=healthy, poisoned=poisoned, took_s=took_s)


async def at_rate(count: int, rate: float, append: Callable[[int], Awaitable[None]]) -> float:
    """Begin the appends on schedule, however long each takes; how long all took."""
    tasks: list[asyncio.Task[None]] = []
    hold_collections()
    began_at = time.perf_counter()
    for number in range(count):
        if (wait_s := began_at + number / rate - time.perf_counter()) > 0.001:
            await asyncio.sleep(wait_s)
        tasks.append(asyncio.ensure_future(append(number)))
    await asyncio.gather(*tasks)
    return time.perf_counter() - began_at


def fit_for_ids(name: str) -> str:
    """The name, with `-` for what is not allowed in an id."""
    return re.sub("[^A-Za-z0-9-]", "-", name)


async def append_call(log: JetStreamLog, name: str, *, from_: str = CALLER) -> str:
    """Append `call.initiated` of leg v3:NAME in session-NAME; returns NAME as it is in both."""
    event = call_initiated(name, from_=from_)
    encoded = encoded_webhook(wire_body(event), event.event_id)
    await log.append(f"session-{fit_for_ids(name)}", "in", encoded)
    return fit_for_ids(name)


def call_initiated(name: str, *, from_: str = CALLER) -> CallInitiated:
    """Of leg v3:NAME in session-NAME."""
    name = fit_for_ids(name)
    return CallInitiated(
        event_id=f"event-{name}",
        call_control_id=f"v3:{name}",
        call_session_id=f"session-{name}",
        direction="incoming",
        from_=from_,
        to="+12025550102",
    )
