"""Any event of the carrier's, told because a control asks for it: holds, floors, insights …

A flow can so be tried against what nothing here would ever cause. It is only told: no leg changes,
and what the other events say stays as it is. What makes a call, answers, joins and ends it is
refused: a flow would see a call that is none.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.carrier_events import BY_TYPE, CarrierEvent
from offhook.simulator.call import refusals
from offhook.simulator.call.legs import Leg
from offhook.simulator.call.steps import EventDue

_CAUSED_BY = {
    "call.initiated": "POST /simulator/calls, or a dial",
    "call.answered": "an answer, or a dial to a number that answers",
    "call.bridged": "a bridge, or a transfer to a number that answers",
    "call.hangup": "a hangup, or a dial to a number that refuses",
}

_NOT_OF_THE_PAYLOAD = ("event_type", "event_id", "occurred_at", "payload")


def told(event_type: str, given: Mapping[str, Any], leg: Leg) -> EventDue:
    """The event, of a leg that may have ended: much is told after the hangup.

    `given` are fields of its payload, which count before those that the leg gives it. Raises
    Refused.
    """
    if event_type in _CAUSED_BY:
        raise refusals.event_acted_out(event_type, _CAUSED_BY[event_type])
    if event_type not in BY_TYPE:
        raise refusals.event_unknown(event_type)
    fields = _fields_of(BY_TYPE[event_type])
    for name, value in given.items():
        if name not in fields:
            raise refusals.event_field_unknown(event_type, name, value, sorted(fields))
        try:
            msgspec.convert(value, fields[name])
        except msgspec.ValidationError as error:
            raise refusals.event_field_invalid(event_type, name, value, str(error)) from None
    return EventDue(
        call_control_id=leg.call_control_id,
        event_type=event_type,
        more={**_of_conference(leg, fields), **given},
        outlives=True,
    )


def _fields_of(kind: type[CarrierEvent]) -> dict[str, Any]:
    """The type of each field of the payload, by the carrier's name."""
    return {
        item.name.rstrip("_"): item.type
        for item in dataclasses.fields(kind)
        if item.name not in _NOT_OF_THE_PAYLOAD
    }


def _of_conference(leg: Leg, fields: Mapping[str, Any]) -> dict[str, str]:
    """The conference that the leg is in; of none, the leg's session would be the creator's."""
    known = {"creator_call_session_id": leg.call_session_id}
    if leg.seat is not None:
        known = {
            "conference_id": leg.seat.conference_id,
            "creator_call_session_id": leg.seat.creator_session_id,
        }
    return {name: value for name, value in known.items() if name in fields}
