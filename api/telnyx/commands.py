"""A command from an application: check it, append it, wait for what a worker made of it.

    body ─check─▶ known in the session's log? ──no──▶ append CommandRequested ─▶ wait ─▶ answer
                     │ the same: wait for its outcome                             ▲
                     │ another:  422                    the log knew it elsewhere ┘

The command_id is the caller's, or made here and returned in the header Offhook-Command-Id. A header
Offhook-Warning says if the call's webhooks go elsewhere. A request that is repeated with the same
command_id gets the same answer and never has a second effect. One without is judged by
`offhook.api.telnyx.idempotency`.
"""

import asyncio
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from offhook.api.auth import Caller
from offhook.api.errors import ErrorAnswer, call_unknown, parameter_invalid, refusal
from offhook.api.telnyx.answers import answer_of, no_outcome, not_appended, not_begun
from offhook.api.telnyx.legs import Legs
from offhook.api.telnyx.outcomes import Outcome, Outcomes
from offhook.codec import encode
from offhook.commands.catalog import command_from, parameters_of
from offhook.commands.paths import SEGMENT_RULE, is_segment
from offhook.commands.webhook_targets import WARNING_HEADER, require_post, sent_elsewhere
from offhook.errors import LogUnavailable, ParameterInvalid, shown
from offhook.events import CommandRequested, IssuedCommand, session_id_from
from offhook.jetstream.log import APPEND_TIMEOUT_S, EventLog, pages, trace_headers
from offhook.jetstream.lookup import Stream
from offhook.process.slices import Slices
from offhook.session import Session, evolve

COMMAND_ID_HEADER = "offhook-command-id"
CALL_CONTROL_ID_MAX = 256


@dataclass(frozen=True, kw_only=True)
class Request:
    """A checked command.

    `given`: its command_id is the caller's, so whoever repeats the request means the same command.
    `repeated`: an earlier try of it may be in the log, see `offhook.api.telnyx.idempotency`.
    """

    command: IssuedCommand
    given: bool
    repeated: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the application is told of a command that succeeded."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


def request_from(operation: str, call_control_id: str | None, body: bytes) -> Request:
    """The command in a request body. Raises ErrorAnswer naming the first field that is wrong."""
    if call_control_id is not None and not is_call_control_id(call_control_id):
        raise call_unknown(
            f"{operation}: call_control_id {shown(call_control_id)} is not valid; "
            f"{SEGMENT_RULE}, and at most {CALL_CONTROL_ID_MAX} characters"
        )
    try:
        body.decode()
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8: byte {error.start} cannot be decoded"
        raise refusal(400, "10028", detail) from None
    try:
        parameters = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(400, "10023", f"The body is not a JSON object: {error}") from None
    command_id = parameters.pop("command_id", None)
    try:
        if command_id is not None:
            _check_command_id(operation, command_id)
        command = command_from(operation, parameters, call_control_id)
        require_post(operation, parameters)
    except ParameterInvalid as error:
        raise parameter_invalid(error) from None
    issued = IssuedCommand(
        command_id=command_id or str(uuid.uuid4()),
        operation=operation,
        call_control_id=call_control_id,
        parameters=parameters_of(command),
    )
    return Request(command=issued, given=command_id is not None)


