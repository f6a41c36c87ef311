"""Everything on one machine: the embedded servers, and every role as its own process."""

import dataclasses
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Self

import httpx

from offhook.cli.embedded.development_keys import signing_keys
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare
from offhook.cli.embedded.ready_file import SIMULATOR_KEY, fingerprint
from offhook.cli.tokens import widest_token
from offhook.errors import OperatorFault
from offhook.settings import Settings, environment_from
from offhook.simulator.applications import DEFAULT_ID
from offhook.telnyx.signature import public_key_text, signing_key_from
from offhook.telnyx.webhook_path import WEBHOOK_PATH
from offhook.wording.durations import duration

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 25.0
LOOK_TIMEOUT_S = 0.25
CONNECTION_ID = DEFAULT_ID
"""The Call Control Application that the simulator's calls belong to."""

FREE_PORTS = range(20_000, 32_000)
"""Where free ports are taken from: below the range that systems use for outgoing connections (Linux
from 32,768, others from 49,152), which could take a port before its role has started."""

Say = Callable[[str], None]


class StartStopped(Exception):
    """The user stopped the start: `is_stopped` was true before everything was ready."""


def with_free_ports(settings: Settings) -> Settings:
    """The settings with a free loopback port for each role that has a port of its own."""
    ports: set[int] = set()
    while len(ports) < 4:
        ports.add(_free_port())
    return dataclasses.replace(
        settings,
        ingress_port=ports.pop(),
        api_port=ports.pop(),
        simulator_port=ports.pop(),
        projector_port=ports.pop(),
    )


