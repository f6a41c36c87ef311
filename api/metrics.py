"""Metrics for Prometheus. Labels are operations, methods, route patterns and statuses."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from offhook.api.errors import ErrorAnswer
from offhook.process.asgi import AsgiApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = frozenset({"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"})


class Metrics:
    """One registry per process; every label has a fixed set of values."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "offhook_api_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._commands = Histogram(
            "offhook_api_command_seconds",
            "From a command's request to the carrier's answer.",
            ["operation", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    @contextmanager
    def command(self, operation: str) -> Iterator[None]:
        """Measure a command; its status is 200, or that of the error it ends with."""
        started = time.perf_counter()
        status = "500"
        try:
            yield
            status = "200"
        except ErrorAnswer as error:
            status = str(error.status)
            raise
        finally:
            took_s = time.perf_counter() - started
            self._commands.labels(operation=operation, status=status).observe(took_s)

    def counting(self, app: AsgiApp) -> AsgiApp:
        """The application, with every response counted under the pattern of its route."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            async def observed_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._note(scope, message["status"])
                await send(message)

            await app(scope, receive, observed_send if scope["type"] == "http" else send)

        return counted

    def _note(self, scope: Scope, status: int) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", "none")
        self._requests.labels(method=method, route=route, status=str(status)).inc()
