"""A leg of a call: values only."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Literal
from uuid import UUID

from offhook.simulator.call.activities import (
    Conversation,
    Gathering,
    OnAnswer,
    Recording,
    Seat,
    Sound,
    Waiting,
)
from offhook.telnyx.defaults import DEFAULTS

Direction = Literal["incoming", "outgoing"]

# Dial and transfer have the same.
TIMEOUT_S: int = DEFAULTS["dial"]["timeout_secs"]
TIME_LIMIT_S: int = DEFAULTS["dial"]["time_limit_secs"]


class LegState(enum.StrEnum):
    """The picture is in `call.machine`; the carrier says `parked` and `bridging`."""

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
    keys: tuple[str, ...] = ()  # what the party keys in when asked; the last one again and again
    bridged_with: str | None = None
    parks: bool = False  # stays up when its bridge ends
    parks_other: bool = False  # so does the leg that it is bridged with when it answers
    bridges_on_answer: str | None = None
    prevents_double_bridge: bool = False
    transfer_leg: str | None = None  # the newest leg that a transfer of this one placed
    placed_after: str | None = None  # the leg that the transfer before this one's placed
    referred_to: str | None = None
    supervises: str | None = None

    on_answer: OnAnswer = field(default_factory=OnAnswer)
    sounds: tuple[Sound, ...] = ()  # those begun are heard
    gathering: Gathering | None = None
    gathers: int = 0  # how many there were
    prompts: int = 0  # how often keys were asked for: each try of each gather
    recordings: tuple[Recording, ...] = ()
    waiting: Waiting | None = None
    streams: Mapping[str, str] = field(default_factory=dict)  # stream id -> URL
    forked: bool = False
    siprec: bool = False
    transcribed: bool = False
    conversation: Conversation | None = None
    seat: Seat | None = None

    @property
    def unanswered(self) -> bool:
        return self.state in (LegState.PARKED, LegState.BRIDGING)

    @property
    def ended(self) -> bool:
        return self.state is LegState.ENDED

    @property
    def party(self) -> str:
        """The number or SIP URI of the other person."""
        return self.from_ if self.direction == "incoming" else self.to

    @property
    def calling_party_type(self) -> Literal["pstn", "sip"]:
        return "sip" if self.from_.startswith("sip") else "pstn"

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
    of talk. Both are seconds of the call. `keys` are what it keys in when asked, first to last.
    """

    from_: str
    to: str
    connection_id: str
    patience_s: float = 30.0
    hangup_after_s: float = 30.0
    keys: tuple[str, ...] = ()


def stamp(at: datetime) -> str:
    """Six digits and Z, as in every captured webhook."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def uuid_from(identities: Random) -> str:
    """A fresh UUID."""
    return str(UUID(int=identities.getrandbits(128), version=4))
