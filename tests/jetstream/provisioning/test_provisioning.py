"""Which servers may carry the log: only those that flush before they acknowledge."""

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import LogUnavailable, LogUnsafe
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.provisioning.provision import provision, require_provisioned, require_safe
from offhook.jetstream.provisioning.servers import ServerReport, unsafe
from offhook.jetstream.stream import RECORD_BYTES_MAX


async def test_a_node_that_is_away_does_not_take_the_services_with_it(
    nats_server: NatsServer, free_port: int
) -> None:
    await require_safe([f"http://127.0.0.1:{free_port}", nats_server.monitor_url])


async def test_when_no_node_answers_the_log_is_unavailable(free_port: int) -> None:
    with pytest.raises(LogUnavailable, match=str(free_port)):
        await require_safe([f"http://127.0.0.1:{free_port}"])


async def test_one_unsafe_node_among_safe_ones_is_refused(nats_server: NatsServer) -> None:
    with (
        NatsServer(sync_always=False) as unsafe,
        pytest.raises(LogUnsafe, match=unsafe.monitor_url),
    ):
        await require_safe([nats_server.monitor_url, unsafe.monitor_url])


async def test_without_an_address_to_ask_nothing_is_believed() -> None:
    with pytest.raises(LogUnsafe, match="OFFHOOK_NATS_MONITOR_URLS is empty"):
        await require_safe([])


@pytest.mark.parametrize("version", ["2.10.26", "2.11.11", "2.12.8", "2.13.9", "", "dev"])
def test_an_older_server_is_refused_by_name(version: str) -> None:
    refusal = unsafe(answering(version=version), RECORD_BYTES_MAX)
    assert refusal is not None
    assert f"is version {version or 'unknown'}" in refusal.found
    assert refusal.fix.startswith("upgrade it to 2.14.0 or later")


@pytest.mark.parametrize("version", ["2.14.0", "2.15.1", "2.16.0-RC.1", "3.0.0"])
def test_a_newer_server_is_accepted(version: str) -> None:
    assert unsafe(answering(version=version), RECORD_BYTES_MAX) is None


def answering(version: str = "2.15.1", max_payload: int = 2**23) -> ServerReport:
    return ServerReport(url="http://n1:8222", version=version, max_payload=max_payload)


def test_a_server_must_take_the_largest_record_with_its_headers() -> None:
    assert unsafe(answering(max_payload=RECORD_BYTES_MAX), RECORD_BYTES_MAX) is None
    refusal = unsafe(answering(max_payload=RECORD_BYTES_MAX - 1), RECORD_BYTES_MAX)
    assert refusal is not None
    assert refusal.found.endswith(f"http://n1:8222 is {RECORD_BYTES_MAX - 1} bytes")
    assert f"`max_payload` to at least {RECORD_BYTES_MAX}" in refusal.fix


def test_a_server_whose_jetstream_is_off_loses_no_writes() -> None:
    """It shows no settings then; it is out, which is another thing than unsafe."""
    off = ServerReport(
        url="u", version="2.15.1", max_payload=2**23, jetstream=False, sync_always=False
    )
    assert unsafe(off, RECORD_BYTES_MAX) is None
    assert off.cannot_write is not None
    assert off.cannot_write.found == "JetStream is off on the NATS server at u"


async def test_neither_provisioning_nor_readiness_accepts_an_older_server(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await connect(nats_server.url, "test")
    monkeypatch.setattr("offhook.jetstream.provisioning.servers.VERSION_MIN", (99, 0, 0))
    for refusing in (
        provision(client, [nats_server.monitor_url]),
        require_provisioned(client, [nats_server.monitor_url]),
    ):
        with pytest.raises(LogUnsafe, match=r"is version 2\.15\.\d+; upgrade it to 99\.0\.0"):
            await refusing
    await close(client)


async def test_asking_whether_a_server_is_safe_stops_the_loop_once_not_every_time(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await require_safe([nats_server.monitor_url])

    def made_again(*_: object, **__: object) -> None:
        raise AssertionError("certificates are read again")

    monkeypatch.setattr("ssl.create_default_context", made_again)
    await require_safe([nats_server.monitor_url])
