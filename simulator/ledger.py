"""Two books: which command_ids count as repeated, and how often each effect was really performed.

The carrier ignores a command_id that it has already seen for the same call (for a dial: among
dials) for 60 s only. Source: developers.telnyx.com, receiving webhooks for programmable voice.
After that it performs the command again; the book of effects then shows it as doubled.
Only performed commands are remembered: whether refused ones are is not documented.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from offhook.simulator.call.legs import stamp

WINDOW = timedelta(seconds=60)
COMMAND_IDS_MAX = 200_000
EFFECTS_MAX = 200_000

DIALS = "dial"  # the scope of a dial's command_id; any other's is its call_control_id


class Ledger:
    """What was answered to each command_id, for 60 s."""

    def __init__(self, ids_max: int = COMMAND_IDS_MAX) -> None:
        self._ids_max = ids_max
        self._answers: OrderedDict[tuple[str, str], tuple[datetime, Any]] = OrderedDict()

    def first_answer(self, scope: str, command_id: str, now: datetime) -> Any | None:
        """The answer when the command was performed, if that was less than 60 s ago."""
        found = self._answers.get((scope, command_id))
        if found is None or now - found[0] >= WINDOW:
            return None
        return found[1]

    def remember(self, scope: str, command_id: str, answer: Any, now: datetime) -> None:
        self._answers[scope, command_id] = (now, answer)
        self._answers.move_to_end((scope, command_id))
        while len(self._answers) > self._ids_max:
            self._answers.popitem(last=False)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Something the carrier really did. `count` is how often, under this command_id.

    `repeated` is how often it was asked of a leg that it had been done to (an answered leg
    answered again, a leg transferred while its last transfer lives), under whatever command_id.
    """

    at: datetime
    operation: str
    call_control_id: str
    call_session_id: str
    command_id: str | None
    count: int = 1
    repeated: int = 0

    @property
    def doubled(self) -> bool:
        return self.count > 1 or self.repeated > 0


class EffectBook:
    """Every effect, oldest first; the oldest are forgotten beyond `effects_max`, and counted."""

    def __init__(self, effects_max: int = EFFECTS_MAX) -> None:
        self._effects_max = effects_max
        self._effects: OrderedDict[tuple[str, str, str | int], Effect] = OrderedDict()
        self._performed = 0
        self.totals: Counter[str] = Counter()
        self.forgotten = 0

    def enter(self, scope: str, effect: Effect) -> None:
        """Count an effect; one known by scope, operation and command_id raises that one's count."""
        self._performed += 1
        self.totals[effect.operation] += 1
        # Without a command_id each is its own; the number keeps it apart from every text.
        name = self._performed if effect.command_id is None else effect.command_id
        key = (scope, effect.operation, name)
        known = self._effects.get(key)
        if known is not None:
            effect = replace(
                known, count=known.count + 1, repeated=known.repeated + effect.repeated
            )
        self._effects[key] = effect
        while len(self._effects) > self._effects_max:
            self._effects.popitem(last=False)
            self.forgotten += 1

    def effects(self) -> list[Effect]:
        return list(self._effects.values())

    def doubled(self) -> list[Effect]:
        return [effect for effect in self._effects.values() if effect.doubled]


def effect_shown(effect: Effect) -> dict[str, Any]:
    """An effect as GET /simulator/effects shows it."""
    return {
        "at": stamp(effect.at),
        "operation": effect.operation,
        "call_control_id": effect.call_control_id,
        "call_session_id": effect.call_session_id,
        "command_id": effect.command_id,
        "count": effect.count,
        "repeated": effect.repeated,
    }
