"""Calls from both sides while things break: callers ring, and an application dials, and insists."""

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from offhook.cli.demo.flow import STAFF
from offhook.cli.demo.traffic import OUTBOUND_NUMBERS
from offhook.cli.embedded.stack import CONNECTION_ID

OUTBOUND_EVERY = 5
INSISTS = 6
LEGS_UP_MAX = 250
LOOK_EVERY = 10


@dataclass(kw_only=True)
class Traffic:
    """Places `calls` calls at `rate_s` a second; `seed` decides who calls whom.

    A command that the API answers with a 5xx is repeated with the same `command_id`, as an
    application should.
    """

    simulator_url: str
    api_url: str
    token: str
    calls: int
    rate_s: float
    seed: int
    placed: int = 0
    repeated: int = 0
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    async def run(self, go_on: Callable[[], bool] = lambda: False) -> None:
        """Place them all, and more while `go_on()`, on schedule, but no more than can be served.

        Fails if a call could not be placed.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        headers = {"authorization": f"Bearer {self.token}"}
        async with (
            httpx.AsyncClient(timeout=60, headers=headers) as http,
            asyncio.TaskGroup() as tasks,
        ):
            while self.placed < self.calls or go_on():
                if self.placed % LOOK_EVERY == 0:
                    started += await self._held_up(http)
                await asyncio.sleep(max(0.0, started + self.placed / self.rate_s - loop.time()))
                place = self._dial if self.placed % OUTBOUND_EVERY == 0 else self._ring
                tasks.create_task(place(http))
                self.placed += 1

    async def _held_up(self, http: httpx.AsyncClient) -> float:
        """Wait while a slow machine has too many calls up already; for how long."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        while await self._legs_up(http) > LEGS_UP_MAX:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return loop.time() - asked_at

    async def _legs_up(self, http: httpx.AsyncClient) -> int:
        answer = await http.get(f"{self.simulator_url}/simulator/health")
        return int(answer.raise_for_status().json()["live_legs"])

    async def _ring(self, http: httpx.AsyncClient) -> None:
        body: dict[str, str | float] = {
            "from": f"+1202555{self._dice.randrange(170, 180):04d}",
            "to": self._dice.choice(list(STAFF)),
            "connection_id": CONNECTION_ID,
            "hangup_after_s": self._dice.uniform(4, 12),
            # As long as it takes to elect a leader or to take over from a killed worker.
            "patience_s": 600,
        }
        answer = await http.post(f"{self.simulator_url}/simulator/calls", json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text

    async def _dial(self, http: httpx.AsyncClient) -> None:
        body = {
            "to": self._dice.choice(OUTBOUND_NUMBERS),
            "from": "+12025550100",
            "connection_id": CONNECTION_ID,
            "command_id": str(uuid.uuid4()),
        }
        for _ in range(INSISTS):
            answer = await http.post(f"{self.api_url}/v2/calls", json=body)
            if not answer.is_server_error:
                break
            self.repeated += 1
            await asyncio.sleep(0.5)
        assert answer.status_code == httpx.codes.OK, answer.text


async def place_call(http: httpx.AsyncClient) -> None:
    """Place a call that waits for an answer as long as servers restart, at the simulator."""
    body: dict[str, str | float] = {
        "from": "+12025550170",
        "to": "+12025550101",
        "connection_id": CONNECTION_ID,
        "hangup_after_s": 20,
        "patience_s": 600,
    }
    answer = await http.post("/simulator/calls", json=body)
    assert answer.status_code == httpx.codes.CREATED, answer.text
