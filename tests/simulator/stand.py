"""A test stand: the simulator and a receiver for its webhooks, both over real HTTP."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import uvicorn
from nacl.signing import SigningKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from offhook.process.connections import KEEP_ALIVE_S
from offhook.simulator.app import build
from offhook.simulator.applications import DEFAULT_ID
from offhook.simulator.exchange import Exchange
from offhook.simulator.http.report import report_of
from offhook.telnyx.signature import public_key_text

CONNECTION = DEFAULT_ID
CALLER = "+12025550101"
OURS = "+12025550102"
FRIEND = "+12025550110"
SPEED = 50.0
PATIENT_S = 100_000.0  # callers who stay, unless the test is about their leaving
DEADLINE_S = 60.0
POLL_S = 0.005


@dataclass(kw_only=True)
class Clock:
    """The real time, and what a test adds to it."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True, kw_only=True)
class Received:
    """One delivery as it came over the wire."""

    path: str
    text: str
    headers: dict[str, str]
    query: dict[str, str]

    @property
    def envelope(self) -> Any:
        return json.loads(self.text)

    @property
    def event_type(self) -> str:
        return str(self._data["event_type"])

    @property
    def payload(self) -> Any:
        return self._data["payload"]

    @property
    def _data(self) -> Any:
        return self.envelope.get("data", self.envelope)  # a flat one has none


@dataclass(kw_only=True)
class Receiver:
    """What a user's application would have got. `answer` gives each delivery's status, after
    `delay_s`."""

    deliveries: list[Received] = field(default_factory=list)
    answer: Callable[[Received], int] = lambda _: 200
    delay_s: Callable[[Received], float] = lambda _: 0.0

    async def take(self, request: Request) -> Response:
        text = (await request.body()).decode()
        received = Received(
            path=request.url.path,
            text=text,
            headers=dict(request.headers),
            query=dict(request.query_params),
        )
        self.deliveries.append(received)
        await asyncio.sleep(self.delay_s(received))
        return Response(status_code=self.answer(received))

    def of(self, event_type: str, call_control_id: str | None = None) -> list[Received]:
        return [
            one
            for one in self.deliveries
            if one.event_type == event_type
            and call_control_id in (None, one.payload.get("call_control_id"))
        ]

    def types_of(self, call_control_id: str) -> list[str]:
        return [
            one.event_type
            for one in self.deliveries
            if one.payload.get("call_control_id") == call_control_id
        ]

    def types(self, call_session_id: str | None = None) -> list[str]:
        return [
            one.event_type
            for one in self.deliveries
            if call_session_id in (None, one.payload.get("call_session_id"))
        ]


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A running simulator. `http` speaks to it with a bearer token."""

    url: str
    http: httpx.AsyncClient
    exchange: Exchange
    receiver: Receiver
    clock: Clock
    public_key: str
    webhook_url: str

    async def dial(self, to: str, **more: Any) -> Any:
        """The `data` of a dial that went well."""
        body = {"to": to, "from": OURS, "connection_id": CONNECTION, **more}
        response = await self.http.post("/v2/calls", json=body)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def dial_answered(self, to: str = FRIEND, **more: Any) -> str:
        """The call_control_id of an outgoing leg that is up."""
        leg = str((await self.dial(to, **more))["call_control_id"])
        await self.event("call.answered", leg)
        return leg

    async def ring(self, to: str = OURS, **more: Any) -> str:
        """The call_control_id of an inbound leg that is parked."""
        patient = {"patience_s": PATIENT_S, "hangup_after_s": PATIENT_S}
        body = {"from": CALLER, "to": to, "connection_id": CONNECTION, **patient, **more}
        response = await self.http.post("/simulator/calls", json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["data"]["call_control_id"])

    async def ring_answered(self, **more: Any) -> str:
        """The call_control_id of an inbound leg that is up."""
        leg = await self.ring(**more)
        assert (await self.act(leg, "answer")).status_code == 200
        return leg

    async def act(self, leg: str, operation: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/v2/calls/{leg}/actions/{operation}", json=body)

    async def event(self, event_type: str, leg: str | None = None) -> Received:
        """The first such delivery, once it is there."""
        await until(lambda: bool(self.receiver.of(event_type, leg)), f"{event_type} of {leg}")
        return self.receiver.of(event_type, leg)[0]

    def report(self) -> dict[str, Any]:
        """What GET /simulator/effects answers now."""
        return report_of(self.exchange)

    async def settled(self) -> Any:
        """GET /simulator/effects, once no webhook is on its way."""
        await until(lambda: self.report()["webhooks"]["pending"] == 0, "deliveries")
        return (await self.http.get("/simulator/effects")).json()


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something to come true; fails after the deadline."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + DEADLINE_S
    while not holds():
        assert loop.time() < give_up_at, f"{what} did not come within {DEADLINE_S} s"
        await asyncio.sleep(POLL_S)


@asynccontextmanager
async def stand(**choices: Any) -> AsyncIterator[Stand]:
    """A simulator with the choices given to `offhook.simulator.app.build`, while the block runs."""
    receiver, clock, key = Receiver(), Clock(), SigningKey.generate()
    hooks = Route("/{path:path}", receiver.take, methods=["GET", "POST"])
    async with AsyncExitStack() as stack:
        hooks_url = await stack.enter_async_context(_serving(Starlette(routes=[hooks])))
        values: dict[str, Any] = {
            "webhook_url": f"{hooks_url}/webhooks/telnyx",
            "signing_key": base64.b64encode(bytes(key)).decode(),
            "speed": SPEED,
            "retry_pauses_s": (0.01, 0.02),
            "clock": clock,
        }
        simulator = build(**{**values, **choices})
        url = await stack.enter_async_context(_serving(simulator.application))
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=url,
                headers={"authorization": "Bearer k"},
                trust_env=False,
                verify=False,  # reading the certificates is most of what making a client takes
                timeout=DEADLINE_S,
            )
        )
        yield Stand(
            url=url,
            http=http,
            exchange=simulator.exchange,
            receiver=receiver,
            clock=clock,
            public_key=public_key_text(key),
            webhook_url=f"{hooks_url}/webhooks/telnyx",
        )


class _Server(uvicorn.Server):
    """Leaves the signals of the test run alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _serving(application: Starlette) -> AsyncIterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application, log_config=None, lifespan="on", ws="none", timeout_keep_alive=KEEP_ALIVE_S
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: server.started or task.done(), "the server")
            host, port = listener.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await task


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errors"][0]["code"]


def source_of(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["source"]
