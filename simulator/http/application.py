"""The ASGI application: the routes, their errors, and the lifespan of the exchange."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.exchange import Exchange
from offhook.simulator.http.bodies import respond_error, respond_no_route
from offhook.simulator.http.carrier import CarrierOperations
from offhook.simulator.http.controls import Controls

DRAIN_S = 5.0


def asgi_application(
    exchange: Exchange, *, clock: Callable[[], datetime], key: str | None
) -> Starlette:
    """The carrier as an ASGI application. Its lifespan opens the exchange, and drains it.

    `key` is the only bearer token accepted; None accepts any.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        exchange.open()
        yield
        await exchange.close(DRAIN_S)

    return Starlette(
        routes=[
            Mount("/v2", routes=CarrierOperations(exchange, clock, key).routes()),
            Mount("/simulator", routes=Controls(exchange).routes()),
        ],
        exception_handlers={CarrierError: respond_error, HTTPException: respond_no_route},
        lifespan=lifespan,
    )
