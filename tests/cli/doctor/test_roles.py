"""The roles: away, hanging, something else, or with another key."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from nacl.signing import SigningKey

from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.run import Roles, _address
from offhook.settings import Settings
from tests.cli.carrier import Carrier
from tests.cli.doctor.checks import (
    NOBODY,
    SIGNING_KEY,
    look,
    only_wrong,
    purged,
)
from tests.ingress.stand import PATH, Ingress, body_of, running_ingress, signed


def test_an_ingress_that_is_not_there_or_is_something_else(
    good: Settings, at_carrier: Carrier
) -> None:
    away = only_wrong(look(good, roles=Roles(ingress=NOBODY)))
    assert (away.place, away.check) == ("ingress", "ready")
    assert away.found.startswith(f"not reachable at {NOBODY}: ConnectError")
    other = only_wrong(look(good, roles=Roles(ingress=at_carrier.url)))
    assert other.found == f"what answers 404 at {at_carrier.url} is not the ingress role"


def test_webhooks_tell_whether_the_carrier_signs_with_our_key(
    good: Settings, tmp_path: Path
) -> None:
    with running_ingress(replace(good, ingress_port=0), tmp_path / "log") as running:

        def signed_with_our_key() -> Finding:
            return look(good, roles=Roles(ingress=running.url))["ingress", "signed with our key"]

        assert signed_with_our_key().state == "unknown"
        send(running, SigningKey.generate())
        refused = signed_with_our_key()
        assert refused.state == "wrong"
        assert refused.found == "since it started: 0 webhooks taken, 1 with a bad signature"
        assert refused.fix.startswith("set OFFHOOK_PUBLIC_KEYS")
        send(running, SIGNING_KEY)
        assert signed_with_our_key().state == "good"
    asyncio.run(purged(good.nats_url))


def send(running: Ingress, key: SigningKey) -> None:
    body = body_of()
    httpx.post(
        f"{running.url}{PATH}", content=body, headers=signed(body, key), trust_env=False, timeout=60
    )


def test_a_role_that_hangs_or_is_away_or_is_not_ready(
    good: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.cli.doctor.roles.TIMEOUT_S", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = look(good, roles=Roles(api=hangs, workers=(hangs, NOBODY), projector=hangs))
    for place, check, name in (
        ("api", "ready", "api"),
        ("workers", "worker 1", "worker"),
        ("views", "projector", "projector"),
    ):
        assert found[place, check].found == (
            f"{hangs} accepts connections but does not answer within 5 s"
        )
        assert found[place, check].fix == f"it hangs: see the log of the {name}, then restart it"
    assert found["workers", "worker 2"].found.startswith(f"not reachable at {NOBODY}")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), ""),
        (Settings(api_host="0.0.0.0"), "http://127.0.0.1:8081"),
        (Settings(api_host="::1", api_port=9000), "http://[::1]:9000"),
        (Settings(api_port=0), ""),
    ],
)
def test_where_a_role_listens_by_the_settings(settings: Settings, expected: str) -> None:
    assert _address(settings, "api") == expected
