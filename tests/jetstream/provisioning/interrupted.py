"""Changes of the log that are killed in the middle, or that a busy cluster interrupts."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from offhook.errors import LogUnavailable

PATIENCE_S = 60.0

Result = TypeVar("Result")


async def through_elections(change: Callable[[], Awaitable[Result]]) -> Result:
    """Make the change, or read something; again if the cluster elects in between."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await change()
        except (LogUnavailable, NatsError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


class Killed(Exception):
    """In place of a kill: nothing after it is asked of the server."""


class Killing:
    """Ends a rewrite once the server has made so many changes for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self._left = after
        asked = Client.request

        async def request(client: Client, subject: str, *args: Any, **options: Any) -> Any:
            answer = await asked(client, subject, *args, **options)
            if not _LOOKS.search(subject):
                self._left -= 1
                if not self._left:
                    raise Killed(subject)
            return answer

        monkeypatch.setattr(Client, "request", request)


_LOOKS = re.compile(r"[.](INFO|MSG[.]GET|LIST)\b")
