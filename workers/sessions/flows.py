"""Which flow decides on a record, and what it says, within bounds."""

from collections.abc import Sequence

import msgspec

from offhook.events import (
    CommandFailed,
    CommandRequested,
    Event,
    Record,
    TimerFired,
    WebhookReceived,
)
from offhook.flow import API_FLOW, ARCHIVED, NO_FLOW, PARKED, UNWANTED, Flow, flow_for, unmatched
from offhook.flow.decision import NOTHING, Stored, stored
from offhook.position import position_text
from offhook.session import Session
from offhook.workers.reading.state import SessionState

ORDERS_BYTES_MAX = 192 * 1024
"""One decision's orders: they are read again whenever the session is."""

COMMANDS_PER_SESSION_MAX = 1000
TIMERS_PER_SESSION_MAX = 1000
"""Limits for a flow that reacts to itself without end: its session is parked."""

ERROR_CHARS_MAX = 2_000
"""Of what a flow raised; some messages quote all of their input."""

NOT_ASKED = "not called again: every worker that received this event ended before it decided"
"""The summary of a FlowRaised without a cause. It is stored: keep it."""


class FlowRaised(Exception):
    """The user's flow raised on a record, or counts as if it had; `__cause__` is what it raised.

    `in_seq` and `out_seq` are the positions of the session's last records that had been read, on
    each side. `flow` is None if it was not called.
    """

    def __init__(
        self, record: Record, summary: str, state: SessionState, flow: Flow | None = None
    ) -> None:
        self.record = record
        self.summary = summary
        self.in_seq = state.in_seq
        self.out_seq = state.out_seq
        self.flow = flow
        super().__init__(
            f"{summary} (session {record.session_id}, position {position_text(record.seq)})"
        )


class Flows:
    """The user's flows, and the policy that decides in parked sessions (None: nobody does)."""

    def __init__(self, flows: Sequence[Flow], policy: Flow | None = None) -> None:
        self._flows = flows
        self.policy = policy

    def decide(self, record: Record, session: Session, state: SessionState) -> tuple[Flow, Stored]:
        """The flow that decides on the record, and what its Decided stores. Raises FlowRaised.

        `session` is what the flow may see: everything up to the record and nothing after it.
        """
        if state.is_archived:
            fact = record.fact
            # A command gets an outcome, without being sent.
            commands = (fact.command,) if isinstance(fact, CommandRequested) else ()
            return ARCHIVED, Stored(commands=commands)
        match record.fact:
            case CommandRequested(command=command):
                return API_FLOW, Stored(commands=(command,))
            case WebhookReceived(event=event):
                return self._ask(record, event, session, state)
            case CommandFailed() as failed:
                command_state = session.commands.get(failed.command_id)
                if command_state is not None and command_state.flow == API_FLOW.name:
                    return API_FLOW, NOTHING
                return self._ask(record, failed, session, state)
            case TimerFired(timer_id=timer_id) as fired:
                if session.timer_states[timer_id].is_cancelled:
                    # It fired before the decision that cancelled it was made.
                    return flow_for(self._flows, fired, session), NOTHING
                return self._ask(record, fired, session, state)
            case fact:
                raise AssertionError(f"{type(fact).__name__} needs no decision")

    def _ask(
        self, record: Record, event: Event, session: Session, state: SessionState
    ) -> tuple[Flow, Stored]:
        if self.policy is not None and state.is_parked():
            # On the newest state: a leg that was bridged meanwhile must not be hung up.
            latest = state.latest()
            return self.policy, stored(self.policy.decide(event, latest), event, latest, record.seq)
        flow = flow_for(self._flows, event, session)
        if flow in (PARKED, UNWANTED):
            return flow, NOTHING  # on what was Offhook's own there is nothing to decide
        try:
            said = stored(flow.decide(event, session), event, session, record.seq)
            _require_bounds(said, session)
        except (Exception, SystemExit) as error:  # its sys.exit() is no reason for us to end
            summary = f"flow {flow.name} {flow.version}: {_said_by(error)}"
            raise FlowRaised(record, summary, state, flow) from error
        if flow is NO_FLOW and (warning := unmatched(self._flows, event)):
            said = said._replace(warnings=(warning,))
        return flow, said


def _said_by(error: BaseException) -> str:
    """The type and the message, in ERROR_CHARS_MAX at most. Whatever its `__str__` does."""
    try:
        message = str(error)
    except Exception as fault:
        message = f"its message cannot be read: {type(fault).__name__}"
    said = f"{type(error).__name__}: {message}"
    return said if len(said) <= ERROR_CHARS_MAX else f"{said[: ERROR_CHARS_MAX - 1]}…"


def _require_bounds(said: Stored, session: Session) -> None:
    """Raises ValueError."""
    if (size := len(msgspec.json.encode(said))) > ORDERS_BYTES_MAX:
        raise ValueError(f"its orders take {size} bytes; expected at most {ORDERS_BYTES_MAX}")
    if said.commands and len(session.commands) + len(said.commands) > COMMANDS_PER_SESSION_MAX:
        raise ValueError(f"over {COMMANDS_PER_SESSION_MAX} commands in a session: a loop?")
    if said.timers and len(session.timer_states) + len(said.timers) > TIMERS_PER_SESSION_MAX:
        raise ValueError(f"over {TIMERS_PER_SESSION_MAX} timers in a session: a loop?")
