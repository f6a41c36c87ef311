"""The exchange: performs commands on the calls that are up, once for each command_id.

A command is checked in this order: its call is known, its command_id is new, its parameters are
valid, the called number has no fault, the state of the leg allows it. Only then is it performed,
counted and remembered.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from offhook.commands import Command, Dial
from offhook.commands.catalog import command_from, takes_command_id
from offhook.errors import ParameterInvalid
from offhook.simulator.applications import Applications
from offhook.simulator.call import machine
from offhook.simulator.call.changes import Changes
from offhook.simulator.call.endings import party_hangs_up
from offhook.simulator.call.features.conferences import (
    ConferenceAction,
    conference_request_from,
    conference_resource,
)
from offhook.simulator.call.legs import InboundCall, SimulatedLeg, SimulatedLegState
from offhook.simulator.call.numbers import CommandFault
from offhook.simulator.call.transition import Ids
from offhook.simulator.call.triggers import KeysPressed
from offhook.simulator.effects import Effect, EffectLog
from offhook.simulator.errors import call_errors, parameter_errors, service_errors
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.faults import FaultInjector
from offhook.simulator.journal import Journal
from offhook.simulator.ledger import DIALS, Ledger
from offhook.simulator.live_legs import LiveLegs
from offhook.simulator.requested_events import requested_event
from offhook.simulator.webhooks.sender import WebhookSender

SLOW_ANSWER_S = 2.5

DuplicateAnswer = Literal["first", "empty", "error"]
"""The answer to a repeated command_id: the first answer again, `ok` without ids, or a 4xx."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to a performed command, to be held back for `after_s` seconds of real time."""

    data: Mapping[str, Any]
    after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """One attempt of a command: `scope` and `command_id` are its key in the ledger."""

    operation: str
    scope: str
    command_id: str | None
    at: datetime


