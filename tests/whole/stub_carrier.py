"""A carrier that takes everything, as slowly as asked, and writes down what it was sent."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A request for a command. `at` is Unix time."""

    operation: str
    call_control_id: str
    command_id: str
    at: float


@dataclass(kw_only=True)
class StubCarrier:
    """`delay_s` passes before each answer; the command counts from its arrival."""

    delay_s: float
    url: str = ""
    arrivals: list[Arrival] = field(default_factory=list)

    def by_leg(self) -> dict[str, list[Arrival]]:
        """What each leg was sent, first arrival of each command only, in order."""
        legs: dict[str, list[Arrival]] = defaultdict(list)
        seen: set[str] = set()
        for arrival in self.arrivals:
            if arrival.command_id not in seen:
                seen.add(arrival.command_id)
                legs[arrival.call_control_id].append(arrival)
        return legs

    async def act(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.arrivals.append(
            Arrival(
                operation=request.path_params["operation"],
                call_control_id=request.path_params["call_control_id"],
                command_id=body["command_id"],
                at=time.time(),
            )
        )
        await asyncio.sleep(self.delay_s)
        return JSONResponse({"data": {"result": "ok"}})


@asynccontextmanager
async def stub_carrier(port: int, delay_s: float) -> AsyncIterator[StubCarrier]:
    """Listening on the port while the block runs."""
    carrier = StubCarrier(delay_s=delay_s, url=f"http://127.0.0.1:{port}/v2")
    route = Route("/v2/calls/{call_control_id}/actions/{operation}", carrier.act, methods=["POST"])
    config = uvicorn.Config(Starlette(routes=[route]), port=port, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not serving.done(), "the stub carrier did not start"
            await asyncio.sleep(0.01)
        yield carrier
    finally:
        server.should_exit = True
        await serving
