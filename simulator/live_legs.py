"""The legs of all calls: applies changes to them, keeps their timers, sends their webhooks.

The state machine decides what changes (`call.machine`); the state and the clock are here.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from offhook.simulator.applications import Applications
from offhook.simulator.call import machine
from offhook.simulator.call.changes import Changes
from offhook.simulator.call.endings import LOST
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.transition import Ids
from offhook.simulator.call.triggers import EventDue, LegEnds, Trigger
from offhook.simulator.errors import call_errors, service_errors
from offhook.simulator.journal import Journal
from offhook.simulator.webhooks.deliveries import WebhookDelivery
from offhook.simulator.webhooks.sender import WebhookSender

LIVE_LEGS_MAX = 10_000
ENDED_LEGS_MAX = 100_000
READABLE_AFTER_END = timedelta(minutes=10)


class LiveLegs:
    """Runs inside one event loop. `speed` divides every second of a call.

    Beyond ENDED_LEGS_MAX the legs that ended first are forgotten, and counted in `forgotten`.
    """

    def __init__(
        self,
        *,
        sender: WebhookSender,
        applications: Applications,
        clock: Callable[[], datetime],
        ids: Ids,
        journal: Journal | None,
        speed: float,
    ) -> None:
        assert speed > 0, f"speed is {speed}"
        self._sender = sender
        self._applications = applications
        self._clock = clock
        self._ids = ids
        self._speed = speed
        self._journal = journal
        if journal is not None:
            sender.on_settled = self._forget_delivered_hangup
        self._legs: dict[str, SimulatedLeg] = {}
        self._timers: dict[str, set[asyncio.TimerHandle]] = {}  # of the legs that are up
        self._late: set[asyncio.TimerHandle] = set()  # of events that outlive their leg
        self._ended: deque[str] = deque()
        self.forgotten = 0

    def get(self, call_control_id: str) -> SimulatedLeg:
        """A leg that is up, or ended at most 10 minutes ago. Raises CarrierError (90015)."""
        leg = self._legs.get(call_control_id)
        if leg is None or (leg.ended_at and self._clock() - leg.ended_at > READABLE_AFTER_END):
            raise call_errors.call_unknown()
        return leg

    def by_id(self) -> Mapping[str, SimulatedLeg]:
        """Every leg that is not forgotten, ended or not, by call_control_id, oldest first."""
        return self._legs

    def active(self, connection_id: str) -> list[SimulatedLeg]:
        """The legs of a connection that have not ended, oldest first."""
        legs = self._legs.values()
        return [leg for leg in legs if leg.connection_id == connection_id and not leg.ended]

    def count(self) -> int:
        """How many legs have not ended."""
        return len(self._timers)

    def late_events(self) -> int:
        """How many events are still to come of legs that may have ended."""
        return len(self._late)

    def check_capacity(self) -> None:
        """Raises CarrierError (90041) if no more legs are accepted."""
        if len(self._timers) >= LIVE_LEGS_MAX:
            raise service_errors.channels_exhausted()

    def apply(self, changes: Changes) -> None:
        """Keep the changed legs, send the webhooks, and start the timers."""
        for leg in changes.legs:
            self._put(leg)
        for webhook in changes.webhooks:
            self._sender.send(webhook, self._applications.of_call(webhook.connection_id))
        for scheduled in changes.scheduled:
            trigger = scheduled.trigger
            outlives = isinstance(trigger, EventDue) and trigger.outlives
            timers = self._late if outlives else self._timers.get(trigger.call_control_id)
            if timers is not None:
                self._start_timer(trigger, scheduled.after_s / self._speed, timers)

    def fire(self, trigger: Trigger) -> None:
        """Apply what a trigger changes."""
        self.apply(machine.handle_trigger(trigger, self._legs, self._clock(), self._ids))

    def end_lost(self) -> None:
        """End the legs that a killed process left in the journal, with a hangup each."""
        for leg in self._journal.read("legs", SimulatedLeg) if self._journal is not None else []:
            self._end_lost(leg)

    def close(self) -> None:
        """Cancel all timers."""
        for timer in itertools.chain(self._late, *self._timers.values()):
            timer.cancel()

    def _end_lost(self, leg: SimulatedLeg) -> None:
        ours = leg.call_control_id
        self._put(leg)
        if leg.ended:  # its hangup was not delivered yet
            self.fire(
                EventDue(call_control_id=ours, event_type="call.hangup", more={}, outlives=True)
            )
            return
        only: Literal["unanswered", "answered"] = "unanswered" if leg.unanswered else "answered"
        self.fire(LegEnds(call_control_id=ours, ending=LOST, only=only))

    def _start_timer(
        self, trigger: Trigger, delay_s: float, timers: set[asyncio.TimerHandle]
    ) -> None:
        """Fire a trigger after `delay_s`; until then its timer is one of `timers`."""

        def due() -> None:
            timers.discard(timer)
            self.fire(trigger)

        timer = asyncio.get_running_loop().call_later(delay_s, due)
        timers.add(timer)

    def _forget_delivered_hangup(self, delivery: WebhookDelivery) -> None:
        webhook = delivery.webhook
        if self._journal is not None and webhook.event_type == "call.hangup":
            self._journal.forget("legs", webhook.call_control_id)

    def _put(self, leg: SimulatedLeg) -> None:
        self._legs[leg.call_control_id] = leg
        if self._journal is not None:
            self._journal.keep("legs", leg.call_control_id, leg)
        if not leg.ended:
            self._timers.setdefault(leg.call_control_id, set())
            return
        for timer in self._timers.pop(leg.call_control_id, ()):
            timer.cancel()
        self._ended.append(leg.call_control_id)
        while len(self._ended) > ENDED_LEGS_MAX:
            del self._legs[self._ended.popleft()]
            self.forgotten += 1
