"""One recorded session through a flow: is each of its decisions the recorded one?

The flow is shown what a worker showed to the recorded one, by the same code (`SessionState`,
`Flows`). A Decided was appended where the worker's reads of `.out` ended, so the worker had read
every record on `.out` before it, and none after it; it says itself how far `.in` had been read.
`SessionState` keeps from the flow what is newer than the record decided on.

After the first difference the carrier's recorded answers are answers to something else: the
session is followed no further.
"""

import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from offhook.codec.facts import decode_record
from offhook.events import Decided, Record, SessionParked, WebhookReceived
from offhook.flow import API_FLOW, PARKED, UNWANTED, Flow
from offhook.flow.decision import Stored
from offhook.flow.whatif import Difference, difference, event_name, orders_of
from offhook.session import Session
from offhook.workers.reading.state import SessionState
from offhook.workers.sessions.flow_errors import place_of
from offhook.workers.sessions.flows import NOT_ASKED, FlowRaised, Flows

Row = tuple[int, str, int, datetime, bytes]
"""Position, type, version, when it was stored, and the stored bytes."""

UNREAD_MAX = 16
"""Records of a session that a worker can have read later than others that are newer."""

Verdict = Literal["same", "different", "other_flow", "undecided", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The first difference of a session, and where it is."""

    session_id: str
    position: int  # of the record decided on
    stored_at: datetime  # of that record
    event: str
    version: str  # of the flow that was recorded
    difference: Difference
    traceback: str = ""  # of a flow that raised


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """`other_flow`: no decision of the wanted flow; `undecided`: no decision at all (yet)."""

    verdict: Verdict
    same: int = 0  # decisions
    after: int = 0  # decisions after the first difference, which are not compared
    versions: Collection[str] = ()  # of the recorded flow, of the decisions that were compared
    found: Found | None = None
    why: str = ""  # unreadable
    session_id: str = ""


class Replay:
    """A flow and the decisions to compare it with: those of flows with these names; None: of all.

    `limited` is entered while the flow decides, and may interrupt it.
    """

    def __init__(
        self,
        flow: Flow,
        names: frozenset[str] | None,
        limited: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._names = names
        self._limited = limited
        # It takes every call here: which ones it is tried on was chosen already.
        anywhere = replace(flow, connection_ids=frozenset(), numbers=frozenset())
        self._flows = Flows([anywhere])

    async def of(self, session_id: str, rows: Sequence[Row]) -> Replayed:
        """The session's records, in order of position, through the flow. Raises nothing."""
        try:
            return await self._of(session_id, rows)
        except _Unreadable as error:
            return Replayed(verdict="unreadable", why=str(error), session_id=session_id)
        except Exception as error:
            # A fold that fails on a record parks its session in the views too.
            why = f"its records cannot be folded: {type(error).__name__}: {error}"
            return Replayed(verdict="unreadable", why=why, session_id=session_id)

    async def _of(self, session_id: str, rows: Sequence[Row]) -> Replayed:
        asked: dict[int, Record] = {}
        decisions = 0
        for row in rows:
            if row[1] in _DECISIONS:
                record = _record(session_id, row)
                decisions += isinstance(record.fact, Decided)
                if self._is_asked(record):
                    asked[record.seq] = record
        if not asked:
            verdict: Verdict = "other_flow" if decisions else "undecided"
            return Replayed(verdict=verdict, session_id=session_id)
        last = max(asked)
        records = [asked.get(row[0]) or _record(session_id, row) for row in rows if row[0] <= last]
        # Without `in_seq`: a worker reads the two sides one after the other, so that it may
        # have missed a record on `.in` that is older than the one on `.out` decided on. It shows
        # only when the flow would otherwise be asked about that one.
        unread: dict[int, int] = {}
        for _ in range(UNREAD_MAX):
            try:
                return await self._compared(session_id, records, asked, unread)
            except _NotReadYet as error:
                unread[error.seq] = error.until_seq
        raise _Unreadable("the order in which its records were read is not in the log")

    def _is_asked(self, record: Record) -> bool:
        match record.fact:
            case Decided(flow=name):
                if name in (API_FLOW.name, PARKED.name, UNWANTED.name):
                    return False
                return self._names is None or name in self._names
            case SessionParked(error=error):
                if error == NOT_ASKED:  # the workers ended, and so would this process
                    return False
                return self._names is None or any(
                    error.startswith(f"flow {name} ") for name in self._names
                )
        return False

    async def _compared(
        self,
        session_id: str,
        records: Sequence[Record],
        asked: Mapping[int, Record],
        unread: Mapping[int, int],
    ) -> Replayed:
        state = SessionState(session=Session(session_id=session_id))
        late: list[Record] = []  # on `.in`, not yet read when the last decision was made
        same = 0
        versions: dict[str, None] = {}
        for at, record in enumerate(records):
            if record.side == "in":
                late.append(record)
                continue
            fact = record.fact
            if isinstance(fact, Decided | SessionParked):
                in_seq = fact.in_seq
                if in_seq is None:
                    missed = [seq for seq, until in unread.items() if until >= record.seq]
                    in_seq = min(missed, default=state.in_seq + 1) - 1
                if in_seq < state.in_seq:
                    # The worker before had read further than this one.
                    state, late = _state_of(session_id, records[:at], in_seq)
                while late and _was_read(late[0], record, fact, unread):
                    state.add(late.pop(0))
                # Here the worker folded in what was decided by then.
                by_policy = isinstance(fact, Decided) and fact.flow == PARKED.name
                cause = await state.next_cause(has_policy=by_policy)
                if record.seq in asked and _is_of(record, fact, cause, state.session):
                    assert cause is not None
                    versions[_version_of(fact)] = None
                    found = self._differs(*cause, state, fact)
                    if found is not None:
                        after = (isinstance(each.fact, Decided) for each in asked.values())
                        return Replayed(
                            verdict="different",
                            session_id=session_id,
                            same=same,
                            after=sum(after) - same - isinstance(fact, Decided),
                            versions=tuple(versions),
                            found=found,
                        )
                    same += isinstance(fact, Decided)
            state.add(record)
        return Replayed(verdict="same", session_id=session_id, same=same, versions=tuple(versions))

    def _differs(
        self,
        cause: Record,
        session: Session,
        state: SessionState,
        recorded: Decided | SessionParked,
    ) -> Found | None:
        own_leg = _leg_of(cause)
        trace = ""
        differs: Difference | None
        try:
            with self._limited():
                _, now = self._flows.decide(cause, session, state)
        except FlowRaised as raised:
            if isinstance(recorded, SessionParked):
                return None
            error = raised.__cause__ or raised
            differs = Difference(
                kind="error",
                what=_raised(error),
                recorded=orders_of(_stored(recorded), own_leg=own_leg),
            )
            trace = _trace_of(error)
        else:
            if isinstance(recorded, SessionParked):
                differs = Difference(
                    kind="recovered",
                    what="does not raise any more",
                    recorded=[recorded.error],
                    now=orders_of(now, own_leg=own_leg),
                )
            else:
                differs = difference(_stored(recorded), now, own_leg=own_leg)
        if differs is None:
            return None
        return Found(
            session_id=cause.session_id,
            position=cause.seq,
            stored_at=cause.stored_at,
            event=event_name(cause.fact),
            version=_version_of(recorded),
            difference=differs,
            traceback=trace,
        )


def _was_read(
    earlier: Record, record: Record, fact: Decided | SessionParked, unread: Mapping[int, int]
) -> bool:
    """Whether the worker had read the earlier record, on `.in`, when it decided."""
    if fact.in_seq is not None:
        return earlier.seq <= fact.in_seq
    return unread.get(earlier.seq, 0) < record.seq


def _state_of(
    session_id: str, records: Sequence[Record], in_seq: int
) -> tuple[SessionState, list[Record]]:
    """As of a worker that had read `.in` up to a position, and those on `.in` after it."""
    state = SessionState(session=Session(session_id=session_id))
    late: list[Record] = []
    for record in records:
        if record.side == "in" and record.seq > in_seq:
            late.append(record)
        else:
            state.add(record)
    return state, late


def _is_of(
    record: Record,
    fact: Decided | SessionParked,
    cause: tuple[Record, Session] | None,
    session: Session,
) -> bool:
    """Whether the decision is the one on this cause. Raises _NotReadYet, or _Unreadable."""
    found = cause[0].seq if cause is not None else None
    if found == fact.cause_seq:
        return True
    if isinstance(fact, SessionParked) or fact.cause_seq in session.decided:
        return False  # parked twice, or by a worker that was late
    if found is not None and found < fact.cause_seq:
        raise _NotReadYet(found, record.seq)
    raise _Unreadable("it has a decision on a record that is not there")


class _Unreadable(Exception):
    """The session cannot be compared; the message says why."""


class _NotReadYet(Exception):
    """The worker had not read the record at `seq` before it wrote the one at `until_seq`."""

    def __init__(self, seq: int, until_seq: int) -> None:
        self.seq = seq
        self.until_seq = until_seq
        super().__init__(seq, until_seq)


_DECISIONS = frozenset({Decided.__name__, SessionParked.__name__})

TRACEBACK_CHARS_MAX = 8_000


def _record(session_id: str, row: Row) -> Record:
    seq, type_name, version, stored_at, body = row
    try:
        return decode_record(
            type_name, version, body, position=seq, session_id=session_id, stored_at=stored_at
        )
    except Exception as error:  # whatever is in it
        raise _Unreadable(
            f"{type_name} version {version}: {type(error).__name__}: {error}"
        ) from error


def _stored(decided: Decided) -> Stored:
    return Stored(commands=decided.commands, timers=decided.timers)


def _version_of(fact: Decided | SessionParked) -> str:
    """Of a parked session the summary of its error has it: "flow NAME VERSION: ..."."""
    if isinstance(fact, Decided):
        return fact.flow_version
    return fact.error.partition(": ")[0].rpartition(" ")[2]


def _leg_of(cause: Record) -> str | None:
    event = cause.fact.event if isinstance(cause.fact, WebhookReceived) else cause.fact
    leg: str | None = getattr(event, "call_control_id", None)
    return leg


def _raised(error: BaseException) -> str:
    place = place_of(error)
    name = f"`{type(error).__name__}`"
    if place is None:
        return f"raises {name}"
    file = str(place["file"]).rpartition("/")[2]
    return f"raises {name} in `{place['function']}` ({file}, line {place['line']})"


def _trace_of(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    return text if len(text) <= TRACEBACK_CHARS_MAX else "…" + text[-TRACEBACK_CHARS_MAX:]
