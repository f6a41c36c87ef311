"""A nats-server that says how much of its memory is in use. The rest is Go's, given back late."""

import re
import socket

import httpx

from offhook.cli.embedded.nats_server import NatsServer

COLLECTIONS = 2
"""What is pooled goes at the second."""

_IN_USE = re.compile(r"^# HeapAlloc = (\d+)$", re.MULTILINE)


class ProfiledNatsServer(NatsServer):
    """With Go's profiles on a port of loopback."""

    def _config(self) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._profiles_port = probe.getsockname()[1]
        return super()._config() + f"prof_port: {self._profiles_port}\n"

    def in_use_mb(self) -> float:
        """Its heap without garbage, in MB. Go collects, so look at the process' memory before."""
        url = f"http://127.0.0.1:{self._profiles_port}/debug/pprof/heap?debug=1&gc=1"
        for _ in range(COLLECTIONS):
            profile = httpx.get(url, trust_env=False).raise_for_status().text
        found = _IN_USE.search(profile)
        assert found is not None, profile[-1000:]
        return int(found[1]) / 2**20
