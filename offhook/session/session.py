"""The session: the state of a call, as its records add up to. Pure.

session:  active while one of its legs is up; ended after that
command:  requested ▶ decided ▶ pending ▶ succeeded | failed
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from offhook.events import (
    CommandFailed,
    CommandSucceeded,
    IssuedCommand,
    Record,
    SessionParked,
)
from offhook.session.conference import Conference, Recording
from offhook.session.leg import Leg
from offhook.session.timers import TimerState

CommandStatus = Literal["requested", "pending", "succeeded", "failed"]


@dataclass(frozen=True, kw_only=True)
class CommandState:
    """A command from request to outcome. `issued` is None if only its outcome was seen."""

    command_id: str
    issued: IssuedCommand | None = None
    cause_seq: int | None = None  # position of the record it was decided on
    ordinal: int = 0  # its position in that decision, from 0
    flow: str = ""
    flow_version: str = ""
    requested_at: datetime | None = None
    requested_seq: int | None = None
    caused_at: datetime | None = None  # when that record was stored
    decided_at: datetime | None = None
    attempts: int = 0
    settled_at: datetime | None = None
    settled_seq: int | None = None
    outcome: CommandSucceeded | CommandFailed | None = None
    is_imported: bool = False  # decided in another log: not to be sent from here

    @property
    def status(self) -> CommandStatus:
        """See the top of this file."""
        if isinstance(self.outcome, CommandSucceeded):
            return "succeeded"
        if isinstance(self.outcome, CommandFailed):
            return "failed"
        return "pending" if self.decided_at is not None else "requested"

    @property
    def attempts_made(self) -> int:
        """As the outcome counts them; else what was recorded on the way, without the first one."""
        counted = self.outcome.attempts if self.outcome else None
        return self.attempts if counted is None else counted


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Which worker acts for the session, and until when by the log's clock."""

    seq: int  # stream sequence of the record that gave or renewed it
    worker: str
    until: datetime
    lasts_s: float  # from that record on


@dataclass(frozen=True, kw_only=True)
class Session:
    """A group of legs that belong to one call, with the commands sent for it.

    A flow reads the fields up to `commands`, and `timers`; the others are for workers.
    Mappings are in order of arrival.
    """

    session_id: str
    legs: Mapping[str, Leg] = field(default_factory=dict)  # by call_control_id
    conferences: Mapping[str, Conference] = field(default_factory=dict)  # by conference_id
    recordings: Mapping[str, Recording] = field(default_factory=dict)  # by recording_id
    commands: Mapping[str, CommandState] = field(default_factory=dict)  # by command_id
    operations: Mapping[str, int] = field(default_factory=dict, repr=False)  # commands of each
    facts: Mapping[str, int] = field(default_factory=dict, repr=False)  # fact id -> first sequence
    decided: AbstractSet[int] = field(default_factory=frozenset, repr=False)  # sequences
    undecided: AbstractSet[int] = frozenset()  # sequences of records without a Decided
    open_commands: AbstractSet[str] = frozenset()  # decided, without an outcome
    doubtful_commands: AbstractSet[str] = frozenset()  # failed, and may have been performed
    timer_states: Mapping[str, TimerState] = field(default_factory=dict, repr=False)  # by timer id
    pending_timers: AbstractSet[str] = frozenset()  # ids of those set, not fired nor cancelled
    open_timers: AbstractSet[str] = frozenset()  # ids; see TimerState.is_open
    lease: Lease | None = None
    parked: Record | None = None  # the last SessionParked or SessionResumed

    @property
    def status(self) -> Literal["empty", "active", "ended"]:
        """By what the events say. If a hangup was lost, see `up_until`."""
        if not self.legs:
            return "empty"
        return "active" if any(leg.is_up for leg in self.legs.values()) else "ended"

    @property
    def up_until(self) -> datetime | None:
        """The latest time at which a leg can be up, if one is up: the carrier ends it by then."""
        times = (leg.up_until for leg in self.legs.values() if leg.is_up)
        return max((each for each in times if each is not None), default=None)

    @property
    def is_parked(self) -> bool:
        """Whether it is parked: its flow has failed, and no operator has resumed it."""
        return self.parked is not None and isinstance(self.parked.fact, SessionParked)

    @property
    def has_failed(self) -> bool:
        """Whether its flow raised and it is parked, or a leg failed and none was answered later.

        A leg that failed and was replaced by one that was answered is no failure of the call.
        """
        legs = self.legs.values()
        failed_at = max(
            (leg.ended_at for leg in legs if leg.has_failed and leg.ended_at), default=None
        )
        if failed_at is None:
            return self.is_parked
        return self.is_parked or not any(
            leg.picked_up_at is not None and leg.picked_up_at >= failed_at for leg in legs
        )

    @property
    def started_at(self) -> datetime | None:
        """When its first leg started; None if that is not known."""
        return min(
            (leg.started_at for leg in self.legs.values() if leg.started_at),
            default=None,
        )

    @property
    def answered_at(self) -> datetime | None:
        """When its first leg was answered; None if none was."""
        times = (leg.answered_at for leg in self.legs.values() if leg.answered_at)
        return min(times, default=None)

    @property
    def ended_at(self) -> datetime | None:
        """When the last leg ended; None while one is up, or if a hangup was not received."""
        legs = self.legs.values()
        if self.status != "ended" or any(leg.has_ended and not leg.ended_at for leg in legs):
            return None
        return max((leg.ended_at for leg in legs if leg.ended_at), default=None)

    @property
    def caller(self) -> Leg | None:
        """The leg that called in, the first of several; None if there is none (yet)."""
        incoming = (leg for leg in self.legs.values() if leg.direction == "incoming")
        return min(incoming, key=lambda leg: leg.stamps["direction"], default=None)

    @property
    def cost(self) -> tuple[Decimal | None, str | None]:
        """What the legs cost together, as far as that is known, and the currency.

        Both are None while nothing is known, or if the legs have several currencies.
        """
        known = [leg for leg in self.legs.values() if leg.cost is not None]
        totals = [total for leg in known if (total := leg.cost_total) is not None]
        currencies = {leg.currency for leg in known}
        if not totals or len(currencies) != 1:
            return None, None
        return sum(totals, Decimal(0)), currencies.pop()

    def participants(self, conference_id: str) -> list[Leg]:
        """This session's legs that are in the conference now."""
        legs = self.legs.values()
        return [leg for leg in legs if leg.is_in_conference and leg.conference_id == conference_id]

    @property
    def timers(self) -> Mapping[str, TimerState]:
        """The timers that are set, neither fired nor cancelled, by name, in order of decision."""
        pending = (self.timer_states[timer_id] for timer_id in self.pending_timers)
        in_order = sorted(pending, key=lambda state: (state.decided_seq or 0, state.timer_id))
        return {state.name: state for state in in_order}

    def was_asked(self, operation: str) -> bool:
        """Whether a command of this operation was ever decided or requested in the session.

        Webhooks arrive in any order, so a flow should ask what state the call is in, and what was
        commanded already, not which event came when.
        """
        return self.operations.get(operation, 0) > 0

    def leg(self, call_control_id: str | None) -> Leg | None:
        """The leg with this id; None if it is not known, or the id is None."""
        return None if call_control_id is None else self.legs.get(call_control_id)
