"""Reads sessions: the tail of each, into a bounded cache of the session states used last.

A long session that is not in the cache is read from its snapshot on, if it has one.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import datetime

from offhook.errors import LogUnavailable
from offhook.events import Record
from offhook.jetstream.log import EventLog, is_last, pages
from offhook.position import position_text
from offhook.process.slices import Slices
from offhook.session import Session
from offhook.workers.reading.precedence import Precedence
from offhook.workers.reading.silence import Arrived, Silences, Tail, Woken, nothing_arrived
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.reading.state import SessionState, Snapshot

SESSIONS_CACHED_MAX = 10_000

FACTS_CACHED_MAX = 1_000_000
"""Facts and decisions of all sessions in the cache: one of 100,000 is as large as thousands."""

PAGE_MAX = 25
"""Records of each side that are read at once. They arrive together, and nats-py takes 10 µs for
each: what is read for other calls waits behind them."""

TAIL_MAX = 200
"""The same after a snapshot of the session: all of most tails, for nats-server counts the records
that follow anew for each request, and nothing is appended meanwhile. They arrive in pieces."""

PAGE_S = 0.003
"""What it takes to read one, about."""

READ_ON_MAX = 5
"""How often a webhook is looked for that a decision is on; an archive run may have removed it."""

STALE_READ_PAUSES_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""How long a replica that lags is waited for, from read to read."""


