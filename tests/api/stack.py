"""Every role as a process of its own, on free ports, ended by its pid."""

import asyncio
import base64
import os
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from nacl.signing import SigningKey
from telnyx import AsyncTelnyx

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.provisioning.provision import provision
from offhook.projections.views.schema.migrate import migrate
from offhook.settings import Settings, environment_from
from offhook.telnyx.signature import public_key_text
from tests.forked import Forked, run_room
from tests.free_ports import free_port

ROOT = Path(__file__).parent.parent.parent
ADMIN, COMMANDER, READER = "admin-token", "command-token", "read-token"
CARRIER_KEY = "carrier-key"
OURS, CALLER, FRIEND = "+12025550102", "+12025550101", "+12025550110"
WORKERS = 2
PARTITIONS = 4
"""What a new installation has."""
START_TIMEOUT_S = 180.0
END_TIMEOUT_S = 60.0
WORKER_END_TIMEOUT_S = 8.0
DEADLINE_S = 60.0
POLL_S = 0.02
POLL_MAX_S = 0.1
WANT_A_DECISION = {"WebhookReceived", "CommandRequested", "CommandFailed"}
OUTCOMES = {"succeeded", "failed"}
ANSWER_TIMEOUT_S = 30.0
"""Longer than a busy machine takes for any command."""

SPEED = 5.0
"""A second of a call lasts so much less: a called number answers after 0.2 s."""

PATIENCE_S = 3_000.0
"""Of a caller, before and after the answer: no test is so slow that a call ends by itself."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The running roles. `settings` are those they were started with."""

    settings: Settings
    api_url: str
    simulator_url: str

    def http(self, token: str | None = ADMIN) -> httpx.AsyncClient:
        """A plain client at the API."""
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        return httpx.AsyncClient(
            base_url=self.api_url,
            headers=headers,
            timeout=DEADLINE_S,
            trust_env=False,
            verify=False,
        )

    def _plain(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=DEADLINE_S, trust_env=False, verify=False)

    async def ring(self, connection_id: str = "1", **more: Any) -> dict[str, str]:
        """Somebody calls in: the ids of the parked leg."""
        body = {
            "from": CALLER,
            "to": OURS,
            "connection_id": connection_id,
            "patience_s": PATIENCE_S,
            "hangup_after_s": PATIENCE_S,
            **more,
        }
        async with self._plain() as http:
            response = await http.post(f"{self.simulator_url}/simulator/calls", json=body)
        assert response.status_code == 201, response.text
        ids: dict[str, str] = response.json()["data"]
        return ids

    async def hung_up(self, call_control_id: str) -> None:
        """The party of a leg hangs up."""
        url = f"{self.simulator_url}/simulator/calls/{call_control_id}/hangup"
        async with self._plain() as http:
            (await http.post(url)).raise_for_status()

    async def connection(self) -> str:
        """The id of a new Call Control Application whose webhooks reach the ingress."""
        body = {
            "application_name": "test",
            "webhook_event_url": self.settings.webhook_url,
            "webhook_api_version": "2",
        }
        headers = {"authorization": f"Bearer {CARRIER_KEY}"}
        url = f"{self.simulator_url}/v2/call_control_applications"
        async with self._plain() as http:
            response = await http.post(url, json=body, headers=headers)
        assert response.status_code == 201, response.text
        return str(response.json()["data"]["id"])

    async def effects(self) -> dict[str, Any]:
        """What the carrier really did."""
        async with self._plain() as http:
            response = await http.get(f"{self.simulator_url}/simulator/effects")
        report: dict[str, Any] = response.json()
        return report

    async def performed(self, command_id: str) -> list[dict[str, Any]]:
        """The effects under a command_id; each has its `count`."""
        found = (await self.effects())["effects"]
        return [effect for effect in found if effect["command_id"] == command_id]

    async def leg(self, call_control_id: str) -> dict[str, Any]:
        """The carrier's own idea of a leg."""
        legs: list[dict[str, Any]] = (await self.effects())["legs"]
        return next(leg for leg in legs if leg["call_control_id"] == call_control_id)

    async def in_state(self, call_control_id: str, state: str) -> dict[str, Any]:
        """The carrier's leg, once it is in that state."""

        async def reached() -> dict[str, Any] | None:
            leg = await self.leg(call_control_id)
            return leg if leg["state"] == state else None

        found: dict[str, Any] = await until(reached, f"{call_control_id} to be {state}")
        return found

    async def session(self, session_id: str, status: str = "active") -> dict[str, Any]:
        """GET /sessions/{session_id}, once the views have it with that status."""

        async def reached() -> dict[str, Any] | None:
            async with self.http() as http:
                response = await http.get(f"/sessions/{session_id}")
            found: dict[str, Any] = response.json()
            is_there = response.status_code == 200
            return found if is_there and found["data"]["session"]["status"] == status else None

        there: dict[str, Any] = await until(reached, f"session {session_id} to be {status}")
        return there

    async def settled(self, session_id: str, status: str = "active") -> dict[str, Any]:
        """The same, once nothing more can come of what has happened: the views have every webhook
        of the session that the carrier sent, a decision on each record that wants one, and the
        outcome of each command. Two reads that are compared come after this.
        """

        async def reached() -> dict[str, Any] | None:
            sent = [
                event
                for event in (await self.effects())["events"]
                if event["call_session_id"] == session_id
            ]
            async with self.http() as http:
                timeline = await http.get(f"/sessions/{session_id}/timeline")
            entries = timeline.json()["data"]
            decided = {
                entry["fields"]["cause_seq"] for entry in entries if entry["type"] == "Decided"
            }
            # Of a webhook that was delivered again the first is decided on.
            wanting: dict[str, int] = {}
            for entry in entries:
                if entry["type"] in WANT_A_DECISION:
                    wanting.setdefault(entry["fact_id"], entry["seq"])
            found = await self.session(session_id, status)
            is_settled = (
                all(event["delivered"] is not None for event in sent)
                and {event["id"] for event in sent if event["delivered"]} <= wanting.keys()
                and decided.issuperset(wanting.values())
                and {each["status"] for each in found["data"]["commands"]} <= OUTCOMES
            )
            return found if is_settled else None

        await self.session(session_id, status)
        there: dict[str, Any] = await until(reached, f"session {session_id} to be settled")
        return there


