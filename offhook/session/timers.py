"""Timers: what a flow returns to set and cancel them, and what a session knows about them. Pure.

    SetTimer ──▶ Decided ──▶ TimerSet ──────────▶ TimerFired ──▶ the flow that set it decides
                    │        (scheduled)   due        ▲
                    │                                 ╳ never, once a decision says:
                    └── CancelTimer, or SetTimer of the same name ──▶ TimerCancelled

A timer belongs to its session and has a name there. It counts from the log's time stamp of the
decision that set it. It fires once, never early; late if no worker runs, or the log was down.

A decision counts from the moment it is in the log: a flow never sees a timer fire that it has
cancelled or replaced, even if the alarm is on its way or the other records are missing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from offhook.events import Decided, Record, TimerCancelled, TimerFired, TimerOrder, TimerSet
from offhook.session.folding import altered

AFTER_S_MAX = 86_400.0
"""A day. Alarms are kept for a week, so workers may be down for six days without losing one."""

NAME_CHARS_MAX = 64


@dataclass(frozen=True, kw_only=True)
class SetTimer:
    """Deliver TimerFired(name=…) after `after_s` seconds, not earlier.

    A timer of the same name is replaced. Timers fire even after the call has ended, because work
    often follows a hangup (a call-back, a look at the recording). A flow that does not want that
    cancels the timer on call.hangup, or checks `session.status`. Raises ValueError.
    """

    name: str
    after_s: float

    def __post_init__(self) -> None:
        _check_name(self.name)
        is_number = isinstance(self.after_s, int | float) and not isinstance(self.after_s, bool)
        if not (is_number and 0 < self.after_s <= AFTER_S_MAX):
            raise ValueError(
                f"timer {self.name!r}: after_s is {self.after_s!r}; "
                f"expected above 0 to {AFTER_S_MAX:.0f}"
            )


@dataclass(frozen=True, kw_only=True)
class CancelTimer:
    """Cancel the session's timer of this name; without one nothing happens."""

    name: str

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class TimerState:
    """A timer. `due_at` is None if the decision that set it was not seen."""

    timer_id: str
    name: str = ""
    flow: str = ""
    call_control_id: str | None = None
    due_at: datetime | None = None  # the log's clock
    decided_seq: int | None = None  # position of the decision that set it
    is_scheduled: bool = False
    is_cancelled: bool = False  # by a decision
    is_told_cancelled: bool = False  # and TimerCancelled is in the log
    is_fired: bool = False
    is_imported: bool = False  # set in another log: it does not fire here

    @property
    def is_pending(self) -> bool:
        """Whether it is set, and neither fired nor cancelled."""
        return self.due_at is not None and not (self.is_cancelled or self.is_fired)

    def is_due(self, by: datetime) -> bool:
        """Whether it is pending and due by this time of the log's clock."""
        is_over = self.due_at is not None and self.due_at <= by
        return self.is_pending and is_over and not self.is_imported

    @property
    def is_open(self) -> bool:
        """Whether a worker still has to schedule it, or to record that it was cancelled."""
        if self.is_imported:
            return False
        if self.is_cancelled:
            return not self.is_told_cancelled
        return self.is_pending and not self.is_scheduled


def orders_from(
    timers: Iterable[SetTimer | CancelTimer],
    pending: Mapping[str, TimerState],
    *,
    cause_seq: int,
    call_control_id: str | None,
) -> tuple[TimerOrder, ...]:
    """What a decision on the record at `cause_seq` stores; the last order for a name counts.

    `pending` are the session's timers by name. Replacing a timer cancels it and sets another.
    """
    orders: list[TimerOrder] = []
    last = {timer.name: timer for timer in timers}
    for ordinal, (name, timer) in enumerate(last.items()):
        if (held := pending.get(name)) is not None:
            orders.append(TimerOrder(timer_id=held.timer_id, name=name))
        if isinstance(timer, SetTimer):
            orders.append(
                TimerOrder(
                    timer_id=f"{cause_seq}-{ordinal}",
                    name=name,
                    call_control_id=call_control_id,
                    after_s=timer.after_s,
                )
            )
    return tuple(orders)


def changed_timers(states: Mapping[str, TimerState], record: Record) -> list[TimerState]:
    """The session's timers that a record changes, as they are after it.

    The same whatever the order in which the records are read.
    """
    match record.fact:
        case Decided(timers=orders, flow=flow):
            changed: dict[str, TimerState] = {}
            for order in orders:
                state = changed.get(order.timer_id) or _state(states, order.timer_id)
                changed[order.timer_id] = _ordered(state, record, flow, order)
            return list(changed.values())
        case TimerSet(timer_id=timer_id):
            return [altered(_state(states, timer_id), is_scheduled=True)]
        case TimerCancelled(timer_id=timer_id):
            state = _state(states, timer_id)
            return [altered(state, is_cancelled=True, is_told_cancelled=True)]
        case TimerFired(timer_id=timer_id):
            return [altered(_state(states, timer_id), is_fired=True)]
        case _:
            return []


def _ordered(state: TimerState, record: Record, flow: str, order: TimerOrder) -> TimerState:
    if order.after_s is None:
        # Nobody here records that a timer of another log was cancelled.
        told = state.is_told_cancelled or record.is_imported
        return altered(state, is_cancelled=True, is_told_cancelled=told)
    # The first decision that sets it stands, in whatever order the records are read.
    if state.decided_seq is not None and state.decided_seq <= record.seq:
        return state
    return altered(
        state,
        name=order.name,
        flow=flow,
        call_control_id=order.call_control_id,
        due_at=record.stored_at + timedelta(seconds=order.after_s),
        decided_seq=record.seq,
        is_imported=record.is_imported,
    )


def _state(states: Mapping[str, TimerState], timer_id: str) -> TimerState:
    return states.get(timer_id) or TimerState(timer_id=timer_id)


def _check_name(name: str) -> None:
    if not (isinstance(name, str) and 1 <= len(name) <= NAME_CHARS_MAX):
        raise ValueError(f"a timer's name is {name!r}; expected 1 to {NAME_CHARS_MAX} characters")
