"""One turn of the state machine: the legs as they were, and what has changed so far."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from random import Random
from typing import Any

from offhook.simulator.call.legs import Hooks, Leg, uuid_from
from offhook.simulator.call.payloads import payload_of
from offhook.simulator.call.steps import Happening, Later, Step, Webhook
from offhook.simulator.errors import call_errors

Legs = Mapping[str, Leg]

LATER_MAX_S = 30 * 86_400.0
"""No call lasts longer; numbers that the documents do not bound would overflow a timer."""


class Turn:
    """Collects what one command or happening changes. It never touches the legs it was given."""

    def __init__(
        self, legs: Legs, now: datetime, identities: Random, *, tells_cost: bool = False
    ) -> None:
        self.now = now
        self.tells_cost = tells_cost  # whether a new leg does
        self.identities = identities
        self.answer: dict[str, str] = {}  # what the command's answer tells besides its result
        self._legs = legs
        self._changed: dict[str, Leg] = {}
        self._webhooks: list[Webhook] = []
        self._later: list[Later] = []

    def find(self, call_control_id: str) -> Leg | None:
        """The leg as this turn has left it so far."""
        return self._changed.get(call_control_id) or self._legs.get(call_control_id)

    def live(self, call_control_id: str, pointer: str = "/call_control_id") -> Leg:
        """A leg that has not ended. Raises CarrierError (90015, 90018)."""
        leg = self.find(call_control_id)
        if leg is None:
            raise call_errors.call_unknown(pointer)
        if leg.ended:
            raise call_errors.call_ended()
        return leg

    def live_legs(self) -> Iterator[Leg]:
        """Every leg that has not ended, as this turn has left it so far."""
        for call_control_id in {**self._legs, **self._changed}:
            leg = self.find(call_control_id)
            if leg is not None and not leg.ended:
                yield leg

    def put(self, leg: Leg) -> Leg:
        self._changed[leg.call_control_id] = leg
        return leg

    def place(self, leg: Leg) -> Leg:
        """A new leg, and its call.initiated."""
        self.put(leg)
        self.tell("call.initiated", leg)
        return leg

    def tell(self, event_type: str, leg: Leg, **more: object) -> None:
        """Send the application an event of the leg."""
        self._webhooks.append(
            Webhook(
                id=uuid_from(self.identities),
                event_type=event_type,
                occurred_at=self.now,
                call_control_id=leg.call_control_id,
                call_session_id=leg.call_session_id,
                connection_id=leg.connection_id,
                payload=payload_of(event_type, leg) | more,
                **_way_of(event_type, leg.hooks),
            )
        )

    def later(self, after_s: float, happening: Happening) -> None:
        after_s = min(max(after_s, 0.0), LATER_MAX_S)
        self._later.append(Later(after_s=after_s, happening=happening))

    def new_id(self) -> str:
        return uuid_from(self.identities)

    def step(self, leg: Leg | None, *, repeated: bool = False) -> Step:
        return Step(
            leg=None if leg is None else self.find(leg.call_control_id),
            legs=tuple(self._changed.values()),
            webhooks=tuple(self._webhooks),
            later=tuple(self._later),
            repeated=repeated,
            answer=self.answer,
        )


def _way_of(event_type: str, hooks: Hooks) -> dict[str, Any]:
    """Where an event goes and how: `webhook_urls` counts before `webhook_url`."""
    own = hooks.urls.get(event_type)
    urls = own or hooks.url or ()
    retries_ms = hooks.retries_ms.get(event_type)
    return {
        "urls": (urls,) if isinstance(urls, str) else tuple(urls),
        "method": hooks.urls_method if own else hooks.method,
        "retries_ms": None if retries_ms is None else tuple(retries_ms),
    }