@asynccontextmanager
async def sdk_at(url: str, key: str, *, max_retries: int = 0) -> AsyncIterator[AsyncTelnyx]:
    """The official SDK, at any carrier."""
    # Without TLS: reading the certificates is most of what making a client takes.
    http = httpx.AsyncClient(verify=False, trust_env=False, timeout=DEADLINE_S)
    async with AsyncTelnyx(
        api_key=key, base_url=url, http_client=http, max_retries=max_retries
    ) as client:
        yield client


async def until(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """What `look` finds, once it finds something."""
    give_up_at, pause_s = time.monotonic() + DEADLINE_S, POLL_S
    while not (found := await look()):
        assert time.monotonic() < give_up_at, f"waited {DEADLINE_S} s for {what}"
        await asyncio.sleep(pause_s)
        pause_s = min(POLL_MAX_S, 1.5 * pause_s)  # each look takes from what is waited for
    return found


@contextmanager
def started(
    nats: NatsServer, postgres: PostgresServer, logs: Path, carrier_url: str | None = None
) -> Iterator[Stack]:
    """Everything, until the block is left; with another carrier neither simulator nor ingress."""
    key = SigningKey.generate()
    api, ingress, simulator, projector, *workers = (free_port() for _ in range(4 + WORKERS))
    settings = Settings(
        nats_url=nats.url,
        nats_monitor_urls=(nats.monitor_url,),
        postgres_url=postgres.create_database(f"api_{secrets.token_hex(4)}"),
        api_port=api,
        ingress_port=ingress,
        simulator_port=simulator,
        projector_port=projector,
        public_keys=(public_key_text(key),),
        signing_key=base64.b64encode(bytes(key)).decode(),
        webhook_url=f"http://127.0.0.1:{ingress}/webhooks/telnyx",
        carrier_url=carrier_url or f"http://127.0.0.1:{simulator}/v2",
        carrier_key=CARRIER_KEY,
        carrier_timeout_s=DEADLINE_S if carrier_url else Settings.carrier_timeout_s,
        api_tokens=(f"admin:{ADMIN}", f"command:{COMMANDER}", f"read:{READER}"),
        answer_timeout_s=ANSWER_TIMEOUT_S,
        simulator_connections=("1",),
        simulator_speed=SPEED,
    )
    asyncio.run(_prepare(settings))
    with ExitStack() as running:
        processes = [
            _start(role, chosen, logs, port)
            for role, chosen, port in (
                *(
                    [("simulator", settings, simulator), ("ingress", settings, ingress)]
                    if carrier_url is None
                    else []
                ),
                ("projections", settings, projector),
                *(("workers", replace(settings, worker_port=port), port) for port in workers),
                ("api", settings, api),
            )
        ]
        running.callback(_end, processes)
        for process in processes:
            _wait_until_ready(process)
        yield Stack(
            settings=settings,
            api_url=f"http://127.0.0.1:{api}",
            simulator_url=f"http://127.0.0.1:{simulator}",
        )


@contextmanager
def api_with(stack: Stack, logs: Path, **changes: Any) -> Iterator[Stack]:
    """The stack behind another API, with other settings."""
    settings = replace(stack.settings, api_port=free_port(), **changes)
    process = _start("api", settings, logs, settings.api_port)
    try:
        _wait_until_ready(process)
        yield replace(stack, settings=settings, api_url=f"http://127.0.0.1:{settings.api_port}")
    finally:
        _end([process])


async def _prepare(settings: Settings) -> None:
    client = await connect(settings.nats_url, "test")
    await provision(client, settings.nats_monitor_urls, partitions=PARTITIONS)
    await close(client)
    await migrate(settings.postgres_url, ROOT / "migrations")


@dataclass(frozen=True, kw_only=True)
class _Process:
    role: str
    child: Forked
    ready_url: str
    log_path: Path


def _start(role: str, settings: Settings, logs: Path, port: int) -> _Process:
    others = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    log_path = logs / f"{role}-{port}.log"
    child = Forked(run_room, [role], others | environment_from(settings), log_path)
    path = "/simulator/health" if role == "simulator" else "/health/ready"
    url = f"http://127.0.0.1:{port}{path}"
    return _Process(role=role, child=child, ready_url=url, log_path=log_path)


def _end(processes: Sequence[_Process]) -> None:
    """End all in order. Raises AssertionError if one did not end by itself."""
    for process in processes:
        process.child.send_signal(signal.SIGTERM)
    late: list[str] = []
    for process in processes:
        # A worker goes on with a command that a silent carrier was sent, for up to 45 s.
        is_worker = process.role == "workers"
        try:
            process.child.wait(WORKER_END_TIMEOUT_S if is_worker else END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.child.kill()
            process.child.wait()
            if not is_worker:
                late.append(process.role)
    assert late == [], f"{late} did not end by themselves"


def _wait_until_ready(process: _Process) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    last = "nothing was answered"
    with httpx.Client(trust_env=False, verify=False, timeout=DEADLINE_S) as http:
        while process.child.poll() is None and time.monotonic() < give_up_at:
            try:
                response = http.get(process.ready_url)
                if response.status_code == 200:
                    return
                last = response.text
            except httpx.TransportError:
                pass
            time.sleep(POLL_S)
    said = process.log_path.read_text()[-4000:]
    raise AssertionError(f"{process.role} is not ready: {last}\n{said}")
