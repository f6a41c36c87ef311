"""A carrier that takes everything, as slowly as asked, and writes down what it was sent."""

import asyncio
import json
import math
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offhook.process.connections import KEEP_ALIVE_S


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A request for a command. `at` is Unix time."""

    operation: str
    call_control_id: str
    command_id: str
    at: float
    was_busy: bool = False  # answered with 429


@dataclass(kw_only=True)
class StubCarrier:
    """`delay_s` passes before each answer; the command counts from its arrival.

    While `is_answering` is cleared it answers nothing. With `limit_per_s` it takes so many in any
    second, tells so in its headers, and answers 429 to what is over it.
    """

    delay_s: float
    limit_per_s: int | None = None
    refusal: tuple[int, str] | None = None  # status and code of every answer, while it is set
    url: str = ""
    is_answering: asyncio.Event = field(default_factory=asyncio.Event)
    arrivals: list[Arrival] = field(default_factory=list)
    _taken_at: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.is_answering.set()

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
        headers = self._rate_headers(time.monotonic()) if self.limit_per_s is not None else {}
        is_busy = headers.get("x-ratelimit-remaining") == "-1"
        self.arrivals.append(
            Arrival(
                operation=request.path_params.get("operation", "dial"),
                call_control_id=request.path_params.get("call_control_id", ""),
                command_id=body["command_id"],
                at=time.time(),
                was_busy=is_busy,
            )
        )
        await self.is_answering.wait()
        await asyncio.sleep(self.delay_s)
        if is_busy:
            errors = {"errors": [{"code": "10011", "title": "Too many requests"}]}
            return JSONResponse(errors, 429, headers | {"x-ratelimit-remaining": "0"})
        if self.refusal is not None:
            status, code = self.refusal
            return JSONResponse({"errors": [{"code": code, "title": "No"}]}, status)
        return JSONResponse({"data": {"result": "ok"}}, headers=headers)

    def _rate_headers(self, now: float) -> dict[str, str]:
        """What the carrier tells; remaining is -1 if this request is one too many."""
        assert self.limit_per_s is not None
        while self._taken_at and self._taken_at[0] <= now - 1:
            self._taken_at.popleft()
        remaining = self.limit_per_s - len(self._taken_at) - 1
        if remaining >= 0:
            self._taken_at.append(now)
        return {
            "x-ratelimit-limit": str(self.limit_per_s),
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": str(math.ceil(self._taken_at[0] + 1 - now)),
        }


@asynccontextmanager
async def stub_carrier(
    port: int, delay_s: float, limit_per_s: int | None = None
) -> AsyncIterator[StubCarrier]:
    """Listening on the port while the block runs."""
    carrier = StubCarrier(
        delay_s=delay_s, limit_per_s=limit_per_s, url=f"http://127.0.0.1:{port}/v2"
    )
    routes = [
        Route("/v2/calls", carrier.act, methods=["POST"]),
        Route("/v2/calls/{call_control_id}/actions/{operation}", carrier.act, methods=["POST"]),
    ]
    config = uvicorn.Config(
        Starlette(routes=routes),
        port=port,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
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
