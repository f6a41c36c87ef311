"""A leg: what the events of one call_control_id add up to. Pure.

    (unseen) ──initiated──▶ initiated ──answered──▶ answered ──bridged──▶ bridged
                   ▲            └───────────────┴────────hangup────────────┴──▶ ended
                or the answer to its dial

A hangup is a fact like any other: no late event undoes it, and later events still count.

A hangup may be lost like any webhook. A leg counts as up only if an event proved it, no longer than
the carrier lets a leg last, and not after an event that only follows the end.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from offhook.carrier_events import (
    CallAiGatherEnded,
    CallCost,
    CallDequeued,
    CallEnqueued,
    CallForkStarted,
    CallGatherEnded,
    CallHold,
    CallPlaybackStarted,
    CallReferCompleted,
    CallReferFailed,
    CallReferStarted,
    CallSpeakStarted,
    CarrierEvent,
    ConferenceParticipantJoined,
    ConferenceParticipantPlaybackStarted,
    ConferenceParticipantSpeakStarted,
    SiprecStarted,
    StreamingStarted,
)
from offhook.session.failures import is_failure
from offhook.session.folding import LAST, Stamp, stamp_of
from offhook.session.queue_visits import QueueEvent, wait_s

LegState = Literal["unseen", "initiated", "answered", "bridged", "ended"]
Media = Literal["speak", "playback", "streaming", "fork", "siprec"]

TIME_LIMIT_S = 14_400
"""How long the carrier lets a leg last after its answer. "The default time limit is 14400 seconds
or 4 hours and this is also the maximum allowed call length" (`time_limit_secs` of dial)."""

