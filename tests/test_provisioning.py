"""Which servers may carry the log: only those that flush before they acknowledge."""

import pytest

from cli.servers import NatsServer
from offhook.errors import LogUnavailable, LogUnsafe
from offhook.jetstream.stream import require_sync_always


async def test_a_node_that_is_away_does_not_take_the_services_with_it(
    nats_server: NatsServer, free_port: int
) -> None:
    await require_sync_always([f"http://127.0.0.1:{free_port}", nats_server.monitor_url])


async def test_when_no_node_answers_the_log_is_unavailable(free_port: int) -> None:
    with pytest.raises(LogUnavailable, match=str(free_port)):
        await require_sync_always([f"http://127.0.0.1:{free_port}"])


async def test_one_unsafe_node_among_safe_ones_is_refused(nats_server: NatsServer) -> None:
    with (
        NatsServer(sync_always=False) as unsafe,
        pytest.raises(LogUnsafe, match=unsafe.monitor_url),
    ):
        await require_sync_always([nats_server.monitor_url, unsafe.monitor_url])


async def test_without_an_address_to_ask_nothing_is_believed() -> None:
    with pytest.raises(LogUnsafe, match="OFFHOOK_NATS_MONITOR_URLS is empty"):
        await require_sync_always([])


async def test_asking_whether_a_server_is_safe_stops_the_loop_once_not_every_time(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await require_sync_always([nats_server.monitor_url])

    def made_again(*_: object, **__: object) -> None:
        raise AssertionError("certificates are read again")

    monkeypatch.setattr("ssl.create_default_context", made_again)
    await require_sync_always([nats_server.monitor_url])