class Commands:
    """Carries commands through. `answer_timeout_s` bounds a request from its body to its answer."""

    def __init__(
        self,
        *,
        log: EventLog,
        stream: Stream,
        outcomes: Outcomes,
        legs: Legs,
        answer_timeout_s: float,
        webhook_url: str = "",
    ) -> None:
        """`webhook_url` is where the carrier reaches ingress; empty if nobody knows."""
        self._log = log
        self._stream = stream
        self._outcomes = outcomes
        self._legs = legs
        self._answer_timeout_s = answer_timeout_s
        self._webhook_url = webhook_url

    def until(self) -> float:
        """When a request that came now has to be answered, in the loop's time."""
        return asyncio.get_running_loop().time() + self._answer_timeout_s

    async def carry_through(
        self, request: Request, caller: Caller, traceparent: str, *, until: float
    ) -> Answer:
        """The carrier's own answer. Raises ErrorAnswer, also with the carrier's own errors."""
        headers = {COMMAND_ID_HEADER: request.command.command_id}
        if warnings := "; ".join(sent_elsewhere(request.command, self._webhook_url)):
            headers[WARNING_HEADER] = warnings.encode("ascii", "backslashreplace").decode()
        try:
            with self._outcomes.place():
                outcome = await self._outcome(request, caller, traceparent, until)
            status, body = answer_of(outcome)
        except ErrorAnswer as error:
            error.headers.update(headers)
            raise
        self._legs.placed(body)
        return Answer(status=status, body=body, headers=headers)

    async def _outcome(
        self, request: Request, caller: Caller, traceparent: str, until: float
    ) -> Outcome:
        command = request.command
        may_be_known = request.given or request.repeated
        try:
            async with asyncio.timeout_at(until):
                session_id, after_seq = await self._session_of(command), 0
                known_in = await self._known(session_id, command) if may_be_known else None
        except TimeoutError:
            raise not_begun(command, self._answer_timeout_s) from None
        if known_in is not None:
            session_id = known_in
        else:
            session_id, after_seq = await self._append(
                session_id, request, caller, traceparent, until
            )
        outcome = await self._outcomes.wait(
            session_id, command.command_id, after_seq=after_seq, until=until
        )
        if outcome is None:
            raise no_outcome(command, self._answer_timeout_s, given=request.given)
        return outcome

    async def _session_of(self, command: IssuedCommand) -> str:
        """Actions, and dials linked to a leg, belong to its session; other dials have their own."""
        leg = command.call_control_id or command.parameters.get("link_to")
        if isinstance(leg, str):
            return await self._legs.session_of(leg)
        return session_id_from(command.command_id)

    async def _known(self, session_id: str, command: IssuedCommand) -> str | None:
        """The session that has this very command; None if none has it.

        Raises ErrorAnswer if there is another one by this id.
        """
        # What came before the leg's session was known has a session of its own, so two are read.
        alone = session_id_from(command.call_control_id or command.command_id)
        for place in dict.fromkeys((session_id, alone)):
            session = Session(session_id=place)
            slices = Slices()
            async for page in pages(self._log, place):
                for record in page:
                    session = evolve(session, record)
                    await slices.yield_if_due()
            state = session.commands.get(command.command_id)
            if state is not None and state.issued is not None:
                _require_same(command, state.issued)
                return place
        return None

    async def _append(
        self,
        session_id: str,
        request: Request,
        caller: Caller,
        traceparent: str,
        until: float,
    ) -> tuple[str, int]:
        """Where the request is in the log: the session, and the stream sequence."""
        command = request.command
        left_s = until - asyncio.get_running_loop().time()
        if left_s <= 0:
            # Whoever asked has given up, or will ask again: nobody expects it any more.
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
            # The log had it, perhaps in another session: the leg's was not known the first time.
            first = await self._stream.record_at(appended.seq)
        except LogUnavailable as error:
            raise not_appended(command, str(error), given=request.given) from error
        if first is None or not isinstance(first.fact, CommandRequested):
            return session_id, 0
        _require_same(command, first.fact.command)
        return first.session_id, first.seq


def _require_same(command: IssuedCommand, first: IssuedCommand) -> None:
    names = command.parameters.keys() | first.parameters.keys()
    other = sorted(
        name for name in names if command.parameters.get(name) != first.parameters.get(name)
    )
    if command.operation == first.operation and command.call_control_id == first.call_control_id:
        if not other:
            return
        # Only the names: a value may be a password.
        used = f"with other values of {', '.join(other)}"
    else:
        leg = f" of {first.call_control_id}" if first.call_control_id else ""
        used = f"for {first.operation}{leg}"
    raise refusal(
        422,
        "10015",
        f"{command.operation}: command_id {command.command_id} was used before, {used}; "
        "another command needs a command_id of its own",
        pointer="/command_id",
    )


def is_call_control_id(text: str) -> bool:
    """Whether the carrier can be asked about it, and a record's header can carry it."""
    return len(text) <= CALL_CONTROL_ID_MAX and is_segment(text)


def _check_command_id(operation: str, command_id: Any) -> None:
    # It becomes part of a header of the log's, so nothing may be in it that ends a header.
    if not isinstance(command_id, str):
        rule = "expected a text, got something else"
        raise ParameterInvalid(operation, "command_id", command_id, rule)
    if not _COMMAND_ID.fullmatch(command_id):
        raise ParameterInvalid(
            operation,
            "command_id",
            command_id,
            "expected 1 to 128 printable ASCII characters without a space at either end",
        )


_COMMAND_ID = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?")
