"""The carrier in a storm: slow, over its limits, silent; and what it was sent and has done."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from offhook.events import IssuedCommand
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused
from tests.workers.storm.weather import Weather

REMEMBERED_S = 60.0
ANSWER_S_MAX = 1.9
TIMEOUT_S = 2.0

Key = tuple[str, str]


def key_of(command: IssuedCommand) -> Key:
    """The carrier tells commands apart by these: a leg, or dials; and the command_id."""
    return command.call_control_id or "dial", command.command_id


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request that reached the carrier at `at`, in the loop's time."""

    at: float
    command: IssuedCommand


class StormCarrier:
    """`on_end` is called with a leg that has been hung up."""

    def __init__(self, weather: Weather, dice: Random, on_end: Callable[[str], None]) -> None:
        self._weather = weather
        self._dice = dice
        self._on_end = on_end
        self._ended: set[str] = set()
        self.sent: defaultdict[Key, list[Sent]] = defaultdict(list)
        self.performed: defaultdict[Key, list[float]] = defaultdict(list)

    async def send(self, command: IssuedCommand, *, repeated: bool) -> Outcome:
        dice, weather, key = self._dice, self._weather, key_of(command)
        self.sent[key].append(Sent(at=asyncio.get_running_loop().time(), command=command))
        luck = dice.random()
        await asyncio.sleep(min(ANSWER_S_MAX, dice.expovariate(1 / weather.answer_s)))
        if luck < weather.busy:
            dials_only = command.operation == "dial" and dice.random() < 0.3
            return Busy(
                retry_after_s=dice.choice([0.1, 1, 8, 60]), detail="429", dials_only=dials_only
            )
        if luck < weather.busy + weather.unanswered:
            return await self._unanswered(command)
        hangs_up = command.operation == "hangup"
        if command.call_control_id in self._ended and not hangs_up:
            return Refused(status=422, group="call_ended", detail="ended", maybe_taken=repeated)
        if not hangs_up and not self.performed[key] and dice.random() < weather.refused:
            return Refused(status=422, group="wrong_value", detail="no")
        self._perform(command)
        return Accepted(status=200, answer={"data": {"result": "ok"}})

    async def _unanswered(self, command: IssuedCommand) -> NoAnswer:
        if self._dice.random() < 0.5:
            return NoAnswer(detail="no connection", maybe_taken=False)
        if self._dice.random() < 0.5:
            self._perform(command)
        if self._dice.random() < 0.5:
            await asyncio.sleep(TIMEOUT_S)
        return NoAnswer(detail="timeout")

    def _perform(self, command: IssuedCommand) -> None:
        now, done = asyncio.get_running_loop().time(), self.performed[key_of(command)]
        if done and now - done[0] < REMEMBERED_S:
            return
        done.append(now)
        leg = command.call_control_id
        if command.operation == "hangup" and leg is not None and leg not in self._ended:
            self._ended.add(leg)
            self._on_end(leg)
