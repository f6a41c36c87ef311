"""A test stand: ingress as a process of its own, a carrier that signs, and a look into the log."""

import asyncio
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from nacl.signing import SigningKey
from nats.aio.client import Client
from nats.js.api import RawStreamMsg

from offhook.cli.embedded.nats_server import NatsServer
from offhook.ingress import webhook
from offhook.ingress.app import run
from offhook.ingress.webhook import LOG_TIMEOUT_S
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import STREAM
from offhook.jetstream.subjects import subject_of
from offhook.process.logs import configure_logs
from offhook.settings import Settings, environment_from, settings_from
from offhook.telnyx.signature import public_key_text, sign
from tests.forked import Forked

PATH = "/webhooks/telnyx"
KEY = SigningKey.generate()
OLD_KEY = SigningKey.generate()
"""Ingress knows both, as during a rotation, where a test does not say otherwise."""
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
PATIENCE_S = 60.0
POLL_S = 0.05

PATIENT_LOG_TIMEOUT_S = 60.0
"""In place of 1.5 s, where a test is not about a log that is slow: a busy machine's is."""


def run_ingress(log_timeout_s: str) -> None:
    """In the new process."""
    configure_logs("ingress")
    webhook.LOG_TIMEOUT_S = float(log_timeout_s)
    asyncio.run(run(settings_from(os.environ), watch_s=0.3))


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """A running ingress process."""

    process: Forked
    port: int
    log_path: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log_lines(self) -> list[dict[str, Any]]:
        return _json_lines(self.log_path)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def counted(self, result: str) -> float:
        """How many webhooks had this result so far."""
        return self._metric(f'offhook_webhooks_total{{result="{result}"}}')

    def odd(self, oddity: str) -> float:
        """How many stored webhooks had this oddity so far."""
        return self._metric(f'offhook_webhooks_odd_total{{oddity="{oddity}"}}')

    def _metric(self, name: str) -> float:
        text = httpx.get(f"{self.url}/metrics", trust_env=False, timeout=PATIENCE_S).text
        for line in text.splitlines():
            if line.startswith(name):
                return float(line.rpartition(" ")[2])
        return 0.0


def settings_on(server: NatsServer, *keys: SigningKey) -> Settings:
    return Settings(
        nats_url=server.url,
        nats_monitor_urls=(server.monitor_url,),
        ingress_port=0,
        public_keys=tuple(public_key_text(key) for key in keys or (KEY,)),
    )


@contextmanager
def running_ingress(
    settings: Settings, log_path: Path, log_timeout_s: float = LOG_TIMEOUT_S
) -> Iterator[Ingress]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OFFHOOK_")}
    log_path.touch()
    env = {**clean, **environment_from(settings)}
    process = Forked(run_ingress, [str(log_timeout_s)], env, log_path)
    try:
        yield Ingress(process=process, port=_port_of(process, log_path), log_path=log_path)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def provisioned(server: NatsServer) -> None:
    client = await connect(server.url, "test")
    await provision(client, [server.monitor_url])
    await close(client)


def body_of(
    *,
    event_id: str | None = None,
    session_id: str | None = None,
    event_type: str = "call.initiated",
    **payload: object,
) -> bytes:
    """A webhook as the carrier writes it. Ids are new ones unless given."""
    data = {
        "record_type": "event",
        "event_type": event_type,
        "id": event_id or str(uuid.uuid4()),
        "occurred_at": "2026-11-22T10:00:00.000000Z",
        "payload": {"call_session_id": session_id or str(uuid.uuid4()), **payload},
    }
    return json.dumps({"data": data, "meta": {"attempt": 1}}).encode()


def signed(body: bytes, key: SigningKey = KEY, *, age_s: float = 0) -> dict[str, str]:
    return sign(body, key, time.time() - age_s)


async def post(
    http: httpx.AsyncClient, body: bytes, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Post to the webhook's path, correctly signed unless other headers are given."""
    return await http.post(PATH, content=body, headers=signed(body) if headers is None else headers)


async def stored(client: Client, session_id: str) -> list[RawStreamMsg]:
    """What the log has on a session's `.in`, oldest first, by a way of its own."""
    js = client.jetstream()
    subject = subject_of(session_id, "in")
    found: list[RawStreamMsg] = []
    info = await js.stream_info(STREAM, subjects_filter=subject)
    seq = 1
    for _ in range((info.state.subjects or {}).get(subject, 0)):
        message = await js.get_msg(STREAM, seq, subject=subject, next=True)
        assert message.seq is not None
        found.append(message)
        seq = message.seq + 1
    return found


async def last_seq(client: Client) -> int:
    """Stream sequence of the newest record."""
    return (await client.jetstream().stream_info(STREAM)).state.last_seq


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `what` returns true."""
    deadline = time.monotonic() + PATIENCE_S
    while not await what():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(POLL_S)


def _port_of(process: Forked, log_path: Path) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        for line in _json_lines(log_path):
            if line["what"] == "listening":
                return int(line["port"])
        time.sleep(0.02)
    raise AssertionError(f"ingress does not listen: {log_path.read_text()}")


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in path.read_text().splitlines()
        if line.startswith("{") and line.endswith("}")
    ]
