"""A carrier that has Call Control Applications and nothing else, as the documents describe them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = "KEY-of-the-portal"
WEBHOOKS = "https://calls.example.com/webhooks/telnyx"
START_TIMEOUT_S = 10.0

# The documents' defaults for what a new application leaves out.
DEFAULTS: dict[str, Any] = {
    "active": True,
    "anchorsite_override": "Latency",
    "call_cost_in_webhooks": False,
    "dtmf_type": "RFC 2833",
    "first_command_timeout": False,
    "first_command_timeout_secs": 30,
    "inbound": {},
    "outbound": {},
    "redact_dtmf_debug_logging": False,
    "webhook_api_version": "1",
    "webhook_event_failover_url": "",
    "webhook_timeout_secs": None,
}


@dataclass(kw_only=True)
class Carrier:
    """`instead` answers in place of everything; `public_key` is told where there is one."""

    url: str = ""
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    instead: tuple[int, Any] | None = None
    public_key: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def reset(self, **applications: dict[str, Any]) -> None:
        """Only these, each as a good one with what it says on top; ids are the names' digits."""
        self.instead, self.public_key = None, ""
        self.asked.clear()
        self.applications.clear()
        for name, more in applications.items():
            good = {"application_name": name, "webhook_event_url": WEBHOOKS}
            self._add(
                name.lstrip("_abcdefghijklmnopqrstuvwxyz"),
                good | {"webhook_api_version": "2"} | more,
            )

    async def answer(self, request: Request) -> Response:
        body: Any = await request.json() if await request.body() else {}
        self.asked.append((request.method, request.url.path, body))
        if self.instead is not None:
            status, content = self.instead
            if isinstance(content, str):
                return Response(content, status_code=status)
            return JSONResponse(content, status)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "10009", "Authentication failed", "The API key is not known.")
        if request.url.path.endswith("/public_key"):
            if not self.public_key:
                return _error(404, "10005", "Resource not found", "There is no such path.")
            return JSONResponse({"data": {"public": self.public_key, "record_type": "public_key"}})
        if "id" in request.path_params:
            return self._one(request.method, request.path_params["id"], body)
        if request.method == "POST":
            for name in ("application_name", "webhook_event_url"):
                if not body.get(name):
                    return _missing(name)
            return JSONResponse({"data": self._add(str(1000 + len(self.applications)), body)}, 201)
        return self._listed(request)

    def _add(self, id: str, values: dict[str, Any]) -> dict[str, Any]:
        made = {"id": id, "record_type": "call_control_application", **DEFAULTS, **values}
        self.applications[id] = made
        return made

    def _one(self, method: str, id: str, body: Any) -> Response:
        found = self.applications.get(id)
        if found is None:
            return _error(404, "10005", "Resource not found", f"There is no application {id}.")
        if method == "PATCH":
            for name in ("application_name", "webhook_event_url"):
                if not body.get(name):
                    return _missing(name)
            found.update(body)
        if method == "DELETE":
            del self.applications[id]
        return JSONResponse({"data": found})

    def _listed(self, request: Request) -> Response:
        number = int(request.query_params.get("page[number]", "1"))
        size = int(request.query_params.get("page[size]", "20"))
        contains = request.query_params.get("filter[application_name][contains]", "").lower()
        found = [
            each
            for each in self.applications.values()
            if contains in each["application_name"].lower()
        ]
        meta = {
            "page_number": number,
            "page_size": size,
            "total_pages": -(-len(found) // size),
            "total_results": len(found),
        }
        return JSONResponse({"data": found[(number - 1) * size : number * size], "meta": meta})


def _error(status: int, code: str, title: str, detail: str) -> Response:
    return JSONResponse({"errors": [{"code": code, "title": title, "detail": detail}]}, status)


def _missing(name: str) -> Response:
    detail = f"The '{name}' parameter is required and cannot be blank."
    return _error(422, "10004", "Missing required parameter", detail)


@contextmanager
def carrier() -> Iterator[Carrier]:
    """Listening while the block runs, in a thread of its own."""
    carrier = Carrier()
    path = "/v2/call_control_applications"
    routes = [
        Route(path, carrier.answer, methods=["GET", "POST"]),
        Route(f"{path}/{{id}}", carrier.answer, methods=["GET", "PATCH", "DELETE"]),
        Route("/v2/public_key", carrier.answer, methods=["GET"]),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run)
    serving.start()
    try:
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not server.started:
            assert serving.is_alive(), "the stub carrier did not start"
            assert time.monotonic() < give_up_at, "the stub carrier did not start in time"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        carrier.url = f"http://127.0.0.1:{port}/v2"
        yield carrier
    finally:
        server.should_exit = True
        serving.join()