RINGING_S_MAX = 600
"""How long the carrier rings at most (the maximum of `timeout_secs` of dial and transfer)."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One leg of a call. Times are UTC; what the carrier never said is None."""

    call_control_id: str
    call_leg_id: str | None = None
    connection_id: str | None = None
    direction: str | None = None  # incoming, outgoing
    from_: str | None = None
    to: str | None = None
    client_state: str | None = None  # the latest one received
    dialled_at: datetime | None = None  # its dial was answered with its id, by the log's clock
    initiated_at: datetime | None = None  # call.initiated
    start_time: datetime | None = None  # the carrier's start of the leg
    answered_at: datetime | None = None  # call.answered
    bridged_at: datetime | None = None  # the first call.bridged
    ended_at: datetime | None = None  # end_time of call.hangup, else when that occurred
    hangup_cause: str | None = None
    hangup_source: str | None = None
    sip_hangup_cause: str | None = None
    quality: Mapping[str, Any] | None = None  # call_quality_stats of call.hangup
    transcribed_at: datetime | None = None  # the first transcription
    up_at: datetime | None = None  # the first event that comes only while a leg is up
    gone_at: datetime | None = None  # the first event but the hangup that comes after the end
    time_limit_s: int | None = None  # from the answer, as its dial asked; None: TIME_LIMIT_S
    latest: Mapping[str, CarrierEvent] = field(default_factory=dict)  # by topic, without payload
    keys: tuple[tuple[Stamp, str], ...] = field(default=(), repr=False)  # in the carrier's order
    queue_events: tuple[QueueEvent, ...] = field(default=(), repr=False)  # in the carrier's order
    memberships: Mapping[str, CarrierEvent] = field(default_factory=dict)  # by conference_id
    stamps: Mapping[str, Stamp] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> LegState:
        """Where it is in the picture at the top of this file."""
        if self.has_ended:
            return "ended"
        if self.bridged_at is not None:
            return "bridged"
        if self.answered_at is not None:
            return "answered"
        return "initiated" if self.started_at is not None else "unseen"

    @property
    def has_ended(self) -> bool:
        """Whether its hangup was received, or an event that comes after it."""
        return self.ended_at is not None or self.gone_at is not None

    @property
    def has_failed(self) -> bool:
        """Whether it ended unanswered, and neither the caller nor the called party chose that."""
        if self.ended_at is None or self.picked_up_at is not None:
            return False
        return is_failure(self.hangup_cause, self.sip_hangup_cause)

    @property
    def picked_up_at(self) -> datetime | None:
        """When it was answered, by the answer or, if that was not received, by its first bridge."""
        return self.answered_at or self.bridged_at

    @property
    def is_up(self) -> bool:
        """Whether it is up as far as its events say; if one was lost, see `up_until`."""
        return self.up_at is not None and not self.has_ended

    @property
    def up_until(self) -> datetime | None:
        """The latest time at which it can have been up; None if its hangup says when it ended.

        None too if no event says that it was ever up. Without an answer it may have rung for as
        long as the carrier allows, and then been answered: that webhook can be lost as well.
        """
        if self.ended_at is not None:
            return None
        if self.gone_at is not None:
            return self.gone_at
        limit_s = TIME_LIMIT_S if self.time_limit_s is None else self.time_limit_s
        if (answered_at := self.answered_at or self.bridged_at) is not None:
            return _later(answered_at, limit_s)
        since = self.started_at or self.up_at
        return None if since is None else _later(since, RINGING_S_MAX + limit_s)

    @property
    def started_at(self) -> datetime | None:
        """The start of the leg. Outgoing call.initiated has no start_time; later events have."""
        return self.start_time or self.initiated_at or self.dialled_at

    @property
    def talk_s(self) -> float | None:
        """Seconds from answer to end; None while the leg is up or if it was never answered."""
        if self.answered_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.answered_at).total_seconds())

    @property
    def is_held(self) -> bool:
        """Whether it is on hold."""
        return not self.has_ended and isinstance(self.latest.get("hold"), CallHold)

    @property
    def held_since(self) -> datetime | None:
        """Since when it is on hold, by the carrier's clock; None if it is not."""
        return self.latest["hold"].occurred_at if self.is_held else None

    @property
    def enqueued(self) -> CallEnqueued | None:
        """The last call.enqueued."""
        event = self.latest.get("enqueued")
        return event if isinstance(event, CallEnqueued) else None

    @property
    def dequeued(self) -> CallDequeued | None:
        """The call.dequeued that ended it; None while it waits."""
        event = self.latest.get("dequeued")
        if not isinstance(event, CallDequeued):
            return None
        waits = self.enqueued is not None and stamp_of(self.enqueued) > stamp_of(event)
        return None if waits else event

    @property
    def is_queued(self) -> bool:
        """Whether it waits in a queue."""
        return not self.has_ended and self.enqueued is not None and self.dequeued is None

    @property
    def queue(self) -> str | None:
        """The queue it waits in, or did last."""
        event = self.dequeued or self.enqueued
        return event.queue if event is not None else None

    @property
    def queue_wait_s(self) -> float | None:
        """Seconds in that queue, as the carrier counts, else by time stamps; None while waiting."""
        return wait_s(self.enqueued, self.dequeued)

    @property
    def conference_id(self) -> str | None:
        """The conference it is in, or was in last."""
        if not self.memberships:
            return None
        is_in = {
            key: event
            for key, event in self.memberships.items()
            if isinstance(event, ConferenceParticipantJoined)
        }
        found = is_in or self.memberships
        return max(found, key=lambda key: stamp_of(found[key]), default=None)

    @property
    def is_in_conference(self) -> bool:
        """Whether it is in a conference."""
        return not self.has_ended and any(
            isinstance(event, ConferenceParticipantJoined) for event in self.memberships.values()
        )

    @property
    def machine_detection(self) -> str | None:
        """The last result: human, machine, not_sure …"""
        return getattr(self.latest.get("machine"), "result", None)

    @property
    def machine_greeting(self) -> str | None:
        """How a machine's greeting ended: beep_detected, ended …"""
        return getattr(self.latest.get("greeting"), "result", None)

    @property
    def gathered(self) -> CallGatherEnded | CallAiGatherEnded | None:
        """The last gather that ended."""
        event = self.latest.get("gather")
        return event if isinstance(event, CallGatherEnded | CallAiGatherEnded) else None

    @property
    def dtmf(self) -> str:
        """The keys pressed, in the order of the carrier's time; the last DTMF_MAX of them."""
        return "".join(digit for _, digit in self.keys)

    @property
    def refer(self) -> CallReferStarted | CallReferCompleted | CallReferFailed | None:
        """The last event of the last REFER."""
        event = self.latest.get("refer")
        kinds = CallReferStarted | CallReferCompleted | CallReferFailed
        return event if isinstance(event, kinds) else None

    @property
    def recording_error(self) -> str | None:
        """Why the last recording failed; None if none did."""
        return getattr(self.latest.get("recording_error"), "reason", None)

    @property
    def cost(self) -> CallCost | None:
        """The carrier's last call.cost; None before it."""
        event = self.latest.get("cost")
        return event if isinstance(event, CallCost) else None

    @property
    def cost_total(self) -> Decimal | None:
        """What the leg cost, in `currency`; None if that is not known yet, or not a number."""
        text = self.cost.total_cost if self.cost is not None else None
        return Decimal(text) if text is not None and _AMOUNT.fullmatch(text) else None

    @property
    def currency(self) -> str | None:
        """Of the cost: the one that its parts have in common."""
        parts = (self.cost.cost_parts if self.cost is not None else None) or ()
        values = [part.get("currency") for part in parts]
        found = {currency for currency in values if isinstance(currency, str)}
        return found.pop() if len(found) == 1 else None

    def is_on(self, media: Media) -> bool:
        """Whether that is going on: speech, playback, streaming, a fork, SIPREC."""
        return not self.has_ended and isinstance(self.latest.get(media), _STARTED)


_STARTED = (
    CallSpeakStarted,
    ConferenceParticipantSpeakStarted,
    CallPlaybackStarted,
    ConferenceParticipantPlaybackStarted,
    StreamingStarted,
    CallForkStarted,
    SiprecStarted,
)


def _later(at: datetime, seconds: int) -> datetime:
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:  # the carrier's JSON may have any year
        return LAST


_AMOUNT = re.compile(r"-?\d{1,12}(\.\d{1,12})?", re.ASCII)
