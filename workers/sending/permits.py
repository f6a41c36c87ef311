"""A command's request for a permit to send.

none ── ask: a permit is free ────▶ granted ── send ──▶ none
  │     ask: too many wait already ──▶ full               ▲
  └──── ask: queued ── wait ─────────▶ granted ── send ───┘
"""

from types import TracebackType
from typing import Protocol, Self

from offhook.events import IssuedCommand
from offhook.telnyx.outcomes import Outcome
from offhook.workers.sending.attempt import PermitStatus
from offhook.workers.sending.queue import CommandQueue, Permit, QueuedCommand


class Sender(Protocol):
    """The part of the carrier's client that is needed here."""

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        """Send the command once. `repeated`: the carrier may have received it before."""
        ...


class PermitRequest:
    """A context manager: on exit it leaves the queue and gives back an unused permit.

    `has_waited`: the command has been in the queue before, so it may enter a full one.
    """

    def __init__(
        self, queue: CommandQueue, operation: str, session_id: str, *, has_waited: bool = False
    ) -> None:
        self._queue = queue
        self._operation = operation
        self._session_id = session_id
        self._has_waited = has_waited
        self._permit: Permit | None = None
        self._queued: QueuedCommand | None = None
        self._is_refused = False

    @property
    def status(self) -> PermitStatus:
        """Whether it has a permit, waits for one, or found the queue full."""
        if self._permit is not None:
            return "granted"
        if self._queued is not None:
            return "queued"
        return "full" if self._is_refused else "none"

    @property
    def closed_s(self) -> float:
        """How long the carrier accepts no command of this kind, by its own answers."""
        return self._queue.closed_s(self._operation)

    async def ask(self, within_s: float, *, goes_first: bool) -> bool:
        """Take a permit, or queue for one; once queued, wait. True unless it was there at once.

        A wait ends with the permit, with news for the session, or after `within_s`. With
        `goes_first` the command is moved to the head of its kind.
        """
        if self._queued is None:
            return self._take_or_enter(goes_first)
        if goes_first:
            self._queue.put_first(self._queued)
        self._permit = await self._queued.permit(within_s)
        if self._permit is not None:
            await self._leave()
        return True

    async def send(self, sender: Sender, command: IssuedCommand, *, repeated: bool) -> Outcome:
        """Send the command, and return the outcome. This uses up the permit."""
        permit, self._permit = self._permit, None
        assert permit is not None, "there is no permit"
        try:
            outcome = await sender.send(command, repeated=repeated)
            self._queue.learn(outcome)
            return outcome
        finally:
            self._queue.give_back(permit, sent=True)

    def _take_or_enter(self, goes_first: bool) -> bool:
        self._permit = self._queue.take(self._operation)
        if self._permit is not None:
            return False
        self._is_refused = not self._has_waited and self._queue.is_full_for(self._operation)
        if not self._is_refused:
            self._queued = self._queue.enter(self._operation, self._session_id)
            if goes_first:
                self._queue.put_first(self._queued)
        return True

    async def _leave(self) -> None:
        queued, self._queued = self._queued, None
        assert queued is not None
        await self._queue.leave(queued)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._queued is not None:
            await self._leave()
        if self._permit is not None:
            permit, self._permit = self._permit, None
            self._queue.give_back(permit, sent=False)
