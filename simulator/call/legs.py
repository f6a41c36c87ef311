"""A leg of a call: values only. The journal stores legs, so the names of their fields stay."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from offhook.commands.defaults import DEFAULTS
from offhook.simulator.call.activities import (
    ActiveRecording,
    Conversation,
    Gathering,
    OnAnswer,
    QueueWait,
    Seat,
    Sound,
)

# Dial and transfer have the same.
TIMEOUT_S: int = DEFAULTS["dial"]["timeout_secs"]
TIME_LIMIT_S: int = DEFAULTS["dial"]["time_limit_secs"]


class SimulatedLegState(enum.StrEnum):
    """See `call.machine` for the picture. `parked` and `bridging` are the carrier's words."""

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
class WebhookOptions:
    """A leg's own webhook addresses and retries, which come before those of its application."""

    url: str | None = None
    method: Method = "POST"
    urls: Mapping[str, str | list[str]] = field(default_factory=dict)  # by event type
    urls_method: Method = "POST"
    retries_ms: Mapping[str, Sequence[int]] = field(default_factory=dict)  # by event type


@dataclass(frozen=True, kw_only=True)
class SimulatedLeg:
    """One leg of a simulated call. Every id and number is as the webhooks show it."""

    call_control_id: str
    call_leg_id: str
    call_session_id: str
    connection_id: str
    direction: Literal["incoming", "outgoing"]
    from_: str
    to: str
    state: SimulatedLegState
    started_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    ending: Ending | None = None
    client_state: str | None = None
    hooks: WebhookOptions = field(default_factory=WebhookOptions)
    tells_cost: bool = False

    time_limit_s: float = TIME_LIMIT_S  # counted from the answer
    talk_s: float | None = None  # the party hangs up this long after the answer
    keys: tuple[str, ...] = ()  # what the party enters at each prompt; the last entry repeats
    bridged_with: str | None = None
    parks: bool = False  # stays up when its bridge ends
    parks_other: bool = False  # the leg it is bridged with on answer stays up when that bridge ends
    bridges_on_answer: str | None = None
    prevents_double_bridge: bool = False
    transfer_leg: str | None = None  # the newest leg that a transfer of this one placed
    placed_after: str | None = None  # the leg that the transfer before this one's placed
    referred_to: str | None = None
    supervises: str | None = None

    on_answer: OnAnswer = field(default_factory=OnAnswer)
    sounds: tuple[Sound, ...] = ()  # playing and waiting
    gathering: Gathering | None = None
    gathers: int = 0  # how many have started
    prompts: int = 0  # how often keys were asked for: every attempt of every gather
    recordings: tuple[ActiveRecording, ...] = ()
    waiting: QueueWait | None = None
    streams: Mapping[str, str] = field(default_factory=dict)  # stream id -> URL
    forked: bool = False
    siprec: bool = False
    transcribed: bool = False
    conversation: Conversation | None = None
    seat: Seat | None = None

    @property
    def unanswered(self) -> bool:
        """Neither answered nor ended."""
        return self.state in (SimulatedLegState.PARKED, SimulatedLegState.BRIDGING)

    @property
    def ended(self) -> bool:
        """Its call.hangup has been emitted."""
        return self.state is SimulatedLegState.ENDED

    @property
    def party(self) -> str:
        """The number or SIP URI of the other person."""
        return self.from_ if self.direction == "incoming" else self.to

    @property
    def calling_party_type(self) -> Literal["pstn", "sip"]:
        """What kind of party calls, in the carrier's words."""
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
    """A call to one of the user's numbers.

    The caller gives up after `patience_s` if nobody answers, and hangs up after `hangup_after_s`
    of talk. Both are seconds of the call. `keys` are its entries at prompts, first to last.
    """

    from_: str
    to: str
    connection_id: str
    patience_s: float = 30.0
    hangup_after_s: float = 30.0
    keys: tuple[str, ...] = ()
