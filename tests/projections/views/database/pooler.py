"""A stand-in for PgBouncer with its defaults, in two of its modes.

No registry that the tests use has the real one. As 1.18 does, it refuses startup parameters that it
does not track, makes up the key data of its clients, and in transaction mode gives the server
connection to whoever begins next.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

from sqlalchemy import make_url

Mode = Literal["session", "transaction"]
TRACKED = {"user", "database", "client_encoding", "datestyle", "timezone", "application_name"}
SSL_REQUEST = 80877103
KEY_DATA = b"K" + struct.pack("!iii", 12, 1, 1)

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


@asynccontextmanager
async def pooler(postgres_url: str, mode: Mode) -> AsyncIterator[str]:
    """Its URL, while it stands in front of the database of `postgres_url`."""
    one = _Pooler(postgres_url, mode)
    database = make_url(postgres_url).database
    async with await asyncio.start_server(one.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/{database}"
        finally:
            one.close()


class _Pooler:
    def __init__(self, postgres_url: str, mode: Mode) -> None:
        where = make_url(postgres_url).query
        self._socket = f"{where['host']}/.s.PGSQL.{where['port']}"
        self._mode = mode
        self._lock = asyncio.Lock()
        self._shared: tuple[Reader, Writer] | None = None
        self._greeting = b""
        self._writers: list[Writer] = []

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self._writers.append(writer)
        try:
            startup = await _startup(reader, writer)
            if startup is None:
                return
            if self._mode == "session":
                await self._session(startup, reader, writer)
            else:
                await self._transactions(startup, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _session(self, startup: bytes, reader: Reader, writer: Writer) -> None:
        above, below, greeting = await self._connected(startup)
        writer.write(greeting)
        ways = [asyncio.create_task(_relay(*way)) for way in ((above, writer), (reader, below))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            below.close()

    async def _transactions(self, startup: bytes, reader: Reader, writer: Writer) -> None:
        async with self._lock:
            if self._shared is None:
                above, below, self._greeting = await self._connected(startup)
                self._shared = above, below
        above, below = self._shared
        writer.write(self._greeting)
        coming = asyncio.create_task(_message(reader))
        while True:
            message = await coming
            coming = asyncio.create_task(_message(reader))
            if message[:1] == b"X":
                coming.cancel()
                return
            async with self._lock:
                below.write(message)
                idle = asyncio.create_task(_answered(above, writer))
                while not idle.done():
                    await asyncio.wait({coming, idle}, return_when=asyncio.FIRST_COMPLETED)
                    if not idle.done():
                        below.write(coming.result())
                        coming = asyncio.create_task(_message(reader))

    async def _connected(self, startup: bytes) -> tuple[Reader, Writer, bytes]:
        """A server connection, and what it said, with key data that is made up."""
        above, below = await asyncio.open_unix_connection(self._socket)
        self._writers.append(below)
        below.write(startup)
        greeting = b""
        while True:
            message = await _message(above)
            greeting += KEY_DATA if message[:1] == b"K" else message
            if message[:1] == b"Z":
                return above, below, greeting


async def _startup(reader: Reader, writer: Writer) -> bytes | None:
    """The client's startup message; None if it was refused."""
    while True:
        size = await reader.readexactly(4)
        body = await reader.readexactly(struct.unpack("!i", size)[0] - 4)
        if struct.unpack("!i", body[:4])[0] != SSL_REQUEST:
            break
        writer.write(b"N")
    names = [name.decode().lower() for name in body[4:].split(b"\0")[:-2:2]]
    if unknown := [name for name in names if name not in TRACKED]:
        said = f"SFATAL\0C08P01\0Munsupported startup parameter: {unknown[0]}\0\0".encode()
        writer.write(b"E" + struct.pack("!i", len(said) + 4) + said)
        return None
    return size + body


async def _message(reader: Reader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


async def _answered(above: Reader, writer: Writer) -> None:
    """Pass on what the server says until it is in no transaction."""
    message = b""
    while message[:1] != b"Z" or message[5:] != b"I":
        message = await _message(above)
        writer.write(message)


async def _relay(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
