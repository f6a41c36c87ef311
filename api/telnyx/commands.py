"""A command from an application: append it, then wait for what a worker made of it.

    request ─▶ known in the session's log? ──no──▶ append CommandRequested ─▶ wait ─▶ response
                  │ the same: wait for its outcome                             ▲
                  │ another:  422                    the log knew it elsewhere ┘

Headers of the answer: Offhook-Command-Id (the caller's, or made here), Offhook-Position (of the
command's outcome; of its request while there is no outcome), Offhook-Session-Id (where the command
is recorded, even if it was refused), and Offhook-Warning if the call's webhooks go elsewhere. A
request that is repeated with the same command_id gets the same answer and never has a second
effect; for one without, see `offhook.api.telnyx.idempotency`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offhook.api.auth import Caller
from offhook.api.errors import ErrorAnswer
from offhook.api.telnyx.answers import answer_of, no_outcome, not_appended, not_begun
from offhook.api.telnyx.legs import Legs
from offhook.api.telnyx.outcomes import CommandOutcome, Outcomes
from offhook.api.telnyx.requests import (
    COMMAND_ID_HEADER,
    CommandRequest,
    require_same,
)
from offhook.codec.facts import encode
from offhook.commands.webhook_targets import WARNING_HEADER, sent_elsewhere
from offhook.errors import LogUnavailable
from offhook.events import CommandRequested, IssuedCommand, session_id_from
from offhook.jetstream.log import APPEND_TIMEOUT_S, EventLog, pages
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.message import trace_headers
from offhook.position import POSITION_HEADER, SESSION_ID_HEADER
from offhook.process.slices import Slices
from offhook.session import Session, evolve


@dataclass(frozen=True, kw_only=True)
class CommandResponse:
    """What the application gets for a command that succeeded."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


class CommandRunner:
    """Runs commands. `answer_timeout_s` bounds a request from its body to its answer."""

    def __init__(
        self,
        *,
        log: EventLog,
        stream: StreamLookup,
        outcomes: Outcomes,
        legs: Legs,
        answer_timeout_s: float,
        webhook_url: str = "",
    ) -> None:
        """`webhook_url` is where the carrier reaches ingress; empty if that is unknown."""
        self._log = log
        self._stream = stream
        self._outcomes = outcomes
        self._legs = legs
        self._answer_timeout_s = answer_timeout_s
        self._webhook_url = webhook_url

    def deadline(self) -> float:
        """When a request that arrives now must be answered, in the loop's time."""
        return asyncio.get_running_loop().time() + self._answer_timeout_s

    async def run(
        self, request: CommandRequest, caller: Caller, traceparent: str, *, until: float
    ) -> CommandResponse:
        """The carrier's own answer. Raises ErrorAnswer, with the carrier's errors if it sent any.

        `until` is in the loop's time (`deadline`); `traceparent` is stored if it is valid.
        """
        headers = {COMMAND_ID_HEADER: request.command.command_id}
        if warnings := "; ".join(sent_elsewhere(request.command, self._webhook_url)):
            headers[WARNING_HEADER] = warnings.encode("ascii", "backslashreplace").decode()
        try:
            with self._outcomes.slot():
                outcome = await self._outcome(request, caller, traceparent, until, headers)
            status, body = answer_of(outcome)
        except ErrorAnswer as error:
            error.headers.update(headers)
            raise
        self._legs.remember_placed(body)
        return CommandResponse(status=status, body=body, headers=headers)

    async def _outcome(
        self,
        request: CommandRequest,
        caller: Caller,
        traceparent: str,
        until: float,
        headers: dict[str, str],
    ) -> CommandOutcome:
        """Sets session and position in the answer's headers, as far as the command has come."""
        command = request.command
        may_be_known = request.given or request.repeated
        try:
            async with asyncio.timeout_at(until) as waiting:
                session_id, after_seq = await self._session_of(command), 0
                known_in = await self._known(session_id, command) if may_be_known else None
        except TimeoutError:
            if not waiting.expired():
                raise  # Postgres is silent, and nothing was waited for
            raise not_begun(command, self._answer_timeout_s) from None
        if known_in is not None:
            session_id, position = known_in
        else:
            session_id, after_seq = await self._append(
                session_id, request, caller, traceparent, until
            )
            position = after_seq
        headers[SESSION_ID_HEADER] = session_id
        if position:
            headers[POSITION_HEADER] = str(position)
        stored = await self._outcomes.wait(
            session_id, command.command_id, after_seq=after_seq, until=until
        )
        if stored is None:
            raise no_outcome(command, self._answer_timeout_s, given=request.given)
        headers[POSITION_HEADER] = str(stored.position)
        return stored.outcome

    async def _session_of(self, command: IssuedCommand) -> str:
        """Actions, and dials linked to a leg, belong to its session; other dials have their own."""
        leg = command.call_control_id or command.parameters.get("link_to")
        if isinstance(leg, str):
            return await self._legs.session_of(leg)
        return session_id_from(command.command_id)

    async def _known(self, session_id: str, command: IssuedCommand) -> tuple[str, int] | None:
        """The session in which the same command is stored, and the position of its last record.

        None if there is none.
        Raises ErrorAnswer if another command has its id.
        """
        # A command that came before its leg's session was known is in a session of its own, so two
        # sessions are read.
        alone = session_id_from(command.call_control_id or command.command_id)
        for candidate in dict.fromkeys((session_id, alone)):
            session, last_seq = await self._folded(candidate)
            state = session.commands.get(command.command_id)
            if state is not None and state.issued is not None:
                require_same(command, state.issued)
                return candidate, last_seq
        return None

    async def _folded(self, session_id: str) -> tuple[Session, int]:
        session, last_seq = Session(session_id=session_id), 0
        slices = Slices()
        async for page in pages(self._log, session_id):
            for record in page:
                session = evolve(session, record)
                last_seq = max(last_seq, record.seq)
                await slices.yield_if_due()
        return session, last_seq

    async def _append(
        self,
        session_id: str,
        request: CommandRequest,
        caller: Caller,
        traceparent: str,
        until: float,
    ) -> tuple[str, int]:
        """Append the request. Returns where it is in the log: its session and stream sequence."""
        command = request.command
        left_s = until - asyncio.get_running_loop().time()
        if left_s <= 0:
            # The caller has given up, or will send it again: a late command is worse than none.
            raise not_begun(command, self._answer_timeout_s)
        try:
            appended = await self._log.append(
                session_id,
                "in",
                encode(CommandRequested(command=command, requested_by=caller.name), session_id),
                headers=trace_headers(traceparent),
                timeout_s=min(APPEND_TIMEOUT_S, left_s),
            )
            if not appended.duplicate:
                return session_id, appended.seq
            # The log has it already, perhaps in another session: the first time, the session of
            # its leg was not known.
            first = await self._stream.record_at(appended.seq)
        except LogUnavailable as error:
            raise not_appended(command, str(error), given=request.given) from error
        if first is None or not isinstance(first.fact, CommandRequested):
            return session_id, 0
        require_same(command, first.fact.command)
        return first.session_id, first.seq
