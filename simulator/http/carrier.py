"""The HTTP face of the exchange: the carrier's own operations, and the controls of the simulator.

    POST /v2/calls                                            dial
    POST /v2/calls/{call_control_id}/actions/{operation}      every call control action
    PUT  /v2/calls/{call_control_id}/actions/client_state_update
    GET  /v2/calls/{call_control_id}                          retrieve status
    GET  /v2/connections/{connection_id}/active_calls         active calls

    GET, POST            /v2/call_control_applications        list, create
    GET, PATCH, DELETE   /v2/call_control_applications/{id}   retrieve, update, delete
    POST /v2/conferences, /v2/conferences/{id}/actions/{join,leave}
    GET  /v2/call_events                                      webhooks and commands of calls
    GET  /v2/webhook_deliveries, /v2/webhook_deliveries/{id}  every try of every webhook

    POST /simulator/calls      an inbound call: {"from", "to", "connection_id"} and, if wanted,
                               "patience_s" and "hangup_after_s" in seconds of the call, and
                               "keys": what the caller keys in, an entry for each time it is
                               asked (each try of a gather), the last one again and again
    POST /simulator/calls/{call_control_id}/keys   the party of a leg keys in {"keys": "12#"}
    POST /simulator/calls/{call_control_id}/events   an event of the leg is told, whether or not it
                               happened: {"event_type"} and, if wanted, fields of its "payload";
                               the leg gives its ids and numbers, and is not changed by it
    GET  /simulator/effects    everything that was performed, sent and left
    GET  /simulator/health     that it is there

Below /v2 any non-empty bearer token will do, unless one was configured. The controls need none.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from offhook.commands import COMMANDS
from offhook.commands.parameters import PhoneOrSip, Text1
from offhook.errors import ParameterInvalid
from offhook.simulator.call.answers import active_shown, call_shown
from offhook.simulator.call.legs import InboundCall
from offhook.simulator.errors import call_errors, request_errors
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.exchange import Exchange
from offhook.simulator.http.paging import numbered, page_of
from offhook.simulator.ledger import DIALS
from offhook.simulator.lookback import call_event_shown, delivery_shown
from offhook.telnyx.catalog import command_from, method_of

DRAIN_S = 5.0
SECONDS_MAX = 1_000_000
Seconds = Annotated[float, msgspec.Meta(ge=0, le=SECONDS_MAX)]
Keys = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-D*#]{1,128}\Z")]


def application(
    exchange: Exchange, *, clock: Callable[[], datetime], key: str | None = None
) -> Starlette:
    """The carrier as an ASGI application; its lifespan opens the exchange and drains it."""
    face = _Face(exchange, clock, key)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        exchange.open()
        yield
        await exchange.close(DRAIN_S)

    carrier = [
        Route("/calls", face.dial, methods=["POST"]),
        Route("/calls/{call_control_id}", face.status, methods=["GET"]),
        Route("/calls/{call_control_id}/actions/{operation}", face.act, methods=["POST", "PUT"]),
        Route("/connections/{connection_id}/active_calls", face.active_calls, methods=["GET"]),
        Route("/call_control_applications", face.applications, methods=["GET", "POST"]),
        Route(
            "/call_control_applications/{id}",
            face.application,
            methods=["GET", "PATCH", "DELETE"],
        ),
        Route("/conferences", face.create_conference, methods=["POST"]),
        Route("/conferences/{id}/actions/{action}", face.conference, methods=["POST"]),
        Route("/call_events", face.call_events, methods=["GET"]),
        Route("/webhook_deliveries", face.webhook_deliveries, methods=["GET"]),
        Route("/webhook_deliveries/{id}", face.webhook_delivery, methods=["GET"]),
    ]
    controls = [
        Route("/calls", face.place_inbound, methods=["POST"]),
        Route("/calls/{call_control_id}/keys", face.press_keys, methods=["POST"]),
        Route("/calls/{call_control_id}/events", face.tell, methods=["POST"]),
        Route("/effects", face.effects, methods=["GET"]),
        Route("/health", face.health, methods=["GET"]),
    ]
    return Starlette(
        routes=[Mount("/v2", routes=carrier), Mount("/simulator", routes=controls)],
        exception_handlers={CarrierError: _refused, HTTPException: _no_such_route},
        lifespan=lifespan,
    )


class _InboundRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /simulator/calls."""

    from_: PhoneOrSip = msgspec.field(name="from")
    to: PhoneOrSip
    connection_id: Text1
    keys: list[Keys] = []
    patience_s: Seconds = InboundCall.patience_s
    hangup_after_s: Seconds = InboundCall.hangup_after_s


class _KeysRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /simulator/calls/{call_control_id}/keys."""

    keys: Keys


class _EventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /simulator/calls/{call_control_id}/events."""

    event_type: str
    payload: dict[str, Any] = {}


Asked = TypeVar("Asked", _InboundRequest, _KeysRequest, _EventRequest)


