"""Appends in an open loop, at the least cost: what sends must leave the cores to what is measured.

A thread with a socket and the text protocol of nats-server, which reads the answers in heaps: no
record wakes it twice.
"""

import re
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from urllib.parse import urlsplit

import msgspec

from offhook.codec.facts import Encoded
from offhook.jetstream.message import headers_of
from offhook.jetstream.stream import partition_in
from offhook.jetstream.subjects import Side, subject_of
from offhook.position import position_of

INBOX = "_INBOX.bench"
READ_EVERY_S = 0.02
STORED_WITHIN_S = 60.0
Entry = tuple[str, Side, Encoded]


class Answer(msgspec.Struct):
    """What JetStream answers to a publish."""

    stream: str = ""
    seq: int = 0
    error: object = None


class Appends:
    """Records that are encoded before the first of them is sent."""

    def __init__(self, entries: Iterable[Entry], headers: Mapping[str, str] | None = None) -> None:
        """`headers` are added to those of each record."""
        self._messages = [_message(number, headers, *entry) for number, entry in enumerate(entries)]
        self._answers = bytearray()

    def __len__(self) -> int:
        return len(self._messages)

    def send(self, url: str, rate: float) -> Mapping[int, float]:
        """Send them at that rate, and wait until they are stored. Blocks.

        Returns when each append began, by `time.perf_counter`, by the record's position. Raises
        RuntimeError if one was refused, TimeoutError if the answers do not come.
        """
        place = urlsplit(url)
        began_at: list[float] = []
        with closing(socket.create_connection((place.hostname, place.port))) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.sendall(_HELLO)
            start = read_at = time.perf_counter()
            for number, message in enumerate(self._messages):
                due_at = start + number / rate
                if (wait_s := due_at - time.perf_counter()) > 0:
                    time.sleep(wait_s)
                began_at.append(time.perf_counter())
                link.sendall(message)
                if began_at[-1] > read_at + READ_EVERY_S:
                    read_at = began_at[-1]
                    self._read(link)
            deadline = time.perf_counter() + STORED_WITHIN_S
            while self._answers.count(_ANSWER_STARTS) < len(self) or self._answers[-1:] != b"\n":
                if time.perf_counter() > deadline:
                    raise TimeoutError("nats-server does not answer every append")
                time.sleep(READ_EVERY_S)
                self._read(link)
        return {
            position: began_at[number] for number, position in _stored(bytes(self._answers)).items()
        }

    def _read(self, link: socket.socket) -> None:
        while True:
            try:
                found = link.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if b"-ERR" in found or not found:
                raise RuntimeError(f"nats-server ended the connection: {found!r}")
            self._answers += found
            if b"PING\r\n" in found:
                link.sendall(b"PONG\r\n")


def _stored(answers: bytes) -> Mapping[int, int]:
    """The position of each append, by its number."""
    found: dict[int, int] = {}
    for number, body in _ANSWER.findall(answers):
        answer = _DECODER.decode(body)
        if answer.error is not None:
            raise RuntimeError(f"append {int(number)} was refused: {answer.error}")
        found[int(number)] = position_of(partition_in(answer.stream), answer.seq)
    return found


def _message(
    number: int, more: Mapping[str, str] | None, session_id: str, side: Side, encoded: Encoded
) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers_of(encoded, None, more).items()]
    headers = f"NATS/1.0\r\n{''.join(lines)}\r\n".encode()
    sizes = f"{len(headers)} {len(headers) + len(encoded.body)}"
    start = f"HPUB {subject_of(session_id, side)} {INBOX}.{number} {sizes}\r\n".encode()
    return b"".join((start, headers, encoded.body, b"\r\n"))


_HELLO = (
    b'CONNECT {"verbose": false, "headers": true, "protocol": 1, "lang": "bench"}\r\n'
    + f"SUB {INBOX}.* 1\r\n".encode()
)
_ANSWER_STARTS = f"MSG {INBOX}.".encode()
_ANSWER = re.compile(rb"MSG _INBOX\.bench\.(\d+) 1 \d+\r\n(\{[^\r]*\})\r\n")
_DECODER = msgspec.json.Decoder(Answer)
