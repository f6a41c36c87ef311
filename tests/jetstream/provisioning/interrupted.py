"""Changes of the log that are killed in the middle, or that a busy cluster interrupts."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client

from offhook.errors import LogUnavailable

PATIENCE_S = 60.0


async def through_elections(change: Callable[[], Awaitable[object]]) -> None:
    """Make the change; again if the cluster elects in between."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await change()
                return
            except LogUnavailable:
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
