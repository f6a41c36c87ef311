"""The simulator is killed while calls are up: once it runs again, none of them is active."""

import time
from dataclasses import replace
from pathlib import Path

import httpx

from offhook.cli.embedded.stack import CONNECTION_ID, Stack, with_free_ports
from offhook.settings import Settings

DEADLINE_S = 180.0
CALLS = 3


def test_no_call_outlives_a_killed_simulator(tmp_path: Path) -> None:
    settings = replace(Settings(), simulator_journal=str(tmp_path / "simulator.db"))
    with Stack(tmp_path, with_free_ports(settings), workers=1) as stack:
        body = {
            "from": "+12025550170",
            "to": "+12025550101",
            "connection_id": CONNECTION_ID,
            "patience_s": 3600,
        }
        for _ in range(CALLS):
            url = f"{stack.addresses['simulator']}/simulator/calls"
            httpx.post(url, json=body, timeout=DEADLINE_S).raise_for_status()
        wait_until_active(stack, CALLS)
        stack.kill("simulator")
        stack.start("simulator")
        stack.wait_ready("simulator")
        wait_until_active(stack, 0)


def wait_until_active(stack: Stack, count: int) -> None:
    """Return once the API lists so many active calls."""
    url = f"{stack.addresses['api']}/v2/connections/{CONNECTION_ID}/active_calls"
    headers = {"authorization": f"Bearer {stack.token}"}
    give_up_at = time.monotonic() + DEADLINE_S
    while True:
        active = httpx.get(url, headers=headers, timeout=DEADLINE_S).json()["data"]
        if len(active) == count:
            return
        assert time.monotonic() < give_up_at, f"{len(active)} calls are active"
        time.sleep(0.05)
