"""Three NATS servers on loopback that are one cluster."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import LogUnavailable
from offhook.jetstream.provisioning.provision import provision
from tests.free_ports import free_port

NODES = 3
HEALTHY_TIMEOUT_S = 120.0


class Node(NatsServer):
    """One of them. Started, it listens; the cluster may still have to elect."""

    def __init__(self, directory: Path, *, number: int, routes: Sequence[int]) -> None:
        super().__init__(directory, port=free_port())
        self.name = f"n{number}"
        self._own, self._routes = routes[number - 1], routes

    def _config(self) -> str:
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
        return super()._config() + (
            f"server_name: {self.name}\n"
            f'cluster {{ name: "test", listen: "127.0.0.1:{self._own}", routes: [{routes}] }}\n'
        )

    def _is_ready(self) -> bool:
        super()._is_ready()  # reads the ports; alone among three it cannot be healthy
        return self._monitor_port > 0 and self._answers()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.monitor_url}/varz", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def told(self, path: str, **params: str) -> dict[str, Any]:
        """What its monitoring says."""
        answer = httpx.get(f"{self.monitor_url}/{path}", params=params, timeout=60, trust_env=False)
        found: dict[str, Any] = answer.json()
        return found

    @property
    def is_healthy(self) -> bool:
        try:
            return self.told("healthz").get("status") == "ok"
        except (httpx.HTTPError, ValueError, AssertionError):
            return False

    def copy_of(self, stream: str) -> dict[str, Any]:
        """The state of its own copy of the stream; empty if it has none."""
        told = self.told("jsz", accounts="true", streams="true", config="true")
        for account in told.get("account_details") or []:
            for each in account.get("stream_detail") or []:
                if each["name"] == stream:
                    state: dict[str, Any] = each["state"]
                    return state
        return {}

    @property
    def last_lines(self) -> str:
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-20:])


class NatsCluster:
    """Leaving the `with` block stops all of them."""

    def __init__(self, directory: Path) -> None:
        routes = [free_port() for _ in range(NODES)]
        self.nodes = [
            Node(directory / f"n{number}", number=number, routes=routes)
            for number in range(1, NODES + 1)
        ]
        self._closing = ExitStack()

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    @property
    def monitor_urls(self) -> list[str]:
        return [node.monitor_url for node in self.nodes]

    async def provision(self, client: Client, partitions: int = 1) -> None:
        """With three replicas. A cluster that elects may refuse it: then it is run again."""
        async with asyncio.timeout(HEALTHY_TIMEOUT_S):
            while True:
                try:
                    await provision(client, self.monitor_urls, replicas=3, partitions=partitions)
                    return
                except LogUnavailable:
                    await asyncio.sleep(0.5)

    def wait_healthy(self) -> float:
        """Until each node says that it is; the seconds that took."""
        began = time.monotonic()
        for node in self.nodes:
            while not node.is_healthy:
                late = time.monotonic() - began > HEALTHY_TIMEOUT_S
                assert not late, f"{node.name}: {json.dumps(node.told('healthz'))}"
                time.sleep(0.05)
        return time.monotonic() - began

    def __enter__(self) -> Self:
        for node in self.nodes:
            self._closing.enter_context(node)
        self.wait_healthy()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