class SessionCache:
    """A session is dropped from it when anything is in doubt, and then read from its start."""

    def __init__(
        self,
        log: EventLog,
        sleep: Callable[[float], Awaitable[None]],
        cached_max: int = SESSIONS_CACHED_MAX,
        facts_max: int = FACTS_CACHED_MAX,
        snapshots: Snapshots | None = None,
        precedence: Precedence | None = None,
        silences: Silences | None = None,
    ) -> None:
        self._log = log
        self._sleep = sleep
        self._snapshots = snapshots
        self._precedence = precedence or Precedence()
        self._silences = silences or Silences(log)
        self._cached_max = cached_max
        self._facts_max = facts_max
        self._states: dict[str, SessionState] = {}  # the one used last is the last
        self._sizes: dict[str, int] = {}  # their facts and decisions, when they were used
        self._size = 0  # of all of them

    async def read(
        self,
        session_id: str,
        wake_seq: int = 0,
        decided_seq: int = 0,
        *,
        is_new: bool = False,
        arrived: Arrived = nothing_arrived,
        woken_at: datetime | None = None,
    ) -> SessionState:
        """The session with all that was appended since it was last read; see `refresh`.

        `decided_seq` is the position of a decision whose alarm rang. If the session `is_new`, its
        snapshot is asked for only once it turns out to be long. What has `arrived`, at `woken_at`
        the last, need not be read again if nothing else is after the snapshot, or after a silence.
        """
        state = self._states.get(session_id) or SessionState(session=Session(session_id=session_id))
        state.tail_seq = max(state.tail_seq, decided_seq)
        woken = Woken(seq=wake_seq, at=woken_at, arrived=arrived)
        await self.refresh(state, wake_seq, is_new=is_new, woken=woken)
        self._keep(session_id, state)
        return state

    def known(self, session_id: str) -> SessionState | None:
        """The session as it was last read; None if it was not, or is not here any more."""
        state = self._states.get(session_id)
        return state if state is not None and not state.is_unread() else None

    async def refresh(
        self,
        state: SessionState,
        wake_seq: int = 0,
        *,
        is_new: bool = False,
        woken: Woken | None = None,
    ) -> None:
        """Read the session's tail. Its cost does not grow with the length of the call.

        A replica that lags is asked again: what was read must include the record that woke us and
        all that is known to be there, above all our own appends. Otherwise the record would be
        decided and its commands sent again. Raises LogUnavailable when that takes too long.

        The two sides are read one after the other: another worker's decision may be on a webhook
        that came in between. Then it is read on, or the flow would decide without that webhook.
        """
        session_id = state.session.session_id
        for pause_s in (*STALE_READ_PAUSES_S, None):
            await self._read_on(state, is_new=is_new, woken=woken)
            if state.in_seq >= wake_seq and state.out_seq >= state.tail_seq:
                for _ in range(READ_ON_MAX):
                    if state.in_seq >= state.settled_seq:
                        break
                    await self._read_on(state)
                return
            if pause_s is not None:
                await self._sleep(pause_s)
        raise LogUnavailable(
            f"{session_id}: reads end at {state.in_seq} (in) and {state.out_seq} (out), "
            f"but the log has {wake_seq} (in) and {state.tail_seq} (out)"
        )

    async def _read_on(
        self, state: SessionState, *, is_new: bool = False, woken: Woken | None = None
    ) -> None:
        await self._compare(state)
        snapshots = self._snapshots if state.is_unread() else None
        if snapshots and not is_new and await self._read_from_snapshot(state, snapshots, woken):
            return
        limit = snapshots.short_max if snapshots else PAGE_MAX
        is_begun = not (is_new and state.is_unread())
        if woken is not None and is_begun and await self._read_after_silence(state, woken):
            return
        page = await self._log.read(
            state.session.session_id,
            in_after=max(state.in_seq, state.whole_until),
            out_after=max(state.out_seq, state.whole_until),
            limit=limit,
        )
        if is_last(page, limit):
            await _add(state, page)
            return
        with self._precedence.long():
            if snapshots and is_new and await self._read_from_snapshot(state, snapshots, woken):
                return
            await _add(state, page)
            await self._read_tail(state, PAGE_MAX)

    async def _read_from_snapshot(
        self, state: SessionState, snapshots: Snapshots, woken: Woken | None
    ) -> bool:
        """Read the session from its snapshot on; False without one that counts."""
        session_id = state.session.session_id
        if (snapshot := await snapshots.read(session_id)) is None:
            return False
        with self._precedence.long():
            if (tail := await self._after_snapshot(snapshot, state, woken)) is not None:
                snapshots.count("complete")
                state.begin_at(snapshot, is_compared=False)
                await _add_tail(state, tail)
                return True
            if not snapshot.ends_with(await self._log.record_at(session_id, snapshot.out_seq)):
                snapshots.count("outdated")
                return False
            snapshots.count("used")
            state.begin_at(snapshot)
            if woken is None or not await self._read_after_silence(state, woken):
                await self._read_tail(state, TAIL_MAX)
            return True

    async def _after_snapshot(
        self, snapshot: Snapshot, state: SessionState, woken: Woken | None
    ) -> Tail | None:
        """What has arrived, if that is all after the snapshot; or what is recent, after a silence.

        By their number: then nothing is read among old records. Else None. A session of which
        anything is in doubt is not read in this way.
        """
        if state.dropped_seq:
            return None
        silences = self._silences
        session_id, known = state.session.session_id, snapshot.known
        woken = woken or Woken()
        tail = await silences.arrived(session_id, known, woken)
        if tail is None and silences.is_over(known, woken):
            tail = await silences.recent(session_id, known, woken, few=False)
        return tail

    async def _read_after_silence(self, state: SessionState, woken: Woken) -> bool:
        """Read what is new without a search from an old position on; False if that is not all."""
        silences, session_id, known = self._silences, state.session.session_id, state.known
        if not silences.is_over(known, woken):
            return False
        if state.is_unread():
            began_at = None if state.dropped_seq else await silences.began_at(session_id, woken)
            known = replace(known, at=began_at)
            if began_at is None or not silences.is_over(known, woken):
                return False
            tail = None
        else:
            tail = await silences.arrived(session_id, known, woken)
        if tail is None:
            tail = await silences.recent(session_id, known, woken, few=True)
        if tail is None:
            return False
        await _add_tail(state, tail)
        return True

    async def _compare(self, state: SessionState) -> None:
        """Raise LogUnavailable if the log has not the record that the session was begun at.

        A log that was restored from a copy may have as many records of the session, but others.
        That an append was taken where the snapshot ends shows the same, and is the usual way.
        """
        if (begun_at := state.begun_at) is None:
            return
        session_id = state.session.session_id
        if not begun_at.ends_with(await self._log.record_at(session_id, begun_at.out_seq)):
            if self._snapshots is not None:
                self._snapshots.count("outdated")
            at = position_text(begun_at.out_seq)
            raise LogUnavailable(
                f"{session_id}: at {at} the log has not what its snapshot ends with"
            )
        state.begun_at = None

    async def _read_tail(self, state: SessionState, limit: int) -> None:
        """Read on, page by page. What is decided already need not be held until the end."""
        await state.next_cause()
        await self._precedence.before_page(PAGE_S)
        async for page in pages(
            self._log,
            state.session.session_id,
            in_after=max(state.in_seq, state.whole_until),
            out_after=max(state.out_seq, state.whole_until),
            limit=limit,
        ):
            await _add(state, page)
            if len(page) >= limit:
                await state.next_cause()
                await self._precedence.before_page(PAGE_S)

    def drop(self, session_id: str) -> None:
        """Read this session from its first record next time."""
        if (state := self._states.get(session_id)) is not None:
            unread = SessionState(
                session=Session(session_id=session_id),
                dropped_seq=max(state.dropped_seq, state.tail_seq, state.out_seq),
            )
            self._keep(session_id, unread)

    def expect(self, session_id: str, tail_seq: int) -> None:
        """The next read must include the record at this position on the session's `.out`."""
        state = self._states.get(session_id) or SessionState(session=Session(session_id=session_id))
        state.tail_seq = max(state.tail_seq, tail_seq)
        self._keep(session_id, state)

    def _keep(self, session_id: str, state: SessionState) -> None:
        """Put it into the cache, and forget what was not used for longest if there is too much."""
        self._forget(session_id)
        self._states[session_id] = state
        self._sizes[session_id] = state.size
        self._size += state.size
        while len(self._states) > self._cached_max or (
            self._size > self._facts_max and len(self._states) > 1
        ):
            self._forget(next(iter(self._states)))

    def _forget(self, session_id: str) -> None:
        self._states.pop(session_id, None)
        self._size -= self._sizes.pop(session_id, 0)


async def _add_tail(state: SessionState, tail: Tail) -> None:
    await _add(state, tail.records)
    state.whole_until = tail.until


async def _add(state: SessionState, records: Iterable[Record]) -> None:
    slices = Slices()
    for record in records:
        state.add(record)
        await slices.yield_if_due()