class Exchange:
    """Runs inside one event loop. `speed` divides every second of a call, and nothing else.

    `ignored` counts repeated command_ids by operation, `refused` errors by code.
    """

    def __init__(
        self,
        *,
        sender: WebhookSender,
        applications: Applications,
        clock: Callable[[], datetime],
        ids: Ids,
        journal: Journal | None = None,
        speed: float = 1.0,
        duplicate_answer: DuplicateAnswer = "first",
        slow_answer_s: float = SLOW_ANSWER_S,
    ) -> None:
        self.sender = sender
        self.applications = applications
        self._clock = clock
        self._ids = ids
        self._journal = journal
        self._duplicate_answer = duplicate_answer
        self._slow_answer_s = slow_answer_s
        self.legs = LiveLegs(
            sender=sender,
            applications=applications,
            clock=clock,
            ids=ids,
            journal=journal,
            speed=speed,
        )
        self._ledger = Ledger()
        self._faults = FaultInjector()
        self.effects = EffectLog()
        self.ignored: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def place_inbound(self, call: InboundCall) -> SimulatedLeg:
        """A call to one of the user's numbers. Raises CarrierError (10015, 90041)."""
        self._check_connection(call.connection_id)
        self.legs.check_capacity()
        tells_cost = self.applications.of_call(call.connection_id).call_cost_in_webhooks
        changes = machine.place_inbound(call, self._clock(), self._ids, tells_cost=tells_cost)
        self.legs.apply(changes)
        assert changes.leg is not None
        return changes.leg

    def command(self, operation: str, call_control_id: str | None, body: dict[str, Any]) -> Reply:
        """Perform a command, once for each command_id. Raises CarrierError."""
        try:
            return self._command(operation, call_control_id, body)
        except CarrierError as error:
            self.refused[error.code] += 1
            raise

    def conference(
        self, action: ConferenceAction, conference_id: str | None, body: dict[str, Any]
    ) -> Reply:
        """Create, join or leave a conference, once for each command_id. Raises CarrierError."""
        request = conference_request_from(body, action)
        leg = self.legs.get(request.call_control_id)
        attempt = _Attempt(
            operation=f"conference_{action}",
            scope=leg.call_control_id,
            command_id=request.command_id,
            at=self._clock(),
        )
        if (first := self._repeated(attempt)) is not None:
            return first
        changes = machine.handle_conference(
            action, conference_id, request, self.legs.by_id(), attempt.at, self._ids
        )
        assert changes.leg is not None
        data: dict[str, Any] = {"result": "ok"}
        if action == "create":
            assert changes.leg.seat is not None
            data = conference_resource(changes.leg, changes.leg.seat, attempt.at)
        reply = Reply(data=data)
        self._perform(attempt, changes, reply)
        return reply

    def press_keys(self, call_control_id: str, keys: str) -> None:
        """The party of a leg that is up enters keys, the first one at once. Raises CarrierError."""
        leg = self.legs.get(call_control_id)
        if leg.ended:
            raise call_errors.call_ended()
        if leg.unanswered:
            raise call_errors.call_not_answered()
        self.legs.fire(KeysPressed(call_control_id=call_control_id, keys=keys))

    def hang_up(self, call_control_id: str) -> None:
        """The party of a leg hangs up. Raises CarrierError.

        A caller may hang up before the answer, a called party may not.
        """
        leg = self.legs.get(call_control_id)
        if leg.ended:
            raise call_errors.call_ended()
        if leg.state is SimulatedLegState.BRIDGING:
            raise call_errors.call_not_answered()
        self.legs.fire(party_hangs_up(leg))

    def send_event(self, call_control_id: str, event_type: str, payload: Mapping[str, Any]) -> None:
        """Send an event of a leg, with these fields of its payload. Raises CarrierError.

        The leg does not change.
        """
        self.legs.fire(requested_event(event_type, payload, self.legs.get(call_control_id)))

    def open(self) -> None:
        """Call once, inside the event loop, before the first call.

        Legs of a killed process end now, with a hangup to the application.
        """
        self.sender.open()
        self.legs.end_lost()

    async def close(self, wait_s: float) -> None:
        """Cancel the timers, then wait at most `wait_s` for running deliveries."""
        self.legs.close()
        await self.sender.close(wait_s)
        if self._journal is not None:
            self._journal.close()

    def _command(self, operation: str, call_control_id: str | None, body: dict[str, Any]) -> Reply:
        leg = None if call_control_id is None else self.legs.get(call_control_id)
        parameters = dict(body)
        attempt = _Attempt(
            operation=operation,
            scope=DIALS if leg is None else leg.call_control_id,
            command_id=_pop_command_id(parameters) if takes_command_id(operation) else None,
            at=self._clock(),
        )
        if (first := self._repeated(attempt)) is not None:
            return first
        try:
            command = command_from(operation, parameters, call_control_id)
        except ParameterInvalid as error:
            raise parameter_errors.parameter_invalid(error) from None
        tells_cost = False
        if isinstance(command, Dial):
            self._check_connection(command.connection_id)
            self.legs.check_capacity()
            tells_cost = self.applications.of_call(command.connection_id).call_cost_in_webhooks
        fault = self._faults.fault_of_attempt(command, leg, attempt.command_id)
        changes = machine.handle_command(
            command,
            call_control_id,
            self.legs.by_id(),
            attempt.at,
            self._ids,
            tells_cost=tells_cost,
        )
        reply = Reply(data=_data_of(command, changes))
        self._perform(attempt, changes, reply)
        if fault is CommandFault.FAILS_AFTER:
            raise service_errors.unexpected_error()
        if fault is CommandFault.SLOW:
            return Reply(data=reply.data, after_s=self._slow_answer_s)
        return reply

    def _repeated(self, attempt: _Attempt) -> Reply | None:
        """The answer to a known command_id; None if it is new, or there is none."""
        if attempt.command_id is None:
            return None
        first: Reply | None = self._ledger.first_answer(
            attempt.scope, attempt.command_id, attempt.at
        )
        if first is None:
            return None
        self.ignored[attempt.operation] += 1
        match self._duplicate_answer:
            case "first":
                return first
            case "empty":
                return Reply(data={"result": "ok"})
            case "error":
                raise service_errors.duplicate_command()

    def _perform(self, attempt: _Attempt, changes: Changes, reply: Reply) -> None:
        """Apply the changes, count the effect, and remember the answer."""
        self.legs.apply(changes)
        assert changes.leg is not None
        effect = Effect(
            at=attempt.at,
            operation=attempt.operation,
            call_control_id=changes.leg.call_control_id,
            call_session_id=changes.leg.call_session_id,
            command_id=attempt.command_id,
            repeated=int(changes.repeated),
        )
        self.effects.add(attempt.scope, effect)
        if attempt.command_id is not None:
            self._ledger.remember(attempt.scope, attempt.command_id, reply, attempt.at)

    def _check_connection(self, connection_id: str) -> None:
        if not self.applications.takes_calls(connection_id):
            raise call_errors.connection_unknown()


def _data_of(command: Command, changes: Changes) -> dict[str, Any]:
    """The `data` of the answer: the new leg's ids for a dial, else a result."""
    assert changes.leg is not None
    if not isinstance(command, Dial):
        return {"result": "ok", **changes.answer}
    data = {
        "call_control_id": changes.leg.call_control_id,
        "call_leg_id": changes.leg.call_leg_id,
        "call_session_id": changes.leg.call_session_id,
        "is_alive": False,  # as documented: dialling has only begun
        "record_type": "call",
        **changes.answer,
    }
    if changes.leg.client_state is not None:
        data["client_state"] = changes.leg.client_state
    return data


def _pop_command_id(parameters: dict[str, Any]) -> str | None:
    """Remove the command_id from a body: it identifies the request, and is not a parameter."""
    command_id = parameters.pop("command_id", None)
    if command_id is None or isinstance(command_id, str):
        return command_id or None  # clients that send an empty one would share it
    raise parameter_errors.parameter_invalid(
        ParameterInvalid("any", "command_id", command_id, "expected a text, got something else")
    )
