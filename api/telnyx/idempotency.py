"""Requests that are repeated: which command is meant where the body has no command_id.

    the request                      whose command it is
    has an Idempotency-Key           one of its own by a command_id made of the token's name and the
                                     key: every request with this key means the same command
    counts as a retry of an SDK      if the same token gave the identical command a moment ago:
      that try's caller went away      the same command, whose answer it still waits for
      that try's caller was answered   a new one: that try is done with
      that try's caller still waits,   409, and nothing is done: it may be another caller, or the
      or another process had it        same behind a proxy that has not noticed, or in need of an
                                       answer that a killed process never gave
      there was no such try            a new one: the first never arrived
    any other                        a new one

An SDK repeats by itself what got no answer, and counts in x-stainless-retry-count; it sends nothing
that tells two commands from two tries of one. So an identical command is only looked for behind
that header, and never guessed to be the same where its caller may have been answered.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
from fastapi import Request as HttpRequest

from offhook.api.auth import Caller
from offhook.api.errors import RETRY_HEADER, ErrorAnswer, refusal
from offhook.api.freshness import Views
from offhook.api.telnyx.commands import COMMAND_ID_HEADER, Request
from offhook.events import CommandRequested, IssuedCommand
from offhook.jetstream.log import EventLog
from offhook.projections.views.commands import CommandView, list_recent_commands
from offhook.recent import RecentDict

KEY_HEADER = "idempotency-key"
RETRY_COUNT_HEADER = "x-stainless-retry-count"

RETRY_WINDOW_S = 150.0
"""From the first try to the last retry: an SDK waits 60 s for each answer, and retries twice."""

TRIES_MAX = 10_000
KEY_CHARACTERS_MAX = 256

_KEYS = uuid.UUID("5e0a7d0c-3d6b-4a46-9d1e-0f6d6f2f8f5b")  # chosen once, at random


@dataclass(kw_only=True)
class _Try:
    """A request without a command_id of the caller's. `http` is there while its caller waits."""

    command_id: str
    fingerprint: bytes
    at: datetime
    http: HttpRequest | None
    answered: bool = False  # for certain, as far as a server can know

    async def unheard(self) -> bool:
        """Its caller went away without an answer, or with one that left the outcome open."""
        if self.http is not None:
            return await self.http.is_disconnected()
        return not self.answered


class Repeats:
    """The tries of this process, and those of others as the views have them."""

    def __init__(self, *, views: Views, log: EventLog, now: Callable[[], datetime]) -> None:
        self._views = views
        self._log = log
        self._now = now
        self._tries = RecentDict[str, _Try](TRIES_MAX)  # by command_id, the oldest first

    @asynccontextmanager
    async def told_apart(
        self, asked: Request, caller: Caller, http: HttpRequest
    ) -> AsyncIterator[Request]:
        """The request with the command that it means; leave the block with the answer in hand.

        Raises ErrorAnswer where nobody can say.
        """
        if asked.given:
            yield asked
            return
        if (key := _key_in(http)) is not None:
            command_id = str(uuid.uuid5(_KEYS, f"{caller.name}:{key}"))
            yield replace(asked, command=replace(asked.command, command_id=command_id), given=True)
            return
        fingerprint = _fingerprint(asked.command, caller)
        if _is_retry(http) and (first := await self._first_try(asked, caller, fingerprint)):
            asked = replace(asked, command=replace(asked.command, command_id=first), repeated=True)
        one = _Try(
            command_id=asked.command.command_id,
            fingerprint=fingerprint,
            at=self._now(),
            http=http,
        )
        self._remember(one)
        settled = False
        try:
            yield asked
            settled = True
        except ErrorAnswer as error:
            settled = error.status not in _OPEN and error.headers.get(RETRY_HEADER) != "false"
            raise
        finally:
            one.answered = settled and not await http.is_disconnected()
            one.http = None

    async def _first_try(self, asked: Request, caller: Caller, fingerprint: bytes) -> str | None:
        """The command_id of the try that this one repeats; None if it is a new command."""
        since = self._now() - timedelta(seconds=RETRY_WINDOW_S)
        alike = [
            one
            for one in reversed(self._tries.values())
            if one.at >= since and one.fingerprint == fingerprint
        ]
        for one in alike:
            if await one.unheard():
                return one.command_id
        command_id = next((one.command_id for one in alike if one.http is not None), None)
        command_id = command_id or await self._of_another_process(asked.command, caller, since)
        if command_id is None:
            return None
        operation = asked.command.operation
        raise refusal(
            409,
            "10012",
            f"{operation}: it is repeated without a command_id, and an identical {operation} was "
            f"requested a moment ago as {command_id}. Nothing was done. If that was the try which "
            f"this one repeats, give command_id {command_id} to get its answer; for another "
            f"{operation} give it a command_id of its own",
            pointer="/command_id",
            headers={RETRY_HEADER: "false", COMMAND_ID_HEADER: command_id},
        )

    async def _of_another_process(
        self, command: IssuedCommand, caller: Caller, since: datetime
    ) -> str | None:
        """The command_id of the latest identical command that this process knows nothing of."""
        if not await self._views.catch_up():
            raise refusal(
                503,
                "10007",
                f"{command.operation}: it is repeated without a command_id, and whether it was "
                "requested before cannot be told: the views are behind. Nothing was done",
            )
        async with self._views.connection() as connection:
            alike = await list_recent_commands(connection, command, since=since)
        for found in alike:
            if found.command_id in self._tries or _had_no_effect(found):
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

    def _remember(self, one: _Try) -> None:
        self._tries[one.command_id] = one


_OPEN = frozenset({429, 503})
"""Such an answer is about the request alone: what an earlier try of the command did is open still.
The carrier's own never leave a worker."""


def _fingerprint(command: IssuedCommand, caller: Caller) -> bytes:
    # A digest: there may be a password among the parameters, and this outlives the request.
    what = (caller.name, command.operation, command.call_control_id, command.parameters)
    return hashlib.sha256(msgspec.json.encode(what, order="sorted")).digest()


def _had_no_effect(command: CommandView) -> bool:
    if command.maybe_performed is None:  # it was not kept
        return command.status == "failed" and command.reason != "deadline"
    return not command.maybe_performed


def _is_retry(http: HttpRequest) -> bool:
    return http.headers.get(RETRY_COUNT_HEADER, "0").strip() != "0"


def _key_in(http: HttpRequest) -> str | None:
    key = http.headers.get(KEY_HEADER)
    if key is None:
        return None
    if not 0 < len(key) <= KEY_CHARACTERS_MAX:
        detail = f"Idempotency-Key has {len(key)} characters; expected 1 to {KEY_CHARACTERS_MAX}"
        raise refusal(422, "10015", detail)
    return key
