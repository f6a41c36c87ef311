"""Appends in an open loop, at the least cost: what sends must leave the cores to what is measured.

A bare connection with the text protocol of nats-server. An append takes 0.08 ms of the sender's
processor time; with nats-py and `JetStreamLog` it took 0.16. The projector takes 0.2 for a record.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec

from offhook.codec.facts import Encoded
from offhook.jetstream.message import headers_of
from offhook.jetstream.stream import partition_in
from offhook.jetstream.subjects import Side, subject_of
from offhook.position import position_of

INBOX = "_INBOX.bench"


class Answer(msgspec.Struct):
    """What JetStream answers to a publish."""

    stream: str = ""
    seq: int = 0
    error: object = None


class Sender:
    """`began` has when each append began, by `time.perf_counter`, by the record's position."""

    def __init__(self, writer: asyncio.StreamWriter, messages: Sequence[bytes]) -> None:
        self.began: dict[int, float] = {}
        self._writer = writer
        self._messages = messages
        self._began_at: list[float] = []
        self._over = asyncio.Event()

    def send_next(self) -> None:
        """Begin the next append."""
        self._writer.write(self._messages[len(self._began_at)])
        self._began_at.append(time.perf_counter())

    async def all_stored(self) -> None:
        """Wait until all appends are acknowledged."""
        await self._over.wait()

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Read answers until it is cancelled. Raises RuntimeError if an append was refused."""
        while True:
            kind, *words = (await reader.readline()).split()
            if kind == b"PING":
                self._writer.write(b"PONG\r\n")
            elif kind == b"MSG":
                body = await reader.readexactly(int(words[-1]) + 2)
                self._answered(int(words[0].rpartition(b".")[2]), body[:-2])
            elif kind not in (b"INFO", b"+OK", b"PONG"):
                raise RuntimeError(f"nats-server says: {kind!r} {words}")

    def _answered(self, number: int, body: bytes) -> None:
        answer = _ANSWERS.decode(body)
        if answer.error is not None:
            raise RuntimeError(f"append {number} was refused: {answer.error}")
        position = position_of(partition_in(answer.stream), answer.seq)
        self.began[position] = self._began_at[number]
        if len(self.began) == len(self._messages):
            self._over.set()


@asynccontextmanager
async def sender_of(
    url: str, entries: Iterable[tuple[str, Side, Encoded]]
) -> AsyncIterator[Sender]:
    """A sender of these records, encoded beforehand."""
    messages = [_message(number, *entry) for number, entry in enumerate(entries)]
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(b'CONNECT {"verbose": false, "headers": true, "protocol": 1, "lang": "bench"}\r\n')
    writer.write(f"SUB {INBOX}.* 1\r\n".encode())
    sender = Sender(writer, messages)
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(sender.read(reader))
            yield sender
            reading.cancel()
    finally:
        writer.close()


def _message(number: int, session_id: str, side: Side, encoded: Encoded) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers_of(encoded, None, None).items()]
    headers = f"NATS/1.0\r\n{''.join(lines)}\r\n".encode()
    sizes = f"{len(headers)} {len(headers) + len(encoded.body)}"
    start = f"HPUB {subject_of(session_id, side)} {INBOX}.{number} {sizes}\r\n".encode()
    return b"".join((start, headers, encoded.body, b"\r\n"))


_ANSWERS = msgspec.json.Decoder(Answer)
