"""Any event of the carrier, sent because a control asks for it: holds, floors, insights …

A flow can be tried against events that nothing here causes. Only the webhook is sent: no leg
changes, and other events say what they said before. Events that make, answer, bridge or end a call
are refused: the flow would see a call that does not exist.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.carrier_events import BY_TYPE, payload_fields
from offhook.errors import shown
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.triggers import EventDue
from offhook.simulator.errors.carrier_error import CarrierError

_CAUSED_BY = {
    "call.initiated": "POST /simulator/calls, or a dial",
    "call.answered": "an answer, or a dial to a number that answers",
    "call.bridged": "a bridge, or a transfer to a number that answers",
    "call.hangup": "a hangup, or a dial to a number that refuses",
}


def requested_event(event_type: str, given: Mapping[str, Any], leg: SimulatedLeg) -> EventDue:
    """The event, of a leg that may have ended: many events come after the hangup.

    `given` are fields of its payload; they override those that the leg fills in. Raises
    CarrierError (422) for an event that the simulator causes by itself, an unknown one, and a
    field that the event does not have or that has the wrong type.
    """
    if event_type in _CAUSED_BY:
        raise _not_on_request(event_type)
    if event_type not in BY_TYPE:
        raise _unknown(event_type)
    fields = payload_fields(BY_TYPE[event_type])
    for name, value in given.items():
        if name not in fields:
            raise _field_unknown(event_type, name, value, sorted(fields))
        try:
            msgspec.convert(value, fields[name].type)
        except msgspec.ValidationError as error:
            raise _field_invalid(event_type, name, value, str(error)) from None
    return EventDue(
        call_control_id=leg.call_control_id,
        event_type=event_type,
        more={**_conference_fields(leg, fields), **given},
        outlives=True,
    )


def _conference_fields(leg: SimulatedLeg, fields: Mapping[str, Any]) -> dict[str, str]:
    """The leg's conference and its creator; a leg in no conference counts as its creator."""
    known = {"creator_call_session_id": leg.call_session_id}
    if leg.seat is not None:
        known = {
            "conference_id": leg.seat.conference_id,
            "creator_call_session_id": leg.seat.creator_session_id,
        }
    return {name: value for name, value in known.items() if name in fields}


def _not_on_request(event_type: str) -> CarrierError:
    return CarrierError(
        422,
        "10027",
        "Unprocessable Entity",
        f"{event_type} cannot be requested: it is sent when it happens. To cause it, use "
        f"{_CAUSED_BY[event_type]}.",
        pointer="/event_type",
    )


def _unknown(event_type: str) -> CarrierError:
    return CarrierError(
        422,
        "10032",
        "Invalid enumerated value",
        f"{shown(event_type)} is not a known event type; docs/events.md lists them.",
        pointer="/event_type",
    )


def _field_unknown(event_type: str, name: str, value: object, known: list[str]) -> CarrierError:
    return CarrierError(
        422,
        "10015",
        "Bad Request",
        f"{event_type} has no field {shown(name)}, given as {shown(value)}; "
        f"it has {', '.join(known)}.",
        pointer=_pointer(name),
    )


def _field_invalid(event_type: str, name: str, value: object, rule: str) -> CarrierError:
    return CarrierError(
        422,
        "10026",
        "Invalid parameter type",
        f"{name} of {event_type} is {shown(value)}: {rule}.",
        pointer=_pointer(name),
    )


def _pointer(name: str) -> str:
    """The JSON pointer to a field of the payload."""
    return f"/payload/{name.replace('~', '~0').replace('/', '~1')}"
