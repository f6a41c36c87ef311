"""The demo's calls: inbound ones from the simulator, outbound ones through the API."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from offhook.cli.demo.flow import BLOCKED_CALLER, STAFF
from offhook.cli.embedded.stack import CONNECTION_ID

OUTBOUND_SHARE = 0.25
BLOCKED_SHARE = 0.05
OUTBOUND_NUMBERS = ("+12025550131", "+12025550132", "+12025550186", "+12025550183")


@dataclass(kw_only=True)
class Traffic:
    """Places `calls` calls at `rate_s` per second; `seed` decides which."""

    simulator_url: str
    api_url: str
    token: str
    calls: int
    rate_s: float
    seed: int
    placed: int = 0

    async def run(self, keep_on: Callable[[], bool]) -> None:
        """Place all calls, or stop once `keep_on` returns False. Raises httpx errors of the API."""
        dice = random.Random(self.seed)
        loop = asyncio.get_running_loop()
        started = loop.time()
        headers = {"authorization": f"Bearer {self.token}"}
        async with (
            httpx.AsyncClient(timeout=15, headers=headers) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(self.calls):
                await asyncio.sleep(max(0.0, started + number / self.rate_s - loop.time()))
                if not keep_on():
                    return
                tasks.create_task(self._place(http, dice))
                self.placed += 1

    async def _place(self, http: httpx.AsyncClient, dice: random.Random) -> None:
        body: dict[str, str | float]
        if dice.random() < OUTBOUND_SHARE:
            body = {
                "to": dice.choice(OUTBOUND_NUMBERS),
                "from": "+12025550100",
                "connection_id": CONNECTION_ID,
            }
            answer = await http.post(f"{self.api_url}/v2/calls", json=body)
        else:
            blocked = dice.random() < BLOCKED_SHARE
            body = {
                "from": BLOCKED_CALLER if blocked else f"+1202555{dice.randrange(170, 180):04d}",
                "to": dice.choice(list(STAFF)),
                "connection_id": CONNECTION_ID,
                "hangup_after_s": dice.uniform(4, 12),
            }
            answer = await http.post(f"{self.simulator_url}/simulator/calls", json=body)
        answer.raise_for_status()
