"""The composition root: settings in, a process that serves and drains."""

import asyncio
import base64
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest
from nacl.signing import SigningKey

from offhook.errors import SettingInvalid
from offhook.settings import Settings, environment_from
from offhook.simulator.app import run
from tests.simulator.stand import CALLER, CONNECTION, DEADLINE_S, OURS, POLL_S, stand

ROOT = Path(__file__).parent.parent.parent
SERVE = """
import asyncio, os
from offhook.settings import settings_from
from offhook.simulator.app import run
from offhook.simulator.http import application
from offhook.simulator.webhooks import sender
application.DRAIN_S = sender.TIMEOUT_S = 60.0
asyncio.run(run(settings_from(os.environ)))
"""


async def test_without_a_signing_key_it_does_not_start() -> None:
    with pytest.raises(SettingInvalid, match="OFFHOOK_SIGNING_KEY"):
        await run(Settings())


async def test_a_terminated_simulator_finishes_its_deliveries(free_port: int) -> None:
    async with stand() as other:  # for its receiver
        ours = await other.event("call.initiated", await other.ring())
        settings = Settings(
            simulator_port=free_port,
            signing_key=base64.b64encode(bytes(SigningKey.generate())).decode(),
            webhook_url=ours.envelope["meta"]["delivered_to"],
        )
        other.receiver.answer = lambda one: 500 if one.envelope["meta"]["attempt"] == 1 else 200
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SERVE,
            cwd=ROOT,
            env={**os.environ, **environment_from(settings)},
        )
        try:
            leg = await ring(f"http://127.0.0.1:{free_port}")
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), DEADLINE_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        attempts = [
            one.envelope["meta"]["attempt"] for one in other.receiver.of("call.initiated", leg)
        ]
        assert attempts == [1, 2]


async def ring(url: str) -> str:
    """Place an inbound call as soon as the simulator is there."""
    body = {"from": CALLER, "to": OURS, "connection_id": CONNECTION}
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as http:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + DEADLINE_S
        while True:
            try:
                response = await http.post(f"{url}/simulator/calls", json=body)
                return str(response.json()["data"]["call_control_id"])
            except httpx.ConnectError:
                assert loop.time() < give_up_at, f"nothing listens on {url}"
                await asyncio.sleep(POLL_S)
