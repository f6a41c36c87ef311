"""compose.yaml's own commands as processes: a node of its log is killed while calls run.

pytest -s tests/whole/test_cluster.py        tells what happened and how long it took
"""

import asyncio
import base64
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from nacl.signing import SigningKey

from offhook.telnyx.signature import public_key_text
from tests.compose_file import read_compose
from tests.whole.books import books_when_quiet, said, say, settled_verdict
from tests.whole.composed import Composed
from tests.whole.traffic import Traffic

CALLS = 60  # for each node that is killed
RATE_S = 10.0
NODES = ("nats-1", "nats-2", "nats-3")
TOKEN = "of-the-test"
TIMEOUT_S = 180.0


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "frontdesk.py").write_text("from offhook.cli.demo.flow import demo as frontdesk\n")
    key = SigningKey.generate()
    variables = {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "OFFHOOK_CARRIER_URL": "http://simulator:8082/v2",
        "OFFHOOK_CARRIER_KEY": "simulator",
        "OFFHOOK_SIGNING_KEY": base64.b64encode(bytes(key)).decode(),
        "OFFHOOK_PUBLIC_KEYS": public_key_text(key),
        "OFFHOOK_API_TOKENS": f"admin:{TOKEN}",
        "OFFHOOK_SIMULATOR_SPEED": "10",
        "OFFHOOK_FLOWS": "frontdesk:frontdesk",
        "FLOWS_FOLDER": str(flows),
    }
    began = time.monotonic()
    profiles = frozenset({"simulator"})
    with Composed(
        compose=read_compose(variables), directory=tmp_path, profiles=profiles
    ) as composed:
        say(f"all of compose.yaml healthy after {time.monotonic() - began:.1f} s")
        yield composed


async def test_a_killed_node_of_the_log_costs_no_call(composed: Composed) -> None:
    """One that leads nothing is killed and comes back, then the one that leads."""
    await _lose(composed, "follower", calls_before=0)
    await _lose(composed, "leader", calls_before=CALLS)
    took = await asyncio.to_thread(composed.stop)
    say("stopped in order: " + ", ".join(f"{name} {took_s:.1f} s" for name, took_s in took.items()))


async def _lose(composed: Composed, role: str, *, calls_before: int) -> None:
    """Kill a node while calls run, and start it again once they are over."""
    seed = int.from_bytes(os.urandom(3))
    simulator = f"http://{composed.address('simulator', 8082)}"
    traffic = Traffic(
        simulator_url=simulator,
        api_url=f"http://{composed.address('api', 8081)}",
        token=TOKEN,
        calls=CALLS,
        rate_s=RATE_S,
        seed=seed,
    )
    placing = asyncio.create_task(traffic.run())
    await asyncio.sleep(CALLS / RATE_S / 3)
    leader = await _leader(composed)
    killed = leader if role == "leader" else next(node for node in NODES if node != leader)
    await asyncio.to_thread(composed.kill, killed)
    died_at = time.monotonic()
    successor = await _leader(composed, without=killed)
    say(
        f"seed {seed}; {killed}, the {role}, killed; {successor} leads after "
        f"{time.monotonic() - died_at:.1f} s"
    )
    await placing
    books = await books_when_quiet(simulator)
    found = await settled_verdict(composed.translated("api", "OFFHOOK_POSTGRES_URL"), books)
    say(f"{said(found)}; {traffic.repeated} commands repeated by the application")
    assert found.is_clean, (found.lost, found.doubled)
    assert found.calls == calls_before + CALLS
    for service in ("ingress", "worker", "projector", "api"):
        await asyncio.to_thread(composed.wait_healthy, service)  # with one node still away

    await asyncio.to_thread(composed.start, killed)
    await asyncio.to_thread(composed.wait_healthy, killed)


async def _leader(composed: Composed, without: str = "") -> str:
    """The node that leads the stream, as the nodes but one tell it."""
    deadline = time.monotonic() + TIMEOUT_S
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
        while True:
            for node in NODES:
                if node == without:
                    continue
                url = f"http://{composed.address(node, 8222)}/jsz"
                answer = (await http.get(url, params={"streams": "true"})).json()
                leader = _leader_in(answer)
                if leader and leader != without:
                    return leader
            assert time.monotonic() < deadline, "the stream has no leader"
            await asyncio.sleep(0.05)


def _leader_in(answer: dict[str, Any]) -> str:
    for account in answer.get("account_details", []):
        for stream in account.get("stream_detail", []):
            if stream["name"] == "CALLS_0":
                return str(stream.get("cluster", {}).get("leader", ""))
    return ""
