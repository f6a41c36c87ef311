"""The timers of a session: schedule what was decided, and fire what is due."""

from collections.abc import Sequence

from offhook.events import TimerCancelled, TimerFired, TimerSet
from offhook.jetstream.timetable import Alarm, Timetable
from offhook.session.timers import TimerState
from offhook.workers.reading.state import SessionState
from offhook.workers.sessions.lease import OwnLease


class SessionTimers:
    """Its methods raise LogUnavailable, and PositionTaken if they append."""

    def __init__(self, timetable: Timetable) -> None:
        self._timetable = timetable

    async def carry_out(self, lease: OwnLease) -> None:
        """Schedule what was set, and record what was cancelled.

        A worker that died in between leaves some of it open; then it is all repeated.
        """
        for timer in lease.state.open_timers():
            if timer.is_cancelled:
                await lease.append(TimerCancelled(timer_id=timer.timer_id, name=timer.name))
                continue
            await self._schedule(lease.state, timer)
            assert timer.due_at is not None
            await lease.append(
                TimerSet(timer_id=timer.timer_id, name=timer.name, due_at=timer.due_at)
            )

    async def fire(self, lease: OwnLease, timer: TimerState) -> None:
        """Record that it fired. The record wakes no worker: the one that appends it decides on it.

        If that one dies, the alarm is redelivered.
        """
        await lease.append(
            TimerFired(
                timer_id=timer.timer_id,
                name=timer.name,
                due_at=timer.due_at,
                call_control_id=timer.call_control_id,
            )
        )

    async def schedule_again(self, state: SessionState, alarms: Sequence[Alarm]) -> None:
        """For alarms that rang before their timer was due, since a clock was put back."""
        for alarm in alarms:
            timer = state.session.timer_states.get(alarm.timer_id)
            if timer is not None and timer.is_pending and not timer.is_due(alarm.rang_at):
                await self._schedule(state, timer)

    async def _schedule(self, state: SessionState, timer: TimerState) -> None:
        assert timer.due_at is not None
        assert timer.decided_seq is not None
        await self._timetable.set(
            state.session.session_id,
            timer.timer_id,
            due_at=timer.due_at,
            decided_seq=timer.decided_seq,
        )


def due_timers(state: SessionState, alarms: Sequence[Alarm]) -> list[TimerState]:
    """Timers that were due when the last of the alarms rang, the first due first."""
    return state.due_timers(max(alarm.rang_at for alarm in alarms)) if alarms else []
