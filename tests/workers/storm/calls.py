"""The calls of a storm: webhooks, requests of applications, and the flow that decides on them."""

import asyncio
import itertools
from random import Random

from offhook.carrier_events import CallAnswered, CallHangup, CallInitiated
from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.commands import Answer, Dial, Hangup, Speak, Transfer
from offhook.events import CommandFailed, CommandRequested, Event, IssuedCommand, TimerFired
from offhook.flow import Flow, Order
from offhook.session import Session
from offhook.session.timers import SetTimer
from tests.workers.storm.log import StormLog

OURS, THEIRS = "+12025550100", "+12025550123"
FIRST_WITHIN_S = 25.0
SPEAK = {"payload": "x", "voice": "female"}
DIAL = {"to": THEIRS, "from": OURS, "connection_id": "1"}
REQUESTS = {
    "speak": SPEAK,
    "dial": DIAL,
    "transfer": {"to": THEIRS},
    "hangup": {},
    "siprec_start": {},  # takes no command_id: a second one is a second effect
}
ASKED = ("speak", "dial", "dial", "hangup", "hangup", "transfer", "siprec_start")


def leg_of(session_id: str) -> str:
    return f"v3:{session_id}"


def session_of(leg: str) -> str:
    return leg.removeprefix("v3:")


def decide(event: Event, session: Session) -> list[Order]:
    """What happens at the answer depends on the last digit of the session."""
    speak = Speak(payload="x", voice="female")
    match event:
        case CallInitiated(direction="incoming"):
            return [Answer()]
        case CallAnswered():
            return _at_the_answer(event)
        case TimerFired():
            return [speak]
        case CommandFailed(operation="transfer" | "dial") if session.legs:
            return [Hangup(call_control_id=next(iter(session.legs)))]
    return []


def _at_the_answer(event: CallAnswered) -> list[Order]:
    speak = Speak(payload="x", voice="female")
    dial = Dial(to=THEIRS, from_=OURS, connection_id="1", link_to=event.call_control_id)
    match int(event.event_id[-1]):
        case 0 | 1:
            return [speak, Transfer(to=THEIRS)]
        case 2 | 3:
            return [dial, speak]
        case 4 | 5:
            return [speak, SetTimer(name="t", after_s=3.0)]
        case 6:
            return [SetTimer(name="t", after_s=2.0)]
    return [Hangup()]


storm_flow = Flow(name="storm", version="1", decide=decide)


class StormCalls:
    """Places calls, as ingress and API would."""

    def __init__(self, log: StormLog, dice: Random) -> None:
        self._log = log
        self._dice = dice
        self._numbers = itertools.count(1)

    async def place(self, session_id: str) -> None:
        """One call, to the last request for it."""
        dice, leg = self._dice, leg_of(session_id)
        await asyncio.sleep(dice.uniform(0, FIRST_WITHIN_S))
        if dice.random() < 0.5:
            await self._webhook(
                CallInitiated(
                    event_id=f"i-{session_id}",
                    call_control_id=leg,
                    call_session_id=session_id,
                    direction="incoming",
                    to=OURS,
                )
            )
        await asyncio.sleep(dice.expovariate(2))
        await self._webhook(
            CallAnswered(
                event_id=f"a-{session_id}", call_control_id=leg, call_session_id=session_id
            )
        )
        for _ in range(dice.choice([0, 1, 1, 2, 4])):
            await asyncio.sleep(dice.expovariate(1 / dice.choice([0.05, 2, 8])))
            await self._request(session_id, dice.choice(ASKED))

    async def hang_up(self, leg: str) -> None:
        """The webhook of a hangup, some time after it."""
        session_id = session_of(leg)
        await asyncio.sleep(self._dice.expovariate(2))
        await self._webhook(
            CallHangup(event_id=f"h-{session_id}", call_control_id=leg, call_session_id=session_id)
        )

    async def _webhook(self, event: CallInitiated | CallAnswered | CallHangup) -> None:
        encoded = encoded_webhook(wire_body(event), event.event_id)
        await self._log.append(event.call_session_id or "", "in", encoded)

    async def _request(self, session_id: str, operation: str) -> None:
        command = IssuedCommand(
            command_id=f"api-{operation}-{next(self._numbers)}",
            operation=operation,
            call_control_id=None if operation == "dial" else leg_of(session_id),
            parameters=dict(REQUESTS[operation]),
        )
        await self._log.append(
            session_id, "in", encode(CommandRequested(command=command), session_id)
        )
