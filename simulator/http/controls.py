"""The controls of the simulator, below /simulator. They need no key.

POST /calls      an inbound call: {"from", "to", "connection_id"}; optional: "patience_s" and
                 "hangup_after_s" in seconds of the call, and "keys", one entry for each prompt
                 for keys (each attempt of a gather), of which the last one repeats
POST /calls/{call_control_id}/keys     the party of a leg enters {"keys": "12#"}
POST /calls/{call_control_id}/hangup   the party of a leg hangs up; no body
POST /calls/{call_control_id}/events   send an event of the leg, whether or not it happened:
                 {"event_type"}, and optionally fields of its "payload"; the leg fills in its
                 ids and numbers, and does not change
GET  /effects    everything that was performed, sent and left
GET  /health     that the simulator is up
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from offhook.commands.catalog import command_from
from offhook.commands.parameters import PhoneOrSip, Text1
from offhook.errors import ParameterInvalid
from offhook.simulator.call.legs import InboundCall
from offhook.simulator.errors import call_errors
from offhook.simulator.exchange import Exchange
from offhook.simulator.http.bodies import decode, respond
from offhook.simulator.http.report import report_of
from offhook.simulator.ledger import DIALS

SECONDS_MAX = 1_000_000
CallSeconds = Annotated[float, msgspec.Meta(ge=0, le=SECONDS_MAX)]
Keys = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-D*#]{1,128}\Z")]


class _InboundRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /simulator/calls."""

    from_: PhoneOrSip = msgspec.field(name="from")
    to: PhoneOrSip
    connection_id: Text1
    keys: list[Keys] = []
    patience_s: CallSeconds = InboundCall.patience_s
    hangup_after_s: CallSeconds = InboundCall.hangup_after_s


class _KeysRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /simulator/calls/{call_control_id}/keys."""

    keys: Keys


class _EventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /simulator/calls/{call_control_id}/events."""

    event_type: str
    payload: dict[str, Any] = {}


ControlRequest = TypeVar("ControlRequest", _InboundRequest, _KeysRequest, _EventRequest)


class Controls:
    """Acts on the exchange. Each control raises CarrierError for a wrong request."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> Sequence[Route]:
        """The routes, relative to /simulator."""
        return [
            Route("/calls", self.place_inbound, methods=["POST"]),
            Route("/calls/{call_control_id}/keys", self.press_keys, methods=["POST"]),
            Route("/calls/{call_control_id}/hangup", self.hang_up, methods=["POST"]),
            Route("/calls/{call_control_id}/events", self.send_event, methods=["POST"]),
            Route("/effects", self.effects, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
        ]

    async def place_inbound(self, request: Request) -> Response:
        """POST /simulator/calls."""
        body = _read(await request.body(), _InboundRequest)
        leg = self._exchange.place_inbound(
            InboundCall(
                from_=body.from_,
                to=body.to,
                connection_id=body.connection_id,
                patience_s=body.patience_s,
                hangup_after_s=body.hangup_after_s,
                keys=tuple(body.keys),
            )
        )
        ids = {
            "call_control_id": leg.call_control_id,
            "call_leg_id": leg.call_leg_id,
            "call_session_id": leg.call_session_id,
        }
        return respond({"data": ids}, status=201)

    async def press_keys(self, request: Request) -> Response:
        """POST /simulator/calls/{call_control_id}/keys."""
        body = _read(await request.body(), _KeysRequest)
        self._exchange.press_keys(request.path_params["call_control_id"], body.keys)
        return Response(status_code=204)

    async def hang_up(self, request: Request) -> Response:
        """POST /simulator/calls/{call_control_id}/hangup."""
        self._exchange.hang_up(request.path_params["call_control_id"])
        return Response(status_code=204)

    async def send_event(self, request: Request) -> Response:
        """POST /simulator/calls/{call_control_id}/events."""
        body = _read(await request.body(), _EventRequest)
        call_control_id = request.path_params["call_control_id"]
        self._exchange.send_event(call_control_id, body.event_type, body.payload)
        return Response(status_code=204)

    async def effects(self, _: Request) -> Response:
        """GET /simulator/effects."""
        return respond(report_of(self._exchange))

    async def health(self, _: Request) -> Response:
        """GET /simulator/health."""
        return respond({"status": "ok", "live_legs": self._exchange.legs.count()})


def _read(body: bytes, kind: type[ControlRequest]) -> ControlRequest:
    """The body of a control. Raises CarrierError (10023, 10027, 10028)."""
    given = decode(body, Any)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        inbound = kind is _InboundRequest and isinstance(given, dict)
        found = _catalog_error(given) if inbound else ""
        raise call_errors.not_possible(found or str(error)) from None


def _catalog_error(given: Mapping[str, Any]) -> str:
    """What the catalog finds wrong with the numbers and the connection; "" for nothing.

    A dial has the same; the messages of the catalog are better than those of the decoder.
    """
    dialled = {name: given.get(name) for name in ("to", "from", "connection_id")}
    try:
        command_from(DIALS, dialled)
    except ParameterInvalid as error:
        return str(error).replace(f"{DIALS}:", "call:", 1)
    return ""
