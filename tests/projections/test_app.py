"""The projector's process: health, metrics, an orderly end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from tests.guarded_nats import GuardedNats
from tests.projections.story import (
    TIMEOUT_S,
    call,
    cold_views,
    last_seq,
    publish,
    stored_views,
)


async def test_the_process_projects_reports_and_drains(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    database_url: str,
    free_port: int,
) -> None:
    await publish(log, call("s"))
    settings = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OFFHOOK_NATS_URL": own_nats_server.url,
        "OFFHOOK_NATS_MONITOR_URLS": own_nats_server.monitor_url,
        "OFFHOOK_POSTGRES_URL": database_url,
        "OFFHOOK_PROJECTOR_PORT": str(free_port),
    }
    process = _start(settings)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", timeout=60) as http:
            await _ready(http)
            metrics = await _metrics_at(http, await last_seq(client))
            assert f"offhook_projector_records_total {len(call('s'))}.0" in metrics
            assert "offhook_projector_active 1.0" in metrics
        process.send_signal(signal.SIGTERM)
        _, logs = process.communicate(timeout=TIMEOUT_S)
        # uvicorn ends with the signal that it was sent, once everything is in order.
        assert process.returncode in (0, -signal.SIGTERM)
        [stopped] = [each for each in logs.splitlines() if b"projector stopped" in each]
        assert json.loads(stopped)["records"] == len(call("s"))
    finally:
        process.kill()
        process.wait()
    assert await stored_views(engine) == await cold_views(log, ["s"])


async def test_a_projector_that_the_log_no_longer_lets_in_ends_and_says_so(
    database_url: str, free_port: int
) -> None:
    with GuardedNats() as nats:
        client = await connect(nats.url, "test")
        await provision(client, [nats.monitor_url])
        await close(client)
        process = _start(
            {
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "OFFHOOK_NATS_URL": nats.url,
                "OFFHOOK_NATS_MONITOR_URLS": nats.monitor_url,
                "OFFHOOK_POSTGRES_URL": database_url,
                "OFFHOOK_PROJECTOR_PORT": str(free_port),
            }
        )
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{free_port}", timeout=60
            ) as http:
                await _ready(http)
            await asyncio.to_thread(nats.refuse)
            _, logs = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 1
    assert b"LogUnavailable: the NATS server refuses this projector: " in logs


SCRIPT = """
import asyncio, os
from offhook.process.logs import configure_logs
from offhook.settings import settings_from
from offhook.projections.app import run

configure_logs("projector")
asyncio.run(run(settings_from(os.environ), watch_s=0.3))
"""


def _start(settings: dict[str, str]) -> "subprocess.Popen[bytes]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OFFHOOK_")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env=clean | settings,
        stderr=subprocess.PIPE,
    )


async def _ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            with suppress(httpx.TransportError):  # not listening yet
                if (await http.get("/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.02)


async def _metrics_at(http: httpx.AsyncClient, seq: int) -> str:
    """What it tells once it has counted so far, which is after the commit."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            metrics = (await http.get("/metrics")).text
            if f"offhook_projector_seq {seq}.0" in metrics:
                return metrics
            await asyncio.sleep(0.02)
