"""The exchange: the calls that are up. It applies steps, keeps their timers and sends webhooks.

What a step *is*, is decided in `call.machine`; here are the state and the clock. A request passes,
in this order: its call is known, its command_id is new, its parameters are allowed, the called
number makes no trouble, the leg's state allows it. Only then is it performed, counted and
remembered.
"""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal

from offhook.commands import Command, Dial
from offhook.errors import ParameterInvalid
from offhook.simulator.applications import Applications
from offhook.simulator.call import machine, requested_events
from offhook.simulator.call.answers import leg_shown
from offhook.simulator.call.endings import LOST
from offhook.simulator.call.features import conferences
from offhook.simulator.call.features.conferences import ConferenceAction
from offhook.simulator.call.legs import InboundCall, Leg
from offhook.simulator.call.numbers import Trouble
from offhook.simulator.call.steps import EventDue, Happening, KeysPressed, LegEnds, Step
from offhook.simulator.errors import call_errors, parameter_errors, request_errors, service_errors
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.faults import Troubles
from offhook.simulator.journal import Journal
from offhook.simulator.ledger import DIALS, Effect, EffectBook, Ledger, effect_shown
from offhook.simulator.lookback import CallEvent, call_events, delivery_shown, webhook_deliveries
from offhook.simulator.webhooks.delivery import Delivery, Record, record_shown, totals_shown
from offhook.telnyx.catalog import command_from, takes_command_id

LIVE_LEGS_MAX = 10_000
ENDED_LEGS_MAX = 100_000
READABLE_AFTER_END = timedelta(minutes=10)
SLOW_ANSWER_S = 2.5

DuplicateAnswer = Literal["first", "empty", "error"]
"""What a repeated command_id is answered with: the first answer again, `ok` without ids, a 4xx."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to a performed command. It is held back for `after_s` seconds of real time."""

    data: Mapping[str, Any]
    after_s: float = 0.0


