"""Idempotency: which command a request means if its body has no command_id.

    the request                       the command
    has an Idempotency-Key            its own; the command_id is derived from the token's name and
                                      the key, so every request with this key means this command
    counts as a retry of an SDK       looked up among recent identical commands of the same token:
      the first caller went away        the same command, whose answer it still waits for
      the first caller was answered     a new one: the first is done
      the first caller still waits,     409, and nothing is done: this may be another caller, or the
      or another process had it         same one behind a proxy that has not noticed, or one whose
                                        answer a killed process never gave
      there was none                    a new one: the first request never arrived
    any other                         a new one

The official SDKs retry by themselves when they get no answer, and count retries in
x-stainless-retry-count; they send nothing that distinguishes two commands from two attempts of one.
So an identical command is looked up only if that header says that the request is a retry, and never
assumed to be the same if its caller may have been answered.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
from fastapi import Request

from offhook.api.auth import Caller
from offhook.api.errors import RETRY_HEADER, ErrorAnswer, refusal
from offhook.api.freshness import Views
from offhook.api.telnyx.requests import COMMAND_ID_HEADER, CommandRequest
from offhook.events import CommandRequested, IssuedCommand
from offhook.jetstream.log import EventLog
from offhook.projections.views.commands import CommandView, list_recent_commands
from offhook.recent import RecentDict

KEY_HEADER = "idempotency-key"
RETRY_COUNT_HEADER = "x-stainless-retry-count"

RETRY_WINDOW_S = 150.0
"""From first request to last retry: an SDK waits 60 s for each answer, and retries twice."""

RECENT_MAX = 10_000
"""Requests without a command_id that this process remembers."""

KEY_CHARACTERS_MAX = 256

_KEYS = uuid.UUID("5e0a7d0c-3d6b-4a46-9d1e-0f6d6f2f8f5b")  # chosen once, at random


@dataclass(kw_only=True)
class _RecentRequest:
    """A request without a command_id of the caller's. `http` is there while its caller waits."""

    command_id: str
    fingerprint: bytes
    at: datetime
    http: Request | None
    answered: bool = False  # for certain, as far as a server can know

    async def is_unanswered(self) -> bool:
        """Its caller went away without an answer, or with one that left the outcome open."""
        if self.http is not None:
            return await self.http.is_disconnected()
        return not self.answered


class Idempotency:
    """Knows the recent requests of this process, and those of others as the views have them."""

    def __init__(self, *, views: Views, log: EventLog, now: Callable[[], datetime]) -> None:
        self._views = views
        self._log = log
        self._now = now
        self._recent = RecentDict[str, _RecentRequest](RECENT_MAX)  # by command_id, oldest first

    @asynccontextmanager
    async def resolved(
        self, request: CommandRequest, caller: Caller, http: Request
    ) -> AsyncIterator[CommandRequest]:
        """The request with the id of the command that it means, and `given` or `repeated` set.

        Leave the block when the answer is known. Raises ErrorAnswer 409 or 503 if it cannot be
        decided which command is meant, 422 for a key that is too long.
        """
        if request.given:
            yield request
            return
        if (key := _key_in(http)) is not None:
            command_id = str(uuid.uuid5(_KEYS, f"{caller.name}:{key}"))
            yield replace(_with_id(request, command_id), given=True)
            return
        fingerprint = _fingerprint(request.command, caller)
        if _is_retry(http) and (first := await self._first_id(request, caller, fingerprint)):
            request = replace(_with_id(request, first), repeated=True)
        recent = _RecentRequest(
            command_id=request.command.command_id,
            fingerprint=fingerprint,
            at=self._now(),
            http=http,
        )
        self._recent[recent.command_id] = recent
        settled = False
        try:
            yield request
            settled = True
        except ErrorAnswer as error:
            settled = error.status not in _OPEN and error.headers.get(RETRY_HEADER) != "false"
            raise
        finally:
            recent.answered = settled and not await http.is_disconnected()
            recent.http = None

    async def _first_id(
        self, request: CommandRequest, caller: Caller, fingerprint: bytes
    ) -> str | None:
        """The command_id of the request that this one retries; None if it is a new command."""
        since = self._now() - timedelta(seconds=RETRY_WINDOW_S)
        identical = [
            each
            for each in reversed(self._recent.values())
            if each.at >= since and each.fingerprint == fingerprint
        ]
        for each in identical:
            if await each.is_unanswered():
                return each.command_id
        command_id = next((each.command_id for each in identical if each.http is not None), None)
        command_id = command_id or await self._of_another_process(request.command, caller, since)
        if command_id is None:
            return None
        operation = request.command.operation
        raise refusal(
            409,
            "10012",
            f"{operation}: this is a retry without a command_id, and an identical {operation} was "
            f"requested a moment ago as {command_id}. Nothing was done. If that was the request "
            f"which this one retries, send command_id {command_id} to get its answer; for another "
            f"{operation}, send a command_id of its own",
            pointer="/command_id",
            headers={RETRY_HEADER: "false", COMMAND_ID_HEADER: command_id},
        )

    async def _of_another_process(
        self, command: IssuedCommand, caller: Caller, since: datetime
    ) -> str | None:
        """The command_id of the latest identical command that another process received."""
        if not await self._views.catch_up():
            raise refusal(
                503,
                "10007",
                f"{command.operation}: this is a retry without a command_id, and it is unknown "
                "whether it was requested before: the views are behind. Nothing was done",
            )
        async with self._views.connection() as connection:
            identical = await list_recent_commands(connection, command, since=since)
        for found in identical:
            if found.command_id in self._recent or _had_no_effect(found):
                continue
            for record in await self._log.read(found.session_id):
                fact = record.fact
                if (
                    isinstance(fact, CommandRequested)
                    and fact.requested_by == caller.name
                    and replace(fact.command, command_id=command.command_id) == command
                    and fact.command.command_id == found.command_id
                ):
                    return found.command_id
        return None


_OPEN = frozenset({429, 503})
"""Such an answer is about this request alone: the outcome of an earlier one of the same command is
still open. The carrier's own 429 and 503 never leave a worker."""


def _with_id(request: CommandRequest, command_id: str) -> CommandRequest:
    return replace(request, command=replace(request.command, command_id=command_id))


def _fingerprint(command: IssuedCommand, caller: Caller) -> bytes:
    # A digest: the parameters may contain a password, and this outlives the request.
    identity = (caller.name, command.operation, command.call_control_id, command.parameters)
    return hashlib.sha256(msgspec.json.encode(identity, order="sorted")).digest()


def _had_no_effect(command: CommandView) -> bool:
    if command.maybe_performed is None:  # records from before this was stored
        return command.status == "failed" and command.reason != "deadline"
    return not command.maybe_performed


def _is_retry(http: Request) -> bool:
    return http.headers.get(RETRY_COUNT_HEADER, "0").strip() != "0"


def _key_in(http: Request) -> str | None:
    key = http.headers.get(KEY_HEADER)
    if key is None:
        return None
    if not 0 < len(key) <= KEY_CHARACTERS_MAX:
        detail = f"Idempotency-Key has {len(key)} characters; expected 1 to {KEY_CHARACTERS_MAX}"
        raise refusal(422, "10015", detail)
    return key
