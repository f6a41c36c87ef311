"""A transition of the state machine: the legs before, and what has changed so far."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from offhook.simulator.call.changes import Changes, OutgoingWebhook, ScheduledTrigger
from offhook.simulator.call.legs import SimulatedLeg, WebhookOptions
from offhook.simulator.call.payloads import payload_of
from offhook.simulator.call.triggers import EventDue, Trigger
from offhook.simulator.errors import call_errors

LegsById = Mapping[str, SimulatedLeg]

SCHEDULED_S_MAX = 30 * 86_400.0
"""No call lasts longer; numbers that the documents do not bound would overflow a timer."""


class Ids(Protocol):
    """A source of ids, none of which it returns twice: the machine draws nothing at random."""

    def uuid(self) -> str:
        """A UUID, as text."""

    def call_control_id(self) -> str:
        """As long and as opaque as the carrier's: `v3:` and 54 letters."""


class Transition:
    """Collects what one command or trigger changes, and leaves the legs it was given alone.

    `tells_cost` is whether new legs send call.cost.
    """

    def __init__(
        self, legs: LegsById, now: datetime, ids: Ids, *, tells_cost: bool = False
    ) -> None:
        self.now = now
        self.tells_cost = tells_cost
        self.ids = ids
        self.answer: dict[str, str] = {}  # fields of the command's answer besides its result
        self._legs = legs
        self._changed: dict[str, SimulatedLeg] = {}
        self._webhooks: list[OutgoingWebhook] = []
        self._scheduled: list[ScheduledTrigger] = []

    def find(self, call_control_id: str) -> SimulatedLeg | None:
        """The leg with its changes so far; None if there is none."""
        return self._changed.get(call_control_id) or self._legs.get(call_control_id)

    def live_leg(self, call_control_id: str, pointer: str = "/call_control_id") -> SimulatedLeg:
        """A leg that has not ended. Raises CarrierError (90015, 90018)."""
        leg = self.find(call_control_id)
        if leg is None:
            raise call_errors.call_unknown(pointer)
        if leg.ended:
            raise call_errors.call_ended()
        return leg

    def live_legs(self) -> Iterator[SimulatedLeg]:
        """Every leg that has not ended, with its changes so far."""
        for call_control_id in {**self._legs, **self._changed}:
            leg = self.find(call_control_id)
            if leg is not None and not leg.ended:
                yield leg

    def put(self, leg: SimulatedLeg) -> SimulatedLeg:
        """Keep a leg in place of the one before. Returns it."""
        self._changed[leg.call_control_id] = leg
        return leg

    def place(self, leg: SimulatedLeg) -> SimulatedLeg:
        """Add a new leg, and emit its call.initiated. Returns it."""
        self.put(leg)
        self.emit("call.initiated", leg)
        return leg

    def emit(self, event_type: str, leg: SimulatedLeg, **more: object) -> None:
        """Send the application an event of the leg; `more` are fields of its payload."""
        self._webhooks.append(
            OutgoingWebhook(
                id=self.ids.uuid(),
                event_type=event_type,
                occurred_at=self.now,
                call_control_id=leg.call_control_id,
                call_session_id=leg.call_session_id,
                connection_id=leg.connection_id,
                payload=payload_of(event_type, leg) | more,
                **_routing(event_type, leg.hooks),
            )
        )

    def schedule(self, after_s: float, trigger: Trigger) -> None:
        """Let a trigger be due in so many seconds of the call, at most SCHEDULED_S_MAX."""
        after_s = min(max(after_s, 0.0), SCHEDULED_S_MAX)
        self._scheduled.append(ScheduledTrigger(after_s=after_s, trigger=trigger))

    def schedule_event(
        self,
        after_s: float,
        event_type: str,
        leg: SimulatedLeg,
        *,
        outlives: bool = False,
        **more: object,
    ) -> None:
        """Let an event of the leg be due; with `outlives` it is sent even if the leg has ended."""
        due = EventDue(
            call_control_id=leg.call_control_id,
            event_type=event_type,
            more=more,
            outlives=outlives,
        )
        self.schedule(after_s, due)

    def changes(self, leg: SimulatedLeg | None, *, repeated: bool = False) -> Changes:
        """All changes; `leg` is the one that the command or trigger concerns."""
        return Changes(
            leg=None if leg is None else self.find(leg.call_control_id),
            legs=tuple(self._changed.values()),
            webhooks=tuple(self._webhooks),
            scheduled=tuple(self._scheduled),
            repeated=repeated,
            answer=self.answer,
        )


def _routing(event_type: str, options: WebhookOptions) -> dict[str, Any]:
    """Where an event goes, and how; `webhook_urls` counts before `webhook_url`."""
    own = options.urls.get(event_type)
    urls = own or options.url or ()
    retries_ms = options.retries_ms.get(event_type)
    return {
        "urls": (urls,) if isinstance(urls, str) else tuple(urls),
        "method": options.urls_method if own else options.method,
        "retries_ms": None if retries_ms is None else tuple(retries_ms),
    }
