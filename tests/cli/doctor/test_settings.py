"""Settings that no role would start with, or that the roles do not have."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.doctor.settings import examine_same_settings, examine_settings
from offhook.cli.embedded.ready_file import fingerprint
from offhook.settings import Settings
from tests.cli.carrier import KEY, WEBHOOKS
from tests.cli.doctor.checks import PUBLIC_KEY, look, only_wrong


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        ({"flows": ("nowhere:flow",)}, "flows", "OFFHOOK_FLOWS has 'nowhere:flow': No module"),
        ({"parked": "ring"}, "parked", "OFFHOOK_PARKED is 'ring'; expected hangup, none or"),
        ({"public_keys": ()}, "public keys", "OFFHOOK_PUBLIC_KEYS is not set"),
        (
            {"public_keys": ("c2hvcnQ=",)},
            "public keys",
            "OFFHOOK_PUBLIC_KEYS: public key of 8 characters is not base64 of 32 bytes",
        ),
    ],
)
def test_settings_that_no_service_would_start_with(
    good: Settings, change: dict[str, Any], check: str, words: str
) -> None:
    finding = look(replace(good, **change))["settings", check]
    assert finding.state == "wrong"
    assert words in finding.found
    assert "OFFHOOK_" in finding.found + finding.fix


def test_a_flow_whose_module_raises(
    good: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_flow.py").write_text("flow = [}")
    monkeypatch.syspath_prepend(tmp_path)
    finding = only_wrong(look(replace(good, flows=("broken_flow:flow",))))
    assert finding.found.startswith(
        "OFFHOOK_FLOWS has 'broken_flow:flow', which cannot be loaded: SyntaxError: "
    )
    assert "(broken_flow.py, line 1)" in finding.found


async def test_a_terminal_without_flows_says_nothing_of_those_of_the_workers() -> None:
    settings = Settings(public_keys=(PUBLIC_KEY,))
    found = {each.check: each async for each in examine_settings(settings)}
    assert found["flows"].state == "good"
    assert "not set in this terminal; a worker has the flows that it was" in found["flows"].found


FILE = {
    "nats": "nats://127.0.0.1:4333",
    "simulator": "http://127.0.0.1:9999",
    "simulator_key": "simulator",
    "public_keys": f"{PUBLIC_KEY},other",
    "ingress": "http://127.0.0.1:9998",
}


def test_a_key_of_the_environment_that_the_roles_do_not_use() -> None:
    [same] = examine_same_settings(FILE, {"OFFHOOK_PUBLIC_KEYS": PUBLIC_KEY})
    assert same.state == "good"
    environment = {
        "OFFHOOK_CARRIER_KEY": "KEY-of-last-week",
        "OFFHOOK_NATS_URL": "nats://desk:hunter2@10.0.0.1:4222",
    }
    nats, key = examine_same_settings(FILE, environment)
    assert (key.state, nats.state) == ("wrong", "wrong")
    assert key.found == "OFFHOOK_CARRIER_KEY is not the one that the roles of the ready file use"
    assert key.fix.startswith("unset OFFHOOK_CARRIER_KEY, or restart `offhook up` with it")
    assert nats.found == (
        "OFFHOOK_NATS_URL is nats://10.0.0.1:4222; "
        "the roles of the ready file use nats://127.0.0.1:4333"
    )


def test_another_key_of_the_real_carrier_than_the_roles_have() -> None:
    file = {"carrier": "https://api.telnyx.com/v2", "carrier_key_sha256": fingerprint(KEY)}
    file["ingress"] = "http://127.0.0.1:9998"
    public = {"OFFHOOK_WEBHOOK_URL": WEBHOOKS}
    [same] = examine_same_settings(file, {"OFFHOOK_CARRIER_KEY": KEY} | public)
    assert same.state == "good"
    [other] = examine_same_settings(file, {"OFFHOOK_CARRIER_KEY": "other"})
    assert other.found == "OFFHOOK_CARRIER_KEY is not the one that the roles use"
    [none] = examine_same_settings(file, {})
    assert none.found == "OFFHOOK_CARRIER_KEY is not set here"
