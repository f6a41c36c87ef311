"""Snapshots of sessions on their stream, as bytes: the latest of each session.

Nothing depends on them. A log that was provisioned by an older version has no such stream, and a
user with restricted permissions may not read it: after an error nobody waits for it again for
AWAY_S.

Deleting leaves an empty message on the session's subject, and a write replaces only the message
that its writer knows of. So what a worker still had to store when the session was erased is not
stored afterwards, in whichever order the server gets the two.
"""

import json
import time
from collections.abc import Mapping
from typing import Protocol

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError

from offhook.errors import LogUnavailable, words_of
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.stream import EXPECTED_SEQ_HEADER, SNAPSHOT_BYTES_MAX, SNAPSHOTS, TAKEN
from offhook.jetstream.subjects import snapshot_subject
from offhook.recent import RecentDict

READ_TIMEOUT_S = 0.5
WRITE_TIMEOUT_S = 5.0
DELETE_TIMEOUT_S = 10.0

AWAY_S = 60.0
"""How long the stream is left alone after it did not answer."""

WRITTEN_MAX = 1_000
"""Sessions of which it is known where their last snapshot is. Of another one it is asked."""


class SnapshotStore(Protocol):
    """What workers use of it; the stand-in of the tests implements it too."""

    async def read(self, session_id: str) -> bytes | None:
        """The session's snapshot; None without one. Raises LogUnavailable."""
        ...

    async def write(self, session_id: str, body: bytes) -> bool:
        """Replace the session's snapshot; whether it was stored. Raises LogUnavailable.

        It is not if the session's snapshot was deleted: the session was erased.
        """
        ...


class JetStreamSnapshots:
    """See `SnapshotStore`. While the stream is away there are no snapshots, which is no error."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = Inbox(client)
        self._away_until = 0.0
        self._written = RecentDict[str, int](WRITTEN_MAX)  # the sequence of each one's last

    async def read(self, session_id: str) -> bytes | None:
        """See `SnapshotStore.read`."""
        last = await self._last(session_id)
        return bytes(last.data) if last is not None and last.data else None

    async def write(self, session_id: str, body: bytes) -> bool:
        """See `SnapshotStore.write`. One that is too large is not stored."""
        if len(body) > SNAPSHOT_BYTES_MAX - _HEAD_BYTES:
            return False
        said = await self._replace(session_id, body, self._written.get(session_id, 0))
        if said is not None and said.is_taken:
            last = await self._last(session_id)
            if last is not None and not last.data:
                return False  # deleted
            said = await self._replace(session_id, body, _seq_of(last) if last is not None else 0)
        if said is None or said.is_taken:  # by another worker again: this one's is older
            return False
        if said.error is not None:
            raise self._away(said.error.description)
        self._written[session_id] = said.seq
        return True

    async def delete(self, session_id: str) -> None:
        """Delete the session's snapshot, and refuse those still on their way for SNAPSHOT_KEPT_S.

        Raises LogUnavailable.
        """
        subject = snapshot_subject(session_id)
        try:
            try:
                answer = await self._client.request(subject, b"", timeout=DELETE_TIMEOUT_S)
            except NoRespondersError:
                await self._client.jetstream(timeout=DELETE_TIMEOUT_S).stream_info(SNAPSHOTS)
                raise
            said = msgspec.json.decode(answer.data, type=_Answer)
        except NotFoundError:
            return  # without the stream there is no snapshot
        except (NatsError, TimeoutError, msgspec.DecodeError) as error:
            raise LogUnavailable(f"{subject}: {words_of(error)}") from error
        if said.error is not None:
            raise LogUnavailable(f"{subject}: NATS says: {said.error.description}")

    async def _last(self, session_id: str) -> Msg | None:
        """The message on the session's subject: without data once it was deleted."""
        ask = json.dumps({"last_by_subj": snapshot_subject(session_id)}).encode()
        answer = await self._request(f"$JS.API.DIRECT.GET.{SNAPSHOTS}", ask, {}, READ_TIMEOUT_S)
        if answer is None:
            return None
        match (answer.headers or {}).get("Status"):
            case None:
                return answer
            case "404":
                return None
            case status:
                raise self._away(f"a read was answered {status}")

    async def _replace(self, session_id: str, body: bytes, seq: int) -> "_Answer | None":
        """Write if the session's last message is that one (0: none); None if nobody listens."""
        headers = {EXPECTED_SEQ_HEADER: str(seq)}
        answer = await self._request(snapshot_subject(session_id), body, headers, WRITE_TIMEOUT_S)
        if answer is None:
            return None
        try:
            return msgspec.json.decode(answer.data, type=_Answer)
        except msgspec.DecodeError as error:
            raise self._away(f"a write was answered {bytes(answer.data)!r}") from error

    async def _request(
        self, subject: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Msg | None:
        """The answer; None if nobody listens, or it is not asked for a while."""
        if self._is_away():
            return None
        try:
            answer = await self._inbox.request(subject, body, headers, timeout_s)
        except NoRespondersError:
            self._leave_alone()
            return None
        except (NatsError, TimeoutError) as error:
            raise self._away(words_of(error)) from error
        if (answer.headers or {}).get("Status") == "503":
            self._leave_alone()
            return None
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
    seq: int = 0
    error: _Error | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the session's last message is another one than expected."""
        return self.error is not None and self.error.err_code in TAKEN


def _seq_of(message: Msg) -> int:
    return int((message.headers or {})["Nats-Sequence"])


_HEAD_BYTES = 1024
"""The stream's limit counts headers too."""
