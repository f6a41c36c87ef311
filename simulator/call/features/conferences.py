"""Conferences: who sits in which, as far as their events go.

    created with its first leg ─▶ joined and left by others ─▶ ended with its last, or its host

A conference is the legs that sit in it. It begins by POST /v2/conferences or by the
`conference_config` of a dial that is answered. Of the resource there are create, join and leave
only; of their parameters the leg, the name, the state and who ends it are acted on.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from offhook.commands.parameters import Base64, Text1
from offhook.errors import ParameterInvalid
from offhook.simulator.call.activities import Seat
from offhook.simulator.call.answers import milliseconds
from offhook.simulator.call.legs import Leg
from offhook.simulator.call.transition import Turn
from offhook.simulator.errors import call_errors, parameter_errors

ConferenceAction = Literal["create", "join", "leave"]
EXPIRES_AFTER = timedelta(hours=4)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a create, join or leave; the rest of it changes nothing here."""

    call_control_id: Text1
    name: str = ""
    client_state: Base64 | None = None
    command_id: str | None = None
    end_conference_on_exit: bool = False


def asked_from(body: Mapping[str, Any], action: ConferenceAction) -> Asked:
    """Raises CarrierError."""
    required = ("call_control_id", "name") if action == "create" else ("call_control_id",)
    for name in required:
        if not body.get(name):
            missing = ParameterInvalid("conference", name, None, "it is required")
            raise parameter_errors.parameter_invalid(missing)
    try:
        return msgspec.convert(body, Asked)
    except msgspec.ValidationError as error:
        raise call_errors.not_possible(str(error)) from None


def conference_shown(leg: Leg, seat: Seat, now: datetime) -> dict[str, Any]:
    """A conference as the answer to its creation shows it."""
    return {
        "id": seat.conference_id,
        "record_type": "conference",
        "name": seat.name,
        "connection_id": leg.connection_id,
        "created_at": milliseconds(now),
        "updated_at": milliseconds(now),
        "expires_at": milliseconds(now + EXPIRES_AFTER),
        "status": "init",
    }


def create(turn: Turn, leg: Leg, name: str) -> Seat:
    """A new conference with this leg in it."""
    seat = Seat(conference_id=turn.new_id(), name=name, creator_session_id=leg.call_session_id)
    leg = leave(turn, leg)
    turn.tell("conference.created", leg, conference_id=seat.conference_id)
    _sit(turn, leg, seat)
    return seat


def join(turn: Turn, leg: Leg, conference_id: str, *, ends_it: bool) -> Seat:
    """Raises CarrierError: 404 for a conference that is not there, 90044 for joining it twice."""
    others = seated_in(turn, conference_id)
    if not others or (first := others[0].seat) is None:
        raise call_errors.conference_unknown()
    if leg.seat is not None and leg.seat.conference_id == conference_id:
        raise call_errors.conference_joined_already()
    seat = replace(first, ends_it=ends_it)
    _sit(turn, leave(turn, leg), seat)
    return seat


def join_as_configured(turn: Turn, leg: Leg, config: Mapping[str, Any] | None) -> None:
    """What `conference_config` asks for: the conference with its id or name, else a new one."""
    if config is None:
        return
    name, ends_it = config.get("conference_name"), bool(config.get("end_conference_on_exit"))
    for other in turn.live_legs():
        seat = other.seat
        if seat and (config.get("id") == seat.conference_id or (name and name == seat.name)):
            join(turn, leg, seat.conference_id, ends_it=ends_it)
            return
    create(turn, leg, name or "")


def leave(turn: Turn, leg: Leg) -> Leg:
    """Stand up, if the leg sits anywhere; with the host or the last one the conference ends."""
    if (seat := leg.seat) is None:
        return leg
    leg = turn.put(replace(leg, seat=None))
    turn.tell("conference.participant.left", leg, conference_id=seat.conference_id)
    others = seated_in(turn, seat.conference_id)
    if others and not seat.ends_it:
        return leg
    for other in others:
        stood = turn.put(replace(other, seat=None))
        turn.tell("conference.participant.left", stood, conference_id=seat.conference_id)
    reason = "host_left" if seat.ends_it else "all_left"
    turn.tell("conference.ended", leg, conference_id=seat.conference_id, reason=reason)
    return leg


def seated_in(turn: Turn, conference_id: str) -> list[Leg]:
    return [
        leg
        for leg in turn.live_legs()
        if leg.seat is not None and leg.seat.conference_id == conference_id
    ]


def _sit(turn: Turn, leg: Leg, seat: Seat) -> None:
    leg = turn.put(replace(leg, seat=seat))
    turn.tell("conference.participant.joined", leg, conference_id=seat.conference_id)
