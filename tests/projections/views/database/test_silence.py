"""A Postgres that is frozen, or was cut off: it accepts connections, and answers nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import event, make_url, text

from offhook.errors import OperatorFault
from offhook.projections.views.database.engine import Connection, open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.projections.views.progress.waiting import PositionWatch
from offhook.projections.views.schema.migrate import require_migrated

PATIENCE_S = 50.0
"""Less than a statement's timeout."""


class Line:
    """In front of a real Postgres. While `is_open` is not set, nothing gets through.

    It closes by itself at the first statement with the text `until`.
    """

    def __init__(self, postgres_url: str, until: bytes | None = None) -> None:
        where = make_url(postgres_url)
        self._socket = f"{where.query['host']}/.s.PGSQL.{where.query['port']}"
        self._database = where.database
        self._ways: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._until = until
        self.is_open = asyncio.Event()
        self.is_closed = asyncio.Event()  # by itself

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The URL that leads through it."""
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            try:
                yield f"postgresql://postgres@127.0.0.1:{port}/{self._database}"
            finally:
                for way in self._ways:
                    way.cancel()
                for writer in self._writers:
                    writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A driver that gives a statement up connects once more; the test may end meanwhile.
        self._writers.append(writer)
        self._ways.add(asyncio.create_task(self._join(reader, writer)))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above, below = await asyncio.open_unix_connection(self._socket)
        self._writers.append(below)
        for way in ((reader, below), (above, writer)):
            self._ways.add(asyncio.create_task(self._relay(*way)))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if self._until is not None and self._until in data:
                    self.is_open.clear()
                    self.is_closed.set()
                await self.is_open.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def test_what_waits_for_a_silent_postgres_is_ended_and_what_comes_then_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request waited for up to 62 s, and the next ones for its connection."""
    line = Line(database_url)
    line.is_open.set()
    async with line.serving() as url:
        engine, watching = open_database(url), open_database(url)
        async with asyncio.timeout(PATIENCE_S), PositionWatch(watching) as watch:

            async def read(connection: Connection) -> None:
                await connection.execute(text("select 1"))

            async def opened() -> None:
                async with watch.silence.connection(engine) as connection:
                    await read(connection)

            async with watch.silence.connection(engine) as connection:
                await read(connection)
                monkeypatch.setattr("offhook.projections.views.progress.waiting.SILENT_S", 0.3)
                line.is_open.clear()
                with pytest.raises(DATABASE_ERRORS):
                    await read(connection)
            with pytest.raises(TimeoutError, match="Postgres has not answered for"):
                await opened()
            monkeypatch.undo()
            line.is_open.set()
            while True:
                try:
                    await opened()
                    break
                except DATABASE_ERRORS:
                    await asyncio.sleep(0.02)
        await engine.dispose()
        await watching.dispose()


async def test_silence_that_begins_while_the_watch_connects_is_noticed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection is asked some questions first, and those were waited for as a statement."""
    line = Line(database_url)
    line.is_open.set()
    async with line.serving() as url:
        engine, watching = open_database(url), open_database(url)
        monkeypatch.setattr("offhook.projections.views.progress.waiting.CONNECT_TIMEOUT_S", 0.5)
        pool = watching.sync_engine.pool
        connected = asyncio.Event()

        def interrupt(*_: object) -> None:
            line.is_open.clear()
            connected.set()

        event.listen(pool, "first_connect", interrupt, insert=True)
        watch = PositionWatch(watching)
        async with asyncio.timeout(PATIENCE_S), watch.silence.connection(engine) as connection:
            async with watch:
                await connected.wait()
                with pytest.raises(DATABASE_ERRORS):
                    await connection.execute(text("select 1"))
            line.is_open.set()
        await engine.dispose()
        await watching.dispose()


async def test_what_waits_for_a_connection_is_ended_too(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(database_url)
    async with line.serving() as url:
        engine = open_database(url)
        monkeypatch.setattr("offhook.projections.views.database.engine.CONNECT_TIMEOUT_S", 0.1)
        watching = open_database(url)
        async with asyncio.timeout(PATIENCE_S), PositionWatch(watching) as watch:
            with pytest.raises(TimeoutError):
                async with watch.silence.connection(engine):
                    pass
        await engine.dispose()
        await watching.dispose()


async def test_connecting_can_be_given_up_while_the_server_connection_is_looked_at(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited a minute for Postgres to say that a cancelled statement was cancelled."""
    monkeypatch.setattr("offhook.projections.views.database.engine.CONNECT_TIMEOUT_S", 600.0)
    line = Line(database_url, until=b"pg_backend_pid")
    line.is_open.set()
    async with line.serving() as url:
        engine = open_database(url, statement_timeout_s=600.0)
        connecting = asyncio.create_task(engine.connect().start())
        async with asyncio.timeout(PATIENCE_S):
            await line.is_closed.wait()
        connecting.cancel()
        ended, _ = await asyncio.wait([connecting], timeout=PATIENCE_S)
        assert ended
        await engine.dispose()


async def test_the_reason_names_postgres_and_how_long_it_has_been_silent(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readiness said "cannot connect to Postgres: ; see OFFHOOK_POSTGRES_URL"."""
    monkeypatch.setattr("offhook.projections.views.database.engine.CONNECT_TIMEOUT_S", 0.1)
    async with Line(database_url).serving() as url:
        with pytest.raises(OperatorFault, match=r"to Postgres: no answer within 0\.1 s; see OFFH"):
            await require_migrated(url)
