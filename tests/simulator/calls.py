"""Calls without a carrier around them: the pure state machine, and time that a test lets pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from offhook.commands import Answer, Command, Dial
from offhook.simulator.call import machine
from offhook.simulator.call.legs import InboundCall, Leg
from offhook.simulator.call.steps import Happening, Later, Step, Webhook

CALLER, OURS, FRIEND, OTHER = "+12025550101", "+12025550102", "+12025550110", "+12025550111"
BUSY, REJECTS, NOBODY, SILENT, TALKS = (
    f"+120255501{last}" for last in ("86", "83", "84", "88", "80")
)
HELLO, BYE = "aGVsbG8=", "Ynll"


@dataclass
class Calls:
    """Every leg, webhook and pending happening so far; `newest` is the last step taken."""

    legs: dict[str, Leg] = field(default_factory=dict)
    webhooks: list[Webhook] = field(default_factory=list)
    pending: list[tuple[datetime, Happening]] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    identities: Random = field(default_factory=lambda: Random(1))
    newest: Step | None = None

    def ring(self, **more: Any) -> str:
        call = InboundCall(from_=CALLER, to=OURS, connection_id="1", **more)
        return self.take(machine.ring(call, self.now, self.identities))

    def dial(self, to: str = FRIEND, **more: Any) -> str:
        return self.do(Dial(to=to, from_=OURS, connection_id="1", **more))

    def do(self, command: Command, leg: str | None = None) -> str:
        return self.take(machine.obey(command, leg, self.legs, self.now, self.identities))

    def up(self, **more: Any) -> str:
        """An answered inbound leg, whose caller stays."""
        leg = self.ring(hangup_after_s=1e6, **more)
        self.do(Answer(), leg)
        return leg

    def wait(self, seconds: float) -> None:
        """Let happen what falls due."""
        end = self.now + timedelta(seconds=seconds)
        while due := [one for one in self.pending if one[0] <= end]:
            first = min(due, key=lambda one: one[0])
            self.pending.remove(first)
            self.now, happening = first
            self.take(machine.happen(happening, self.legs, self.now, self.identities))
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

    def take(self, step: Step) -> str:
        """Take a step; the leg concerned."""
        self.newest = step
        self.legs |= {leg.call_control_id: leg for leg in step.legs}
        self.webhooks += step.webhooks
        self.pending += [(self._due(later), later.happening) for later in step.later]
        return "" if step.leg is None else step.leg.call_control_id

    def _due(self, later: Later) -> datetime:
        return self.now + timedelta(seconds=later.after_s)
