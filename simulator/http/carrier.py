"""The carrier's own operations, below /v2.

    POST /calls                                            dial
    POST /calls/{call_control_id}/actions/{operation}      every action on a leg
    PUT  /calls/{call_control_id}/actions/client_state_update
    GET  /calls/{call_control_id}                          retrieve status
    GET  /connections/{connection_id}/active_calls         active calls

    GET, POST            /call_control_applications        list, create
    GET, PATCH, DELETE   /call_control_applications/{id}   retrieve, update, delete
    POST /conferences, /conferences/{id}/actions/{join,leave}
    GET  /call_events                                      webhooks and commands of calls
    GET  /webhook_deliveries, /webhook_deliveries/{id}     every attempt of every webhook

Any non-empty bearer token is accepted, unless a key is configured.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from offhook.commands import COMMANDS
from offhook.commands.catalog import method_of
from offhook.simulator.errors import request_errors
from offhook.simulator.exchange import Exchange
from offhook.simulator.http.bodies import object_in, respond, respond_page
from offhook.simulator.http.call_events import call_event_resource, call_events
from offhook.simulator.http.paging import page_of
from offhook.simulator.http.resources import active_call_resource, call_resource
from offhook.simulator.http.webhook_deliveries import (
    delivery_resource,
    is_settled,
    settled_deliveries,
)
from offhook.simulator.ledger import DIALS


class CarrierOperations:
    """Answers the operations from the exchange. Each raises CarrierError for a wrong request."""

    def __init__(self, exchange: Exchange, clock: Callable[[], datetime], key: str | None) -> None:
        self._exchange = exchange
        self._clock = clock
        self._key = key

    def routes(self) -> Sequence[Route]:
        """The routes, relative to /v2."""
        call, application = "/calls/{call_control_id}", "/call_control_applications"
        return [
            Route("/calls", self.dial, methods=["POST"]),
            Route(call, self.status, methods=["GET"]),
            Route(f"{call}/actions/{{operation}}", self.act, methods=["POST", "PUT"]),
            Route("/connections/{connection_id}/active_calls", self.active_calls, methods=["GET"]),
            Route(application, self.applications, methods=["GET", "POST"]),
            Route(f"{application}/{{id}}", self.application, methods=["GET", "PATCH", "DELETE"]),
            Route("/conferences", self.create_conference, methods=["POST"]),
            Route("/conferences/{id}/actions/{action}", self.conference, methods=["POST"]),
            Route("/call_events", self.call_events, methods=["GET"]),
            Route("/webhook_deliveries", self.webhook_deliveries, methods=["GET"]),
            Route("/webhook_deliveries/{id}", self.webhook_delivery, methods=["GET"]),
        ]

    async def dial(self, request: Request) -> Response:
        """POST /calls."""
        self._authenticate(request)
        return await self._perform(DIALS, None, await object_in(request))

    async def act(self, request: Request) -> Response:
        """Every action on a leg."""
        self._authenticate(request)
        operation = request.path_params["operation"]
        if operation not in COMMANDS or operation == DIALS:
            raise request_errors.not_found()
        if request.method != method_of(operation):
            raise request_errors.method_not_allowed()
        call_control_id = request.path_params["call_control_id"]
        return await self._perform(operation, call_control_id, await object_in(request))

    async def status(self, request: Request) -> Response:
        """GET /calls/{call_control_id}."""
        self._authenticate(request)
        leg = self._exchange.legs.get(request.path_params["call_control_id"])
        return respond({"data": call_resource(leg, self._clock())})

    async def active_calls(self, request: Request) -> Response:
        """GET /connections/{connection_id}/active_calls."""
        self._authenticate(request)
        legs = self._exchange.legs.active(request.path_params["connection_id"])
        page = page_of(legs, request.query_params, request.url.path)
        now = self._clock()
        return respond(
            {"data": [active_call_resource(leg, now) for leg in page.legs], "meta": page.meta}
        )

    async def applications(self, request: Request) -> Response:
        """GET and POST /call_control_applications."""
        self._authenticate(request)
        applications = self._exchange.applications
        if request.method == "POST":
            return respond({"data": applications.create(await object_in(request))}, status=201)
        return respond_page(applications.search(request.query_params), request, lambda one: one)

    async def application(self, request: Request) -> Response:
        """GET, PATCH and DELETE /call_control_applications/{id}."""
        self._authenticate(request)
        applications, application_id = self._exchange.applications, request.path_params["id"]
        match request.method:
            case "PATCH":
                found = applications.update(application_id, await object_in(request))
            case "DELETE":
                found = applications.delete(application_id)
            case _:
                found = applications.get(application_id)
        return respond({"data": found})

    async def create_conference(self, request: Request) -> Response:
        """POST /conferences."""
        self._authenticate(request)
        reply = self._exchange.conference("create", None, await object_in(request))
        return respond({"data": reply.data})

    async def conference(self, request: Request) -> Response:
        """POST /conferences/{id}/actions/{join,leave}."""
        self._authenticate(request)
        action = request.path_params["action"]
        if action not in ("join", "leave"):
            raise request_errors.not_found()
        conference_id = request.path_params["id"]
        reply = self._exchange.conference(action, conference_id, await object_in(request))
        return respond({"data": reply.data})

    async def call_events(self, request: Request) -> Response:
        """GET /call_events."""
        self._authenticate(request)
        events = call_events(self._exchange, request.query_params, self._clock())
        return respond_page(events, request, call_event_resource)

    async def webhook_deliveries(self, request: Request) -> Response:
        """GET /webhook_deliveries."""
        self._authenticate(request)
        deliveries = settled_deliveries(self._exchange.sender.deliveries(), request.query_params)
        return respond_page(deliveries, request, delivery_resource)

    async def webhook_delivery(self, request: Request) -> Response:
        """GET /webhook_deliveries/{id}: 404 until its outcome is known."""
        self._authenticate(request)
        delivery = self._exchange.sender.delivery(request.path_params["id"])
        if delivery is None or not is_settled(delivery):
            raise request_errors.not_found()
        return respond({"data": delivery_resource(delivery)})

    async def _perform(
        self, operation: str, call_control_id: str | None, body: dict[str, Any]
    ) -> Response:
        reply = self._exchange.command(operation, call_control_id, body)
        if reply.after_s > 0:
            await asyncio.sleep(reply.after_s)
        return respond({"data": reply.data})

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = (
            bool(token)
            if self._key is None
            else secrets.compare_digest(token.encode(), self._key.encode())
        )
        if scheme.lower() != "bearer" or not known:
            raise request_errors.not_authenticated()
