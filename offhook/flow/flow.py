"""A flow: a plain function from an event and its session to orders. Pure.

    def decide(event: Event, session: Session) -> list[Order]: ...
    frontdesk = Flow(name="frontdesk", version="2026-11-22", decide=decide)

`session` is the fold up to and including the event, so a replay decides the same.
"""

import hashlib
import inspect
import uuid
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from offhook.commands import Command, LegCommand
from offhook.errors import shown
from offhook.events import CallInitiated, CommandFailed, Event, TimerFired
from offhook.phone_numbers import number_key
from offhook.session import Session
from offhook.session.folding import altered
from offhook.session.inserted import UNWANTED_LEG
from offhook.session.timers import CancelTimer, SetTimer

Order = Command | SetTimer | CancelTimer
"""What a flow may return: a command for the carrier, or a timer of its own."""

FLOWS_MAX = 1024
"""Flows whose numbers are kept in the form in which they are compared."""

Decide = Callable[[Event, Session], Sequence[Order]]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Name and version are in every Decided. Without ids and numbers a flow takes any call."""

    name: str
    version: str
    decide: Decide
    connection_ids: frozenset[str] = frozenset()  # calls of these applications
    numbers: frozenset[str] = frozenset()  # incoming calls to these numbers, in any spelling

    def __post_init__(self) -> None:
        """Raises TypeError: a Decided whose version is not text could never be read again.

        A `decide` that cannot be called is refused here too, not at the first call.
        """
        kinds = {"name": str, "version": str, "connection_ids": Set, "numbers": Set}
        for name, kind in kinds.items():
            if not isinstance(value := getattr(self, name), kind):
                expected = "text" if kind is str else "a frozenset"
                raise TypeError(f"Flow: {name} is {shown(value)}; expected {expected}")
        if (fault := _fault_of(self.decide)) is not None:
            raise TypeError(
                f"Flow: decide {fault}; expected a plain function decide(event, session)"
            )


def _fault_of(decide: object) -> str | None:
    """Why no flow can decide by it; None if one can."""
    if not callable(decide):
        return f"is {shown(decide)}"
    if inspect.iscoroutinefunction(decide) or inspect.isasyncgenfunction(decide):
        return "is async"
    try:
        signature = inspect.signature(decide)
    except ValueError:
        return None  # of some built-in functions there is none
    try:
        signature.bind(None, None)
    except TypeError:
        return f"takes {signature}"
    return None


NO_FLOW = Flow(name="none", version="1", decide=lambda event, session: [])
"""Decides nothing: calls are recorded, and commanded through the API alone."""

API_FLOW = Flow(name="api", version="1", decide=lambda event, session: [])
"""The flow in a Decided on a command that an application requested."""

PARKED = Flow(name="parked-policy", version="1", decide=lambda event, session: [])
"""The flow in a Decided that OFFHOOK_PARKED made for the callers of a parked session."""

ARCHIVED = Flow(name="archived", version="1", decide=lambda event, session: [])
"""The flow in a Decided on a record of a session whose history has left the log."""

UNWANTED = Flow(name=UNWANTED_LEG, version="1", decide=lambda event, session: [])
"""The flow in a Decided on the failure of a hangup that Offhook added to a flow's decision."""

WITHOUT_FLOW = frozenset(flow.name for flow in (NO_FLOW, API_FLOW, PARKED, ARCHIVED, UNWANTED))
"""What a Decided has in place of a flow's name where no flow was asked. No flow may have one."""


def flow_for(flows: Sequence[Flow], event: Event, session: Session) -> Flow:
    """The first flow that asks for the called number, else for the connection, else for any call.

    A failed command goes back to the flow that gave it, a timer to the one that set it; those that
    Offhook gave and set by itself go to none (`PARKED`, `UNWANTED`). A leg that was dialled or
    transferred to belongs to the call that came in, if the session has one: it has no called number
    of its own.
    """
    given_by = _given_by(event, session)
    for own in (PARKED, UNWANTED):
        if given_by == own.name:
            return own
    by_name = (flow for flow in flows if flow.name == given_by)
    for_any = (flow for flow in flows if not flow.numbers and not flow.connection_ids)
    if not any(flow.numbers or flow.connection_ids for flow in flows):
        return next(by_name, None) or next(for_any, NO_FLOW)
    leg = session.leg(event.call_control_id)
    incoming = [other for other in session.legs.values() if other.direction == "incoming"]
    called = [leg] if leg is not None and leg.direction == "incoming" else incoming
    numbers = {number_key(other.to) for other in called if other.to is not None}
    connection_ids = {other.connection_id for other in ([leg] if leg is not None else incoming)}
    by_number = (flow for flow in flows if numbers & _keys_of(frozenset(flow.numbers)))
    by_connection = (flow for flow in flows if connection_ids & flow.connection_ids)
    for candidates in (by_name, by_number, by_connection, for_any):
        if (flow := next(candidates, None)) is not None:
            return flow
    return NO_FLOW


def unmatched(flows: Sequence[Flow], event: Event) -> str:
    """The warning if no flow takes the event's call; empty unless it is a new incoming call.

    Without any flow there is none: calls are commanded through the API.
    """
    if not flows or not isinstance(event, CallInitiated) or event.direction != "incoming":
        return ""
    return (
        f"no flow takes this call: to is {shown(event.to)} and connection_id is "
        f"{shown(event.connection_id)}; add one of them to a flow, or load a flow without numbers "
        "and connection_ids"
    )


@lru_cache(maxsize=FLOWS_MAX)
def _keys_of(numbers: frozenset[str]) -> frozenset[str]:
    return frozenset(map(number_key, numbers))


def _given_by(event: Event, session: Session) -> str | None:
    """The name of the flow that caused the event; None if it comes from outside."""
    match event:
        case CommandFailed(command_id=command_id):
            failed = session.commands.get(command_id)
            return None if failed is None else failed.flow
        case TimerFired(timer_id=timer_id):
            fired = session.timer_states.get(timer_id)
            return None if fired is None else fired.flow
        case _:
            return None


AnyOrder = TypeVar("AnyOrder", bound=Order)


def addressed(order: AnyOrder, event: Event) -> AnyOrder:
    """A command with its leg filled in: the event's own if the flow named none."""
    if isinstance(order, LegCommand) and order.call_control_id is None:
        # No rule of a command is about its leg, so none is checked again.
        return altered(order, call_control_id=event.call_control_id)
    return order


_COMMAND_IDS = uuid.UUID("6f66c8f1-2f9e-5d0c-9a53-6f66686f6f6b").bytes


def command_id_for(session_id: str, cause_seq: int, ordinal: int) -> str:
    """The same id for the same decision, whoever makes it, however often."""
    name = f"{session_id}/{cause_seq}/{ordinal}"
    digest = bytearray(hashlib.sha1(_COMMAND_IDS + name.encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x50  # uuid.uuid5 at a fifth of its cost: RFC 9562, section 5.5
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest[:16].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
