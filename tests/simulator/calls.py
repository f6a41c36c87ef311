"""Calls in the pure state machine alone, with time that a test lets pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from offhook.commands import Answer, Command, Dial
from offhook.simulator.call import machine
from offhook.simulator.call.changes import Changes, OutgoingWebhook, ScheduledTrigger
from offhook.simulator.call.legs import InboundCall, SimulatedLeg
from offhook.simulator.call.triggers import Trigger
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.random_ids import RandomIds

CALLER, OURS, FRIEND, OTHER = "+12025550101", "+12025550102", "+12025550110", "+12025550111"
BUSY, REJECTS, NOBODY, SILENT, TALKS = (
    f"+120255501{last}" for last in ("86", "83", "84", "88", "80")
)
HELLO, BYE = "aGVsbG8=", "Ynll"


@dataclass
class Calls:
    """Every leg, webhook and pending trigger so far; `newest` is what changed last."""

    legs: dict[str, SimulatedLeg] = field(default_factory=dict)
    webhooks: list[OutgoingWebhook] = field(default_factory=list)
    pending: list[tuple[datetime, Trigger]] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    ids: RandomIds = field(default_factory=lambda: RandomIds(Random(1)))
    newest: Changes | None = None

    def ring(self, **more: Any) -> str:
        call = InboundCall(from_=CALLER, to=OURS, connection_id="1", **more)
        return self.take(machine.place_inbound(call, self.now, self.ids))

    def dial(self, to: str = FRIEND, **more: Any) -> str:
        return self.do(Dial(to=to, from_=OURS, connection_id="1", **more))

    def do(self, command: Command, leg: str | None = None) -> str:
        return self.take(machine.handle_command(command, leg, self.legs, self.now, self.ids))

    def up(self, **more: Any) -> str:
        """An answered inbound leg, whose caller stays."""
        leg = self.ring(hangup_after_s=1e6, **more)
        self.do(Answer(), leg)
        return leg

    def wait(self, seconds: float) -> None:
        """Let time pass, and fire every trigger that is due."""
        end = self.now + timedelta(seconds=seconds)
        while due := [one for one in self.pending if one[0] <= end]:
            first = min(due, key=lambda one: one[0])
            self.pending.remove(first)
            self.now, trigger = first
            self.take(machine.handle_trigger(trigger, self.legs, self.now, self.ids))
        self.now = end

    def events(self, leg: str) -> list[str]:
        return [hook.event_type for hook in self.webhooks if hook.call_control_id == leg]

    def payload(self, leg: str, event_type: str) -> Mapping[str, Any]:
        (found,) = (
            hook.payload
            for hook in self.webhooks
            if (hook.call_control_id, hook.event_type) == (leg, event_type)
        )
        return found

    def ending(self, leg: str) -> tuple[str, str, str]:
        found = self.payload(leg, "call.hangup")
        return found["hangup_cause"], found["hangup_source"], found["sip_hangup_cause"]

    def transfer_leg(self, leg: str) -> str:
        return str(self.legs[leg].transfer_leg)

    def take(self, changes: Changes) -> str:
        """Take changes. Returns the id of the leg concerned."""
        self.newest = changes
        self.legs |= {leg.call_control_id: leg for leg in changes.legs}
        self.webhooks += changes.webhooks
        self.pending += [(self._due(each), each.trigger) for each in changes.scheduled]
        return "" if changes.leg is None else changes.leg.call_control_id

    def _due(self, scheduled: ScheduledTrigger) -> datetime:
        return self.now + timedelta(seconds=scheduled.after_s)


def news(calls: Calls, leg: str) -> list[str]:
    """The events of a leg that is up, after call.answered."""
    events = calls.events(leg)
    return events[events.index("call.answered") + 1 :]


def payloads(calls: Calls, leg: str, event_type: str) -> list[Mapping[str, Any]]:
    return [
        hook.payload
        for hook in calls.webhooks
        if (hook.call_control_id, hook.event_type) == (leg, event_type)
    ]


def error_code(calls: Calls, command: Command, leg: str | None) -> str:
    """The code that a command is refused with."""
    with pytest.raises(CarrierError) as raised:
        calls.do(command, leg)
    return raised.value.code
