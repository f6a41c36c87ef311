"""How often each command was really performed."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime

EFFECTS_MAX = 200_000


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A command that was performed. `count` is how often, under this command_id.

    `repeated` is how often the leg had been commanded the same before (an answered leg answered
    again, a leg transferred while its last transfer is up), under any command_id.
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
        """Whether it was performed more than once."""
        return self.count > 1 or self.repeated > 0


class EffectLog:
    """Every effect, oldest first. Beyond `effects_max` the oldest are dropped, and counted."""

    def __init__(self, effects_max: int = EFFECTS_MAX) -> None:
        self._effects_max = effects_max
        self._effects: OrderedDict[tuple[str, str, str | int], Effect] = OrderedDict()
        self._performed = 0
        self.totals: Counter[str] = Counter()
        self.forgotten = 0

    def add(self, scope: str, effect: Effect) -> None:
        """Add an effect, or count up the one with this scope, operation and command_id."""
        self._performed += 1
        self.totals[effect.operation] += 1
        # Without a command_id each counts as new: no text equals the number.
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
        """Oldest first."""
        return list(self._effects.values())

    def doubled(self) -> list[Effect]:
        """Those performed more than once, oldest first."""
        return [effect for effect in self._effects.values() if effect.doubled]