class Stack:
    """The servers and the roles, from entering a `with` block to leaving it.

    Leaving drains the roles, then stops the servers. The carrier is the simulator, or without it
    the one in the settings. Raises OperatorFault if something does not start, and StartStopped if
    `is_stopped` becomes true meanwhile.
    """

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        *,
        workers: int = 2,
        with_simulator: bool = True,
        say: Say = lambda line: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._directory = directory
        self._workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self._with_simulator = with_simulator
        self._say = say
        self._is_stopped = is_stopped
        self._closing = ExitStack()
        # One for all: making it reads the certificates, 30 ms of CPU, and a role that starts is
        # asked 50 times a second. Its connections are not kept: roles end and start again.
        self._http = httpx.Client(
            trust_env=False, verify=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._closing.callback(self._http.close)
        self._ports: dict[str, int] = {}
        self.settings = settings
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def token(self) -> str:
        """The API token with the widest scope."""
        return widest_token(self.settings.api_tokens)

    def log_path(self, name: str) -> Path:
        """The file of a role's log."""
        return self._directory / f"{name}.log"

    @property
    def addresses(self) -> dict[str, str]:
        """The content of the ready file: addresses and keys for other programs, with secrets."""
        settings = self.settings
        found = {
            "ingress": f"http://{settings.ingress_host}:{settings.ingress_port}",
            "api": f"http://{settings.api_host}:{settings.api_port}",
            "nats": self.nats.url,
            "nats_monitor": self.nats.monitor_url,
            "postgres": self.postgres.libpq_url,
            "token": self.token,
            "public_key": public_key_text(signing_key_from(settings.signing_key)),
            "public_keys": ",".join(settings.public_keys),
            "signing_key": settings.signing_key,
            "projector": self.url_of("projector"),
            "workers": ",".join(self.url_of(name) for name in self._workers),
        }
        if self._with_simulator:
            found["simulator"] = f"http://{settings.simulator_host}:{settings.simulator_port}"
            found["simulator_key"] = SIMULATOR_KEY
            found["connection_id"] = CONNECTION_ID
        else:
            found["carrier"] = settings.carrier_url
            found["carrier_key_sha256"] = fingerprint(settings.carrier_key)
            if settings.connection_id:
                found["connection_id"] = settings.connection_id
        return found

    def url_of(self, name: str) -> str:
        """The base URL of a role's HTTP server."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def start(self, name: str) -> None:
        """Start a role and return at once; any name `worker-…` starts another worker."""
        command = name.partition("-")[0]
        port = self._ports.setdefault(name, self._port_of(command))
        # A role that serves only health and metrics may have any port, but it must be known here.
        found: dict[str, Any] = {f"{command}_port": port}
        settings = dataclasses.replace(self.settings, **found)
        with self.log_path(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                # -P: nothing in the working directory replaces a module of ours or of Python's.
                [sys.executable, "-P", "-m", "offhook", command],
                env={**_clean_environment(), **environment_from(settings)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches only this process, which then ends the others in order.
                start_new_session=True,
            )

    def is_ready(self, name: str) -> bool:
        """Whether the role is ready now; False if it does not answer within LOOK_TIMEOUT_S."""
        try:
            answer = self._http.get(self._ready_url(name), timeout=LOOK_TIMEOUT_S)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    def wait_ready(self, name: str) -> None:
        """Return once the role is ready. Raises OperatorFault with the end of its log if not.

        Raises StartStopped if the user stops it meanwhile.
        """
        deadline = time.monotonic() + READY_TIMEOUT_S
        url = self._ready_url(name)
        within, last = f" within {READY_TIMEOUT_S:.0f} s", "nothing listens there"
        while time.monotonic() < deadline:
            self._go_on()
            if (status := self.processes[name].poll()) is not None:
                within, last = "", f"it ended with status {status}"
                break
            try:
                answer = self._http.get(url, timeout=1)
                if answer.status_code == httpx.codes.OK:
                    return
                last = answer.text
            except httpx.HTTPError:
                pass
            time.sleep(0.02)
        raise OperatorFault(f"{name} did not become ready{within}: {last}\n{self.log_tail(name)}")

    def _ready_url(self, name: str) -> str:
        path = "/simulator/health" if name == "simulator" else "/health/ready"
        return f"{self.url_of(name)}{path}"

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a role's log."""
        text = self.log_path(name).read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, name: str) -> None:
        """Drain a role and wait until it has ended."""
        process = self.processes.pop(name)
        process.terminate()
        _wait_or_kill(process)

    def kill(self, name: str) -> None:
        """End a role as a crash would (`kill -9`)."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def _start(self) -> None:
        started = time.monotonic()
        self.nats = self._closing.enter_context(NatsServer(self._directory / "nats"))
        self.postgres = self._closing.enter_context(PostgresServer(self._directory / "postgres"))
        self._say(f"NATS and PostgreSQL are up ({duration(time.monotonic() - started)})")
        self._go_on()
        self.settings = self._completed(self.settings)
        # Nothing else is connected yet, so an older Offhook's log can be rewritten or moved now.
        prepare(self.settings, is_alone=True, say=self._say)
        self._closing.callback(self._stop_all)
        roles = ["projector", *self._workers, "api", "ingress"]
        if self._with_simulator:
            roles.append("simulator")
        for name in roles:
            self._go_on()
            self.start(name)
        for name in roles:
            self.wait_ready(name)
        self._say(f"{', '.join(roles)} are ready ({duration(time.monotonic() - started)})")

    def _go_on(self) -> None:
        if self._is_stopped():
            self._say("stopped before everything was ready")
            raise StartStopped

    def _completed(self, settings: Settings) -> Settings:
        """The settings with this stack's addresses, and new keys and tokens where none are set."""
        keys = signing_keys(self._directory, settings.signing_key)
        settings = dataclasses.replace(
            settings,
            nats_url=self.nats.url,
            nats_monitor_urls=(self.nats.monitor_url,),
            postgres_url=self.postgres.url,
            signing_key=keys[0],
            public_keys=(
                *settings.public_keys,
                *(public_key_text(signing_key_from(key)) for key in keys),
            ),
            api_tokens=settings.api_tokens or (f"admin:{token_urlsafe(24)}",),
            webhook_url=f"http://127.0.0.1:{settings.ingress_port}{WEBHOOK_PATH}",
        )
        if not self._with_simulator:
            return settings
        carrier_url = f"http://127.0.0.1:{settings.simulator_port}/v2"
        return dataclasses.replace(settings, carrier_url=carrier_url, carrier_key=SIMULATOR_KEY)

    def _port_of(self, command: str) -> int:
        fixed = {
            "ingress": self.settings.ingress_port,
            "api": self.settings.api_port,
            "simulator": self.settings.simulator_port,
            "projector": self.settings.projector_port,
        }
        return fixed.get(command) or _free_port()

    def _stop_all(self) -> None:
        """Stop what takes events in first, and what reads them last."""
        order = ("simulator", "ingress", "api", "worker", "projector")
        for command in order:
            names = [name for name in self.processes if name.partition("-")[0] == command]
            for name in names:
                self.processes[name].terminate()
                # A process stopped by SIGSTOP acts on SIGTERM only once it continues.
                self.processes[name].send_signal(signal.SIGCONT)
            for name in names:
                _wait_or_kill(self.processes.pop(name))


def _wait_or_kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _clean_environment() -> dict[str, str]:
    """The environment without OFFHOOK_*: the settings are passed on as a whole."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}


def _free_port() -> int:
    while True:
        port = random.choice(FREE_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