class Exchange:
    """Runs inside one event loop. `speed` divides every second of the call, and nothing else."""

    def __init__(
        self,
        *,
        delivery: Delivery,
        applications: Applications,
        clock: Callable[[], datetime],
        identities: Random,
        journal: Journal | None = None,
        speed: float = 1.0,
        duplicate_answer: DuplicateAnswer = "first",
        slow_answer_s: float = SLOW_ANSWER_S,
    ) -> None:
        assert speed > 0, f"speed is {speed}"
        self._delivery = delivery
        self.applications = applications
        self._clock = clock
        self._identities = identities
        self._speed = speed
        self._journal = journal
        if journal is not None:
            delivery.settled = self._forget_ended
        self._duplicate_answer = duplicate_answer
        self._slow_answer_s = slow_answer_s
        self._legs: dict[str, Leg] = {}
        self._timers: dict[str, set[asyncio.TimerHandle]] = {}  # of the legs that are up
        self._late: set[asyncio.TimerHandle] = set()  # events that are told of ended legs too
        self._ended: deque[str] = deque()
        self._ledger = Ledger()
        self._book = EffectBook()
        self._troubles = Troubles()
        self._ignored: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._legs_forgotten = 0

    def call(self, call: InboundCall) -> Leg:
        """Somebody calls in. Raises CarrierError (10015 or 90041)."""
        self._check_connection(call.connection_id)
        self._check_capacity()
        tells_cost = self.applications.of_call(call.connection_id).call_cost_in_webhooks
        step = machine.ring(call, self._clock(), self._identities, tells_cost=tells_cost)
        self._apply(step)
        assert step.leg is not None
        return step.leg

    def command(self, operation: str, call_control_id: str | None, body: dict[str, Any]) -> Reply:
        """Perform a command, once for each command_id. Raises CarrierError."""
        try:
            return self._command(operation, call_control_id, body)
        except CarrierError as refused:
            self._refused[refused.code] += 1
            raise

    def conference(
        self, action: ConferenceAction, conference_id: str | None, body: dict[str, Any]
    ) -> Reply:
        """Create, join or leave a conference, once for each command_id. Raises CarrierError."""
        now, operation = self._clock(), f"conference_{action}"
        asked = conferences.asked_from(body, action)
        leg = self.leg(asked.call_control_id)
        scope, command_id = leg.call_control_id, asked.command_id
        if (first := self._repeated(scope, operation, command_id, now)) is not None:
            return first
        step = machine.confer(action, conference_id, asked, self._legs, now, self._identities)
        assert step.leg is not None
        data: dict[str, Any] = {"result": "ok"}
        if action == "create":
            assert step.leg.seat is not None
            data = conferences.conference_shown(step.leg, step.leg.seat, now)
        reply = Reply(data=data)
        self._perform(step, operation, scope, command_id, reply, now)
        return reply

    def press_keys(self, call_control_id: str, keys: str) -> None:
        """The party of a leg that is up types; the first key at once. Raises CarrierError."""
        leg = self.leg(call_control_id)
        if leg.ended:
            raise call_errors.call_ended()
        if leg.unanswered:
            raise call_errors.call_not_answered()
        self._happen(KeysPressed(call_control_id=call_control_id, keys=keys))

    def tell(self, call_control_id: str, event_type: str, payload: Mapping[str, Any]) -> None:
        """Send the application an event of a leg, with those fields of its payload.

        It changes no state of the leg: nothing but the webhook comes of it. Raises CarrierError.
        """
        self._happen(
            requested_events.requested_event(event_type, payload, self.leg(call_control_id))
        )

    def leg(self, call_control_id: str) -> Leg:
        """A leg that is up, or ended at most 10 minutes ago. Raises CarrierError (90015)."""
        leg = self._legs.get(call_control_id)
        if leg is None or (leg.ended_at and self._clock() - leg.ended_at > READABLE_AFTER_END):
            raise call_errors.call_unknown()
        return leg

    def active(self, connection_id: str) -> list[Leg]:
        """The legs of a connection that have not ended, oldest first; none if there is none."""
        legs = self._legs.values()
        return [leg for leg in legs if leg.connection_id == connection_id and not leg.ended]

    def call_events(self, query: Mapping[str, str]) -> list[CallEvent]:
        """What GET /call_events answers, before paging. Raises CarrierError."""
        effects = self._book.effects()
        return call_events(self._delivery.records(), effects, self._legs, query, self._clock())

    def webhook_deliveries(self, query: Mapping[str, str]) -> list[Record]:
        """What GET /webhook_deliveries answers, before paging. Raises CarrierError."""
        return webhook_deliveries(self._delivery.records(), query)

    def webhook_delivery(self, delivery_id: str) -> dict[str, Any]:
        """Raises CarrierError (404) if it is not known, or not over."""
        record = self._delivery.record(delivery_id)
        if record is None or record.delivered is None or not record.attempts:
            raise request_errors.not_found()
        return delivery_shown(record)

    def report(self) -> dict[str, Any]:
        """Everything that was performed, sent and left: what GET /simulator/effects answers."""
        records = self._delivery.records()
        totals = totals_shown(records)
        return {
            "effects": [effect_shown(effect) for effect in self._book.effects()],
            "totals": dict(self._book.totals),
            "doubled": [effect_shown(effect) for effect in self._book.doubled()],
            "ignored": dict(self._ignored),
            "refused": dict(self._refused),
            "webhooks": totals | {"pending": totals["pending"] + len(self._late)},
            "events": [record_shown(record) for record in records],
            "legs": [leg_shown(leg) for leg in self._legs.values()],
            "forgotten": {
                "effects": self._book.forgotten,
                "events": self._delivery.forgotten,
                "legs": self._legs_forgotten,
            },
        }

    def live_legs(self) -> int:
        return len(self._timers)

    def open(self) -> None:
        """Call once, inside the event loop, before the first call.

        Legs of a process that was here before end now; the application has their hangup.
        """
        self._delivery.open()
        for leg in self._journal.read("legs", Leg) if self._journal is not None else []:
            self._end_lost(leg)

    async def close(self, wait_s: float) -> None:
        """Stop the clockwork, then give the webhooks on their way so long to arrive."""
        for timer in itertools.chain(self._late, *self._timers.values()):
            timer.cancel()
        await self._delivery.close(wait_s)
        if self._journal is not None:
            self._journal.close()

    def _command(self, operation: str, call_control_id: str | None, body: dict[str, Any]) -> Reply:
        now = self._clock()
        leg = None if call_control_id is None else self.leg(call_control_id)
        scope = DIALS if leg is None else leg.call_control_id
        parameters = dict(body)
        command_id = _command_id_in(parameters) if takes_command_id(operation) else None
        if (first := self._repeated(scope, operation, command_id, now)) is not None:
            return first
        try:
            command = command_from(operation, parameters, call_control_id)
        except ParameterInvalid as error:
            raise parameter_errors.parameter_invalid(error) from None
        tells_cost = False
        if isinstance(command, Dial):
            self._check_connection(command.connection_id)
            self._check_capacity()
            tells_cost = self.applications.of_call(command.connection_id).call_cost_in_webhooks
        trouble = self._troubles.of(command, leg, command_id)
        step = machine.obey(
            command, call_control_id, self._legs, now, self._identities, tells_cost=tells_cost
        )
        reply = Reply(data=_data_of(command, step))
        self._perform(step, operation, scope, command_id, reply, now)
        if trouble is Trouble.FAILS_AFTER:
            raise service_errors.unexpected_error()
        if trouble is Trouble.SLOW:
            return Reply(data=reply.data, after_s=self._slow_answer_s)
        return reply

    def _repeated(
        self, scope: str, operation: str, command_id: str | None, now: datetime
    ) -> Reply | None:
        """The answer to a command_id that is known; None if it is new, or there is none."""
        if command_id is None:
            return None
        first = self._ledger.first_answer(scope, command_id, now)
        if first is None:
            return None
        self._ignored[operation] += 1
        return self._duplicate_reply(first)

    def _perform(
        self,
        step: Step,
        operation: str,
        scope: str,
        command_id: str | None,
        reply: Reply,
        now: datetime,
    ) -> None:
        """Apply a step, count it, and remember what is answered."""
        self._apply(step)
        self._enter(operation, scope, command_id, step, now)
        if command_id is not None:
            self._ledger.remember(scope, command_id, reply, now)

    def _duplicate_reply(self, first: Reply) -> Reply:
        match self._duplicate_answer:
            case "first":
                return first
            case "empty":
                return Reply(data={"result": "ok"})
            case "error":
                raise service_errors.duplicate_command()

    def _enter(
        self, operation: str, scope: str, command_id: str | None, step: Step, now: datetime
    ) -> None:
        assert step.leg is not None
        self._book.enter(
            scope,
            Effect(
                at=now,
                operation=operation,
                call_control_id=step.leg.call_control_id,
                call_session_id=step.leg.call_session_id,
                command_id=command_id,
                repeated=int(step.repeated),
            ),
        )

    def _apply(self, step: Step) -> None:
        for leg in step.legs:
            self._put(leg)
        for webhook in step.webhooks:
            self._delivery.send(webhook, self.applications.of_call(webhook.connection_id))
        for later in step.later:
            outlives = isinstance(later.happening, EventDue) and later.happening.outlives
            ours = self._timers.get(later.happening.call_control_id)
            timers = self._late if outlives else ours
            if timers is not None:
                self._wait(later.happening, later.after_s / self._speed, timers)

    def _wait(self, happening: Happening, delay_s: float, timers: set[asyncio.TimerHandle]) -> None:
        """Let it happen; until then it is one of `timers`."""

        def due() -> None:
            timers.discard(timer)
            self._happen(happening)

        timer = asyncio.get_running_loop().call_later(delay_s, due)
        timers.add(timer)

    def _happen(self, happening: Happening) -> None:
        self._apply(machine.happen(happening, self._legs, self._clock(), self._identities))

    def _end_lost(self, leg: Leg) -> None:
        ours = leg.call_control_id
        self._put(leg)
        if leg.ended:  # and its hangup was still on its way
            self._happen(
                EventDue(call_control_id=ours, event_type="call.hangup", more={}, outlives=True)
            )
            return
        only: Literal["unanswered", "answered"] = "unanswered" if leg.unanswered else "answered"
        self._happen(LegEnds(call_control_id=ours, ending=LOST, only=only))

    def _forget_ended(self, record: Record) -> None:
        webhook = record.webhook
        if self._journal is not None and webhook.event_type == "call.hangup":
            self._journal.forget("legs", webhook.call_control_id)

    def _put(self, leg: Leg) -> None:
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
            self._legs_forgotten += 1

    def _check_connection(self, connection_id: str) -> None:
        if not self.applications.takes_calls(connection_id):
            raise call_errors.connection_unknown()

    def _check_capacity(self) -> None:
        if len(self._timers) >= LIVE_LEGS_MAX:
            raise service_errors.channels_exhausted()


def _data_of(command: Command, step: Step) -> dict[str, Any]:
    """The `data` of the answer: a dial gives the new leg's ids, anything else a result."""
    assert step.leg is not None
    if not isinstance(command, Dial):
        return {"result": "ok", **step.answer}
    data = {
        "call_control_id": step.leg.call_control_id,
        "call_leg_id": step.leg.call_leg_id,
        "call_session_id": step.leg.call_session_id,
        "is_alive": False,  # dialling has only begun; so the documents
        "record_type": "call",
        **step.answer,
    }
    if step.leg.client_state is not None:
        data["client_state"] = step.leg.client_state
    return data


def _command_id_in(parameters: dict[str, Any]) -> str | None:
    """Take the command_id out of a body: it belongs to the sending, not to the command."""
    command_id = parameters.pop("command_id", None)
    if command_id is None or isinstance(command_id, str):
        return command_id or None  # an empty one would be shared by all who send it
    raise parameter_errors.parameter_invalid(
        ParameterInvalid("any", "command_id", command_id, "expected a text, got something else")
    )
