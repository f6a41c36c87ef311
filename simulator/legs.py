"""A leg of a call, and what one step of the state machine changes. Values only."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal
from uuid import UUID

Direction = Literal["incoming", "outgoing"]

# Defaults of dial and transfer (team-telnyx/openapi spec3.yml).
TIMEOUT_S = 30
TIME_LIMIT_S = 14_400


class LegState(enum.StrEnum):
    """The picture is in `simulator.behaviour`; `parked` and `bridging` are the carrier's words."""

    PARKED = "parked"
    BRIDGING = "bridging"
    ANSWERED = "answered"
    BRIDGED = "bridged"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why a leg ended, in the carrier's words; `sip` is a SIP code or `unspecified`."""

    cause: str
    source: Literal["caller", "callee", "unknown"]
    sip: str


Method = Literal["POST", "GET"]


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Where a leg wants its webhooks and how often they are tried, if not as its application."""

    url: str | None = None
    method: Method = "POST"
    urls: Mapping[str, str | list[str]] = field(default_factory=dict)  # by event type
    urls_method: Method = "POST"
    retries_ms: Mapping[str, Sequence[int]] = field(default_factory=dict)  # by event type


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One party's line. Every id and number is as the webhooks show it."""

    call_control_id: str
    call_leg_id: str
    call_session_id: str
    connection_id: str
    direction: Direction
    from_: str
    to: str
    state: LegState
    started_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    ending: Ending | None = None
    client_state: str | None = None
    hooks: Hooks = field(default_factory=Hooks)
    tells_cost: bool = False

    time_limit_s: float = TIME_LIMIT_S  # counted from the answer
    talk_s: float | None = None  # the party hangs up so long after the answer
    bridged_with: str | None = None
    parks: bool = False  # stays up when its bridge ends
    bridges_on_answer: str | None = None
    prevents_double_bridge: bool = False
    transfer_leg: str | None = None  # the newest leg that a transfer of this one placed
    referred_to: str | None = None

    @property
    def unanswered(self) -> bool:
        return self.state in (LegState.PARKED, LegState.BRIDGING)

    @property
    def ended(self) -> bool:
        return self.state is LegState.ENDED

    @property
    def near_side(self) -> Literal["caller", "callee"]:
        """Which party of this leg the application is."""
        return "callee" if self.direction == "incoming" else "caller"

    @property
    def far_side(self) -> Literal["caller", "callee"]:
        """Which party of this leg the other person is."""
        return "caller" if self.direction == "incoming" else "callee"


@dataclass(frozen=True, kw_only=True)
class InboundCall:
    """Somebody calls one of the user's numbers.

    The caller gives up after `patience_s` if nobody answers, and hangs up after `hangup_after_s`
    of talk. Both are seconds of the call.
    """

    from_: str
    to: str
    connection_id: str
    patience_s: float = 30.0
    hangup_after_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class PartyAnswers:
    """The called party picks up."""

    call_control_id: str


@dataclass(frozen=True, kw_only=True)
class LegEnds:
    """The leg ends by itself, if it still is in the half of its life that `only` names."""

    call_control_id: str
    ending: Ending
    only: Literal["unanswered", "answered"]


@dataclass(frozen=True, kw_only=True)
class ReferSettles:
    """The referred party's final SIP response arrives."""

    call_control_id: str
    sip_response: int


Happening = PartyAnswers | LegEnds | ReferSettles


@dataclass(frozen=True, kw_only=True)
class Later:
    """A happening, so many seconds of the call from now."""

    after_s: float
    happening: Happening


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """One event. `urls` are where the leg wants it; none means the application's address.

    `retries_ms` are the pauses between the tries, if the leg has its own.
    """

    id: str
    event_type: str
    occurred_at: datetime
    payload: Mapping[str, Any]
    urls: tuple[str, ...] = ()
    method: Method = "POST"
    retries_ms: tuple[int, ...] | None = None

    @property
    def call_control_id(self) -> str:
        return str(self.payload["call_control_id"])

    @property
    def call_session_id(self) -> str:
        return str(self.payload["call_session_id"])


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one command or happening changed.

    `leg` is the one concerned (the new one for a dial), as it was left; None if nothing happened.
    `repeated` tells that it had been done to this leg before: harmless or not, it was asked twice.
    """

    leg: Leg | None
    legs: tuple[Leg, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    later: tuple[Later, ...] = ()
    repeated: bool = False


def stamp(at: datetime) -> str:
    """Six digits and Z, as in every captured webhook."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def uuid_from(identities: Random) -> str:
    """A fresh UUID."""
    return str(UUID(int=identities.getrandbits(128), version=4))
