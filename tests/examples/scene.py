"""A whole call in no time: a flow, the simulator's state machine, and a clock that a test winds.

A worker's rules without a worker: records are decided on one after the other, and a command that
the carrier does not take yet holds up what comes after it, for at most 45 s. Webhooks come in
order, or each up to DISORDER_S late.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec

from offhook.codec.facts import fact_id_of
from offhook.codec.webhooks import read_webhook
from offhook.commands import Command, Dial, Transfer
from offhook.commands.catalog import command_from
from offhook.events import (
    CommandFailed,
    CommandSucceeded,
    Decided,
    Event,
    Fact,
    IssuedCommand,
    Record,
    TimerFired,
    WebhookReceived,
)
from offhook.flow import Flow
from offhook.flow.decision import stored
from offhook.session import Session, evolve, fold
from offhook.session.timers import TimerState
from offhook.simulator.call.changes import OutgoingWebhook
from offhook.simulator.call.legs import Ending, SimulatedLeg, SimulatedLegState
from offhook.simulator.call.numbers import CommandFault, detection_result_of, fault_of
from offhook.simulator.call.triggers import LegEnds
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.webhooks.envelopes import data_of
from tests.simulator.calls import Calls

DISORDER_S = 0.4
GIVEN_UP_AFTER_S = 45.0
ENDS_AFTER_S = 600.0

_NEVER = frozenset({CommandFault.FORBIDDEN, CommandFault.NO_CHANNEL, CommandFault.INACTIVE})


@dataclass(kw_only=True)
class Scene:
    """One call session. `silent_s` is the longest time that a leg heard nothing, by leg."""

    flow: Flow
    calls: Calls = field(default_factory=Calls)
    dice: Random | None = None  # draws how late each webhook is; None: none is
    session: Session = field(default_factory=lambda: Session(session_id="scene"))
    records: list[Record] = field(default_factory=list)
    silent_s: dict[str, float] = field(default_factory=dict)
    spoken_to: set[str] = field(default_factory=set)
    commands: list[tuple[str, str]] = field(default_factory=list)  # operation, leg
    _due: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _heard: int = 0
    _seq: int = 0
    _undecided: list[tuple[int, Event]] = field(default_factory=list)
    _busy_until: datetime | None = None
    _sending: list[IssuedCommand] = field(default_factory=list)
    _silent_since: dict[str, datetime] = field(default_factory=dict)

    def play(self) -> "Scene":
        """Let everything happen that will."""
        end = self.calls.now + timedelta(seconds=ENDS_AFTER_S)
        self._settle()
        while (at := self._next_at()) is not None and at <= end:
            self.calls.wait((at - self.calls.now).total_seconds())
            while self._due and self._due[0][0] <= self.calls.now:
                heapq.heappop(self._due)[2]()
            self._settle()
        self.calls.now = end
        self._listen()
        return self

    def leave(self, after_s: float, *places: int) -> None:
        """The parties of these legs, the first placed is 0, hang up so long from now, if they are
        there and talking then."""

        def hang_up() -> None:
            legs = list(self.calls.legs.values())
            for leg in [legs[place] for place in places if place < len(legs)]:
                ending = Ending(cause="normal_clearing", source=leg.far_side, sip="200")
                ours = leg.call_control_id
                ends = LegEnds(call_control_id=ours, ending=ending, only="answered")
                self.calls.pending.append((self.calls.now, ends))
            self.calls.wait(0)

        self._later(after_s, hang_up)

    @property
    def up(self) -> list[str]:
        """The legs that nobody hung up."""
        return [leg.to for leg in self.calls.legs.values() if not leg.ended]

    @property
    def machines_connected(self) -> list[str]:
        """Called numbers with nobody there that were bridged."""
        bridged = {one.call_control_id for one in self._webhooks("call.bridged")}
        legs = [self.calls.legs[each] for each in bridged]
        return [leg.to for leg in legs if leg.direction == "outgoing" and _nobody_at(leg.to)]

    def _webhooks(self, event_type: str) -> list[OutgoingWebhook]:
        return [one for one in self.calls.webhooks if one.event_type == event_type]

    def _next_at(self) -> datetime | None:
        times = [at for at, _ in self.calls.pending]
        times += [at for at, _, _ in self._due[:1]]
        return min(times, default=None)

    def _later(self, after_s: float, act: Callable[[], None]) -> None:
        at = self.calls.now + timedelta(seconds=after_s)
        heapq.heappush(self._due, (at, next(self._order), act))

    def _settle(self) -> None:
        """Take in new webhooks, and decide until there is nothing left to decide on."""
        while True:
            self._listen()
            for webhook in self.calls.webhooks[self._heard :]:
                self._heard += 1
                self._deliver(webhook)
            if self._sending:
                if not self._send_next():
                    return
            elif self._undecided:
                self._decide(*self._undecided.pop(0))
            else:
                return

    def _deliver(self, webhook: OutgoingWebhook) -> None:
        body = msgspec.json.encode({"data": data_of(webhook), "meta": {"attempt": 1}})
        event = read_webhook(body).event

        def arrive() -> None:
            seq = self._record(WebhookReceived(event=event, attempt=1))
            self._undecided.append((seq, event))

        if self.dice is None:
            arrive()
        else:
            self._later(self.dice.uniform(0, DISORDER_S), arrive)

    def _decide(self, seq: int, event: Any) -> None:
        session = self._shown()
        said = stored(self.flow.decide(event, session), event, session, seq)
        decided = Decided(
            cause_seq=seq,
            cause_id=f"record-{seq}",
            flow=self.flow.name,
            flow_version=self.flow.version,
            worker="scene",
            lease_s=5.0,
            commands=said.commands,
            timers=said.timers,
        )
        before = self.session.timers
        self._record(decided)
        for name, timer in self.session.timers.items():
            if before.get(name) != timer:
                self._set(name, timer)
        self._sending = list(said.commands)
        self._busy_until = None

    def _shown(self) -> Session:
        """What a worker shows: without the events that it decides on later."""
        if not self._undecided:
            return self.session
        later = {seq for seq, event in self._undecided if not isinstance(event, CommandFailed)}
        return fold("scene", (each for each in self.records if each.seq not in later))

    def _set(self, name: str, timer: TimerState) -> None:
        def fire() -> None:
            if self.session.timers.get(name) != timer:
                return
            fired = TimerFired(
                timer_id=timer.timer_id,
                name=name,
                due_at=self.calls.now,
                call_control_id=timer.call_control_id,
            )
            self._undecided.append((self._record(fired), fired))

        assert timer.due_at is not None
        after_s = (timer.due_at - self.calls.now).total_seconds()
        self._later(max(0.0, after_s), fire)

    def _send_next(self) -> bool:
        """Whether the next command has an outcome; if not, it is tried again later."""
        issued = self._sending[0]
        leg = self.calls.legs.get(issued.call_control_id or "")
        command = command_from(issued.operation, issued.parameters, issued.call_control_id)
        if self._busy_until is None:
            self._busy_until = self.calls.now + timedelta(seconds=GIVEN_UP_AFTER_S)
        linked = self.calls.legs.get(command.link_to or "") if isinstance(command, Dial) else leg
        trouble = fault_of(_called(command, leg))
        if linked is not None and linked.ended:
            outcome: Fact = self._failed(issued, "call_ended")
        elif trouble is CommandFault.UNAVAILABLE and self.calls.now < self._busy_until:
            self._later(1.0, lambda: None)
            return False
        elif trouble is CommandFault.UNAVAILABLE:
            outcome = self._failed(issued, "deadline")
        elif _is_never_done(command, leg):
            outcome = self._failed(issued, "refused")
        else:
            outcome = self._obeyed(issued, command)
        self._sending.pop(0)
        self._busy_until = None
        seq = self._record(outcome)
        if isinstance(outcome, CommandFailed):
            self._undecided.append((seq, outcome))
        return True

    def _obeyed(self, issued: IssuedCommand, command: Command) -> Fact:
        try:
            self.calls.do(command, issued.call_control_id)
        except CarrierError as refused:
            reason = "call_ended" if refused.code == "90018" else "refused"
            return self._failed(issued, reason)
        assert self.calls.newest is not None
        assert not self.calls.newest.repeated, issued
        self.commands.append((issued.operation, issued.call_control_id or ""))
        if issued.operation in ("speak", "gather_using_speak") and issued.call_control_id:
            self.spoken_to.add(self.calls.legs[issued.call_control_id].to)
        return CommandSucceeded(command_id=issued.command_id)

    def _failed(self, issued: IssuedCommand, reason: Any) -> CommandFailed:
        return CommandFailed(
            command_id=issued.command_id,
            operation=issued.operation,
            call_control_id=issued.call_control_id,
            reason=reason,
        )

    def _record(self, fact: Fact) -> int:
        self._seq += 1
        record = Record(
            seq=self._seq,
            stored_at=self.calls.now,
            session_id="scene",
            fact=fact,
            fact_id=fact_id_of(fact, "scene"),
        )
        self.records.append(record)
        self.session = evolve(self.session, record)
        return self._seq

    def _listen(self) -> None:
        """Note since when each leg has heard nothing."""
        for name, leg in self.calls.legs.items():
            since = self._silent_since.get(name)
            if since is not None:
                lasted_s = (self.calls.now - since).total_seconds()
                self.silent_s[name] = max(self.silent_s.get(name, 0.0), lasted_s)
            if leg.ended or leg.unanswered or self._hears(leg):
                self._silent_since.pop(name, None)
            else:
                self._silent_since.setdefault(name, self.calls.now)

    def _hears(self, leg: SimulatedLeg) -> bool:
        """Talk, a text, the ringing of a transfer, or the own voice on a tape."""
        placed = self.calls.legs.get(leg.transfer_leg or "")
        rings = placed is not None and placed.unanswered
        return bool(leg.state is SimulatedLegState.BRIDGED or leg.sounds or rings or leg.recordings)


def _called(command: Command, leg: SimulatedLeg | None) -> str:
    if leg is not None:
        return leg.to
    assert isinstance(command, Dial)
    return str(command.to)


def _is_never_done(command: Command, leg: SimulatedLeg | None) -> bool:
    if isinstance(command, Transfer) and fault_of(command.to) is CommandFault.NO_CHANNEL:
        return True
    trouble = fault_of(_called(command, leg))
    return trouble in _NEVER and (trouble is not CommandFault.NO_CHANNEL or leg is None)


def _nobody_at(number: str) -> bool:
    hearer = detection_result_of(number)
    return hearer.result == "machine" or hearer.premium_result == "fax_detected"
