"""Sessions that rest: nothing has happened in them for a while, which may go on for long.

A rest ends with a record, at any worker. Then NATS would look for the session's last records among
old ones, which calls wait for. So a worker is woken once for each rest: it reads what it appended
itself (`docs/decisions/0065-…`), and stores a snapshot of all of a long session, for one that does
not know it (`0063-…`).
"""

import asyncio
from collections.abc import Awaitable, Callable

from offhook.recent import RecentDict

REST_S = 10.0
"""As long as NATS keeps in memory what was read or written last."""

SHORT_REST_S = 60.0
"""The same for a short one: most go on within it. NATS has not dropped its index by then."""

RESTING_MAX = 10_000

PAUSE_S = 0.05
"""From a long one to the next: calls go first, and no more are stored in that time."""

SHORT_PAUSE_S = 0.002
"""From a short one to the next."""


class Resting:
    """The sessions of one worker that are at rest, or about to be."""

    def __init__(self, rest_s: float = REST_S, pause_s: float = PAUSE_S) -> None:
        self._rest_s = rest_s
        self._pause_s = pause_s
        self._since = RecentDict[str, float](RESTING_MAX)  # by the loop's clock; the first is first
        self._begun = asyncio.Event()

    def begin(self, session_id: str) -> None:
        """The session was just worked on: if it rests, it does so from now on."""
        self._since[session_id] = asyncio.get_running_loop().time()
        self._begun.set()

    async def keep_waking(self, wake: Callable[[str], Awaitable[None]]) -> None:
        """Call `wake` once for each rest, one after another, forever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._begun.wait()
            while self._since:
                session_id, since = next(iter(self._since.items()))
                if (left_s := since + self._rest_s - loop.time()) > 0:
                    await asyncio.sleep(left_s)
                    continue  # it may have gone on meanwhile
                del self._since[session_id]
                await wake(session_id)
                await asyncio.sleep(self._pause_s)
            self._begun.clear()