class _Face:
    """The endpoints."""

    def __init__(self, exchange: Exchange, clock: Callable[[], datetime], key: str | None) -> None:
        self._exchange = exchange
        self._clock = clock
        self._key = key

    async def dial(self, request: Request) -> Response:
        self._authenticate(request)
        return await self._perform(DIALS, None, await _body_of(request))

    async def act(self, request: Request) -> Response:
        self._authenticate(request)
        operation = request.path_params["operation"]
        if operation not in COMMANDS or operation == DIALS:
            raise request_errors.not_found()
        if request.method != method_of(operation):
            raise request_errors.method_not_allowed()
        call_control_id = request.path_params["call_control_id"]
        return await self._perform(operation, call_control_id, await _body_of(request))

    async def status(self, request: Request) -> Response:
        self._authenticate(request)
        leg = self._exchange.leg(request.path_params["call_control_id"])
        return _json({"data": call_shown(leg, self._clock())})

    async def active_calls(self, request: Request) -> Response:
        self._authenticate(request)
        legs = self._exchange.active(request.path_params["connection_id"])
        page = page_of(legs, request.query_params, request.url.path)
        now = self._clock()
        return _json({"data": [active_shown(leg, now) for leg in page.legs], "meta": page.meta})

    async def applications(self, request: Request) -> Response:
        self._authenticate(request)
        applications = self._exchange.applications
        if request.method == "POST":
            return _json({"data": applications.create(await _body_of(request))}, status=201)
        return _page(applications.listed(request.query_params), request, lambda one: one)

    async def application(self, request: Request) -> Response:
        self._authenticate(request)
        applications, application_id = self._exchange.applications, request.path_params["id"]
        match request.method:
            case "PATCH":
                found = applications.update(application_id, await _body_of(request))
            case "DELETE":
                found = applications.delete(application_id)
            case _:
                found = applications.get(application_id)
        return _json({"data": found})

    async def create_conference(self, request: Request) -> Response:
        self._authenticate(request)
        reply = self._exchange.conference("create", None, await _body_of(request))
        return _json({"data": reply.data})

    async def conference(self, request: Request) -> Response:
        self._authenticate(request)
        action = request.path_params["action"]
        if action not in ("join", "leave"):
            raise request_errors.not_found()
        conference_id = request.path_params["id"]
        reply = self._exchange.conference(action, conference_id, await _body_of(request))
        return _json({"data": reply.data})

    async def call_events(self, request: Request) -> Response:
        self._authenticate(request)
        events = self._exchange.call_events(request.query_params)
        return _page(events, request, call_event_shown)

    async def webhook_deliveries(self, request: Request) -> Response:
        self._authenticate(request)
        deliveries = self._exchange.webhook_deliveries(request.query_params)
        return _page(deliveries, request, delivery_shown)

    async def webhook_delivery(self, request: Request) -> Response:
        self._authenticate(request)
        return _json({"data": self._exchange.webhook_delivery(request.path_params["id"])})

    async def place_inbound(self, request: Request) -> Response:
        asked = _asked(await request.body(), _InboundRequest)
        leg = self._exchange.call(
            InboundCall(
                from_=asked.from_,
                to=asked.to,
                connection_id=asked.connection_id,
                patience_s=asked.patience_s,
                hangup_after_s=asked.hangup_after_s,
                keys=tuple(asked.keys),
            )
        )
        ids = {
            "call_control_id": leg.call_control_id,
            "call_leg_id": leg.call_leg_id,
            "call_session_id": leg.call_session_id,
        }
        return _json({"data": ids}, status=201)

    async def press_keys(self, request: Request) -> Response:
        asked = _asked(await request.body(), _KeysRequest)
        self._exchange.press_keys(request.path_params["call_control_id"], asked.keys)
        return Response(status_code=204)

    async def tell(self, request: Request) -> Response:
        asked = _asked(await request.body(), _EventRequest)
        call_control_id = request.path_params["call_control_id"]
        self._exchange.tell(call_control_id, asked.event_type, asked.payload)
        return Response(status_code=204)

    async def effects(self, _: Request) -> Response:
        return _json(self._exchange.report())

    async def health(self, _: Request) -> Response:
        return _json({"status": "ok", "live_legs": self._exchange.live_legs()})

    async def _perform(
        self, operation: str, call_control_id: str | None, body: dict[str, Any]
    ) -> Response:
        reply = self._exchange.command(operation, call_control_id, body)
        if reply.after_s > 0:
            await asyncio.sleep(reply.after_s)
        return _json({"data": reply.data})

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = (
            bool(token)
            if self._key is None
            else secrets.compare_digest(token.encode(), self._key.encode())
        )
        if scheme.lower() != "bearer" or not known:
            raise request_errors.not_authenticated()


def _asked(body: bytes, kind: type[Asked]) -> Asked:
    """The body of a control. Raises CarrierError."""
    given = _decoded(body, Any)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        words = _words(given) if kind is _InboundRequest and isinstance(given, dict) else ""
        raise call_errors.not_possible(words or str(error)) from None


def _words(given: Mapping[str, Any]) -> str:
    """What the catalog says of the numbers and the connection, which a dial has too; empty if it
    finds nothing wrong with them."""
    dialled = {name: given.get(name) for name in ("to", "from", "connection_id")}
    try:
        command_from(DIALS, dialled)
    except ParameterInvalid as error:
        return str(error).replace(f"{DIALS}:", "call:", 1)
    return ""


async def _body_of(request: Request) -> dict[str, Any]:
    """The body's object; an action may have none."""
    body: dict[str, Any] = _decoded(await request.body() or b"{}", dict[str, Any])
    return body


def _decoded(body: bytes, kind: Any) -> Any:
    """The body as JSON. Raises CarrierError."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise request_errors.body_not_text(error.start) from None
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise request_errors.body_not_json() from None


def _page(items: Sequence[Any], request: Request, shown: Callable[[Any], Any]) -> Response:
    found, meta = numbered(items, request.query_params)
    return _json({"data": [shown(item) for item in found], "meta": meta})


def _json(value: Any, status: int = 200) -> Response:
    content = msgspec.json.encode(value)
    return Response(content, status_code=status, media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, CarrierError)
    content = msgspec.json.encode(error.body)
    return Response(
        content, status_code=error.status, headers=error.headers, media_type="application/json"
    )


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return await _refused(request, request_errors.method_not_allowed())
    return await _refused(request, request_errors.not_found())
