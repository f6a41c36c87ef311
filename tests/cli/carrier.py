"""Carriers for the command line's tests: the simulator, and one that can be anything but well."""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from nacl.signing import SigningKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offhook.process.connections import KEEP_ALIVE_S
from offhook.simulator.app import build

KEY = "KEY-of-the-portal"
WEBHOOKS = "https://calls.example.com/webhooks/telnyx"
START_TIMEOUT_S = 60.0

_GOOD = {"active": True, "webhook_api_version": "2", "webhook_event_url": WEBHOOKS}


@dataclass(kw_only=True)
class Carrier:
    """It tells its applications; `instead` is answered to all."""

    url: str = ""
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    instead: tuple[int, Any] | None = None

    def reset(self, **changes: dict[str, Any]) -> None:
        """Well, and with good applications but for these changes; the id is the name's number."""
        self.instead = None
        self.applications = {
            name[-2:]: {"id": name[-2:], "application_name": name} | _GOOD | change
            for name, change in changes.items()
        }

    async def answer(self, request: Request) -> Response:
        if self.instead is not None:
            status, content = self.instead
            if isinstance(content, str):
                return Response(content, status_code=status)
            return JSONResponse(content, status)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "10009", "Authentication failed")
        if "id" not in request.path_params:
            return JSONResponse({"data": list(self.applications.values())})
        told = self.applications.get(request.path_params["id"])
        if told is None:
            return _error(404, "10005", "Resource not found")
        return JSONResponse({"data": told})


def _error(status: int, code: str, title: str) -> Response:
    return JSONResponse({"errors": [{"code": code, "title": title}]}, status)


@contextmanager
def carrier() -> Iterator[Carrier]:
    """Listening while the block runs."""
    carrier = Carrier()
    path = "/v2/call_control_applications"
    routes = [Route(each, carrier.answer) for each in (path, f"{path}/{{id}}")]
    with _serving(Starlette(routes=routes)) as url:
        carrier.url = f"{url}/v2"
        yield carrier


@contextmanager
def simulated() -> Iterator[str]:
    """The simulator's address as a carrier, while the block runs. It takes KEY alone."""
    seed = base64.b64encode(bytes(SigningKey.generate())).decode()
    simulator = build(webhook_url=WEBHOOKS, signing_key=seed, key=KEY)
    with _serving(simulator.application) as url:
        yield f"{url}/v2"


@contextmanager
def _serving(application: Starlette) -> Iterator[str]:
    """Its address; it runs in a thread of its own, so that a test may wait for a command."""
    config = uvicorn.Config(
        application, port=0, log_config=None, access_log=False, timeout_keep_alive=KEEP_ALIVE_S
    )
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run)
    serving.start()
    try:
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not server.started:
            assert serving.is_alive(), "the carrier did not start"
            assert time.monotonic() < give_up_at, "the carrier did not start in time"
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        serving.join()
