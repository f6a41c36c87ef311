"""The outcome of a process's latest appends: readiness must not be green while they fail."""

import asyncio
import time
from collections.abc import Callable

REFUSED_S = 10.0
"""How long a refused append counts. After that the process is ready again and the next append
decides: behind a load balancer a process that is not ready would never get one."""


class Appends:
    """The outcome of a process's latest appends."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._refused = ""
        self._refused_at = 0.0
        self.known = ""  # why the log cannot be written to, as of the last check
        self.doubt = asyncio.Event()  # set by a refusal: check again

    def taken(self) -> None:
        """The latest append was acknowledged."""
        self._refused = ""

    def refused(self, why: str) -> None:
        """The latest append failed; `why` is shown by readiness."""
        self._refused, self._refused_at = why, self._now()
        self.doubt.set()

    @property
    def trouble(self) -> str:
        """Why the latest append failed, for REFUSED_S; empty if it did not."""
        if self._refused and self._now() - self._refused_at < REFUSED_S:
            return f"the latest append failed: {self._refused}"
        return ""
