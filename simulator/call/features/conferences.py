"""Conferences: which legs are in which, and their events.

    created with its first leg ─▶ joined and left by others ─▶ ended with its last, or its host

A conference is the set of legs in it; each holds a `Seat`. It starts by POST /v2/conferences, or
by the `conference_config` of a dial that is answered. Of the carrier's operations there are create,
join and leave; of their parameters, the leg, the name, the state and who ends it have an effect.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from offhook.commands.parameters import Base64, Text1
from offhook.errors import ParameterInvalid
from offhook.simulator.call.activities import Seat
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.transition import Transition
from offhook.simulator.errors import call_errors, parameter_errors
from offhook.simulator.timestamps import iso_milliseconds

ConferenceAction = Literal["create", "join", "leave"]
EXPIRES_AFTER = timedelta(hours=4)


class ConferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a create, join or leave. Its other fields have no effect here."""

    call_control_id: Text1
    name: str = ""
    client_state: Base64 | None = None
    command_id: str | None = None
    end_conference_on_exit: bool = False


def conference_request_from(body: Mapping[str, Any], action: ConferenceAction) -> ConferenceRequest:
    """The body of a request. Raises CarrierError (422) for a missing or wrong field."""
    required = ("call_control_id", "name") if action == "create" else ("call_control_id",)
    for name in required:
        if not body.get(name):
            missing = ParameterInvalid("conference", name, None, "it is required")
            raise parameter_errors.parameter_invalid(missing)
    try:
        return msgspec.convert(body, ConferenceRequest)
    except msgspec.ValidationError as error:
        raise call_errors.not_possible(str(error)) from None


def conference_resource(leg: SimulatedLeg, seat: Seat, now: datetime) -> dict[str, Any]:
    """A conference as the answer to its creation has it."""
    return {
        "id": seat.conference_id,
        "record_type": "conference",
        "name": seat.name,
        "connection_id": leg.connection_id,
        "created_at": iso_milliseconds(now),
        "updated_at": iso_milliseconds(now),
        "expires_at": iso_milliseconds(now + EXPIRES_AFTER),
        "status": "init",
    }


def create(transition: Transition, leg: SimulatedLeg, name: str) -> Seat:
    """A new conference with this leg in it."""
    seat = Seat(
        conference_id=transition.ids.uuid(), name=name, creator_session_id=leg.call_session_id
    )
    leg = leave(transition, leg)
    transition.emit("conference.created", leg, conference_id=seat.conference_id)
    _add(transition, leg, seat)
    return seat


def join(transition: Transition, leg: SimulatedLeg, conference_id: str, *, ends_it: bool) -> Seat:
    """Join a conference, and leave the one before. Raises CarrierError (90058, 90044)."""
    others = participants_of(transition, conference_id)
    if not others or (first := others[0].seat) is None:
        raise call_errors.conference_unknown()
    if leg.seat is not None and leg.seat.conference_id == conference_id:
        raise call_errors.conference_joined_already()
    seat = replace(first, ends_it=ends_it)
    _add(transition, leave(transition, leg), seat)
    return seat


def join_as_configured(
    transition: Transition, leg: SimulatedLeg, config: Mapping[str, Any] | None
) -> None:
    """Join the conference with the id or name in `conference_config`, else create one."""
    if config is None:
        return
    name, ends_it = config.get("conference_name"), bool(config.get("end_conference_on_exit"))
    for other in transition.live_legs():
        seat = other.seat
        if seat and (config.get("id") == seat.conference_id or (name and name == seat.name)):
            join(transition, leg, seat.conference_id, ends_it=ends_it)
            return
    create(transition, leg, name or "")


def leave(transition: Transition, leg: SimulatedLeg) -> SimulatedLeg:
    """Leave the conference, if the leg is in one; it ends with its host or its last leg."""
    if (seat := leg.seat) is None:
        return leg
    leg = transition.put(replace(leg, seat=None))
    transition.emit("conference.participant.left", leg, conference_id=seat.conference_id)
    others = participants_of(transition, seat.conference_id)
    if others and not seat.ends_it:
        return leg
    for other in others:
        gone = transition.put(replace(other, seat=None))
        transition.emit("conference.participant.left", gone, conference_id=seat.conference_id)
    reason = "host_left" if seat.ends_it else "all_left"
    transition.emit("conference.ended", leg, conference_id=seat.conference_id, reason=reason)
    return leg


def participants_of(transition: Transition, conference_id: str) -> list[SimulatedLeg]:
    """The legs in a conference; empty if there is no such conference."""
    return [
        leg
        for leg in transition.live_legs()
        if leg.seat is not None and leg.seat.conference_id == conference_id
    ]


def _add(transition: Transition, leg: SimulatedLeg, seat: Seat) -> None:
    leg = transition.put(replace(leg, seat=seat))
    transition.emit("conference.participant.joined", leg, conference_id=seat.conference_id)
