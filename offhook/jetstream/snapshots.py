"""Snapshots of sessions on their stream, as bytes: the latest of each session.

Nothing depends on them. A log that was provisioned by an older version has no such stream, and a
user with restricted permissions may not read it: after an error nobody waits for it again for
AWAY_S.
"""

import json
import time
from typing import Any, Protocol

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from offhook.errors import LogUnavailable, words_of
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.stream import SNAPSHOT_BYTES_MAX, SNAPSHOTS
from offhook.jetstream.subjects import snapshot_subject

READ_TIMEOUT_S = 0.5
WRITE_TIMEOUT_S = 5.0
DELETE_TIMEOUT_S = 10.0

AWAY_S = 60.0
"""How long the stream is left alone after it did not answer."""


class SnapshotStore(Protocol):
    """What workers use of it; the stand-in of the tests implements it too."""

    async def read(self, session_id: str) -> bytes | None:
        """The session's snapshot; None without one. Raises LogUnavailable."""
        ...

    async def write(self, session_id: str, body: bytes) -> None:
        """Replace the session's snapshot. Raises LogUnavailable."""
        ...


class JetStreamSnapshots:
    """See `SnapshotStore`. While the stream is away there are no snapshots, which is no error."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = Inbox(client)
        self._away_until = 0.0

    async def read(self, session_id: str) -> bytes | None:
        """See `SnapshotStore.read`."""
        if self._is_away():
            return None
        ask = json.dumps({"last_by_subj": snapshot_subject(session_id)}).encode()
        answer = await self._request(f"$JS.API.DIRECT.GET.{SNAPSHOTS}", ask, READ_TIMEOUT_S)
        if answer is None:
            return None
        match (answer.headers or {}).get("Status"):
            case None:
                return bytes(answer.data)
            case "404":
                return None
            case status:
                raise self._away(f"a read was answered {status}")

    async def write(self, session_id: str, body: bytes) -> None:
        """See `SnapshotStore.write`. One that is too large is not stored."""
        if self._is_away() or len(body) > SNAPSHOT_BYTES_MAX - _HEAD_BYTES:
            return
        answer = await self._request(snapshot_subject(session_id), body, WRITE_TIMEOUT_S)
        if answer is None:
            return
        try:
            said = msgspec.json.decode(answer.data, type=_Answer)
        except msgspec.DecodeError as error:
            raise self._away(f"a write was answered {bytes(answer.data)!r}") from error
        if said.error is not None:
            raise self._away(said.error.description)

    async def delete(self, session_id: str) -> None:
        """Delete the session's snapshot, if there is one. Raises LogUnavailable."""
        subject = f"$JS.API.STREAM.PURGE.{SNAPSHOTS}"
        ask = json.dumps({"filter": snapshot_subject(session_id)}).encode()
        try:
            answer = await self._client.request(subject, ask, timeout=DELETE_TIMEOUT_S)
            said = msgspec.json.decode(answer.data, type=_Answer)
        except (NatsError, TimeoutError, msgspec.DecodeError) as error:
            raise LogUnavailable(f"{subject}: {words_of(error)}") from error
        if said.error is not None and said.error.err_code != _NO_STREAM:
            raise LogUnavailable(f"{subject}: NATS says: {said.error.description}")

    async def _request(self, subject: str, body: bytes, timeout_s: float) -> Any:
        """The answer; None if nobody listens."""
        try:
            answer = await self._inbox.request(subject, body, {}, timeout_s)
        except NoRespondersError:
            return self._leave_alone()
        except (NatsError, TimeoutError) as error:
            raise self._away(words_of(error)) from error
        if (answer.headers or {}).get("Status") == "503":
            return self._leave_alone()
        return answer

    def _is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def _leave_alone(self) -> None:
        self._away_until = time.monotonic() + AWAY_S

    def _away(self, why: str) -> LogUnavailable:
        self._leave_alone()
        return LogUnavailable(f"stream {SNAPSHOTS}: {why}")


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: _Error | None = None


_NO_STREAM = 10059
_HEAD_BYTES = 1024
"""The stream's limit counts headers too."""
