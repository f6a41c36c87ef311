"""The carrier: the key, and where an application's webhooks go."""

from dataclasses import replace

import pytest

from offhook.settings import Settings
from tests.cli.carrier import WEBHOOKS, Carrier
from tests.cli.doctor.checks import NOBODY, look, only_wrong


def _error(code: str, title: str) -> dict[str, object]:
    return {"errors": [{"code": code, "title": title}]}


@pytest.mark.parametrize(
    ("instead", "found", "fix"),
    [
        ((401, _error("10009", "Authentication failed")), "401 10009 Authentication failed", "KEY"),
        ((403, _error("10010", "Authorization failed")), "403 10010 Authorization failed", "right"),
        ((404, "not here"), "404: there are no Call Control Applications at", "ends in /v2"),
        ((200, "<html>"), "200: there are no Call Control Applications at", "ends in /v2"),
        (
            (503, _error("10007", "Unavailable")),
            "503 10007 Unavailable: the carrier cannot",
            "again",
        ),
    ],
)
def test_what_the_carrier_says_of_the_key(
    good: Settings, at_carrier: Carrier, instead: tuple[int, object], found: str, fix: str
) -> None:
    at_carrier.instead = instead
    finding = only_wrong(look(good))
    assert finding.check == "key"
    assert found in finding.found
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"carrier_key": "another"}, "401 10009 Authentication failed: the carrier does not know"),
        ({"carrier_key": ""}, "OFFHOOK_CARRIER_KEY is not set"),
        ({"carrier_url": f"{NOBODY}/v2"}, f"not reachable at {NOBODY}/v2: ConnectError"),
        ({"carrier_url": "api.telnyx.com/v2"}, "OFFHOOK_CARRIER_URL is 'api.telnyx.com/v2'"),
    ],
)
def test_a_carrier_that_cannot_be_asked(good: Settings, change: dict[str, str], found: str) -> None:
    finding = only_wrong(look(replace(good, **change)))  # type: ignore[arg-type]
    assert (finding.place, finding.check) == ("carrier", "key")
    assert finding.found.startswith(found)
    assert "OFFHOOK_CARRIER_" in finding.fix


@pytest.mark.parametrize(
    ("change", "check", "found", "fix"),
    [
        ({"webhook_api_version": "1"}, "webhook version", '"1", which', "--webhook-api-version 2"),
        ({"active": False}, "active", "no: it takes and places no calls", "--active"),
        (
            {"webhook_event_url": "https://old.example.com/hook"},
            "webhook URL",
            f"https://old.example.com/hook, not {WEBHOOKS}",
            f"--webhook-event-url {WEBHOOKS}",
        ),
        (
            {"webhook_event_failover_url": "https://old.example.com/"},
            "failover URL",
            "https://old.example.com/ does not end in /webhooks/telnyx, where ingress listens",
            "--webhook-event-failover-url https://…/webhooks/telnyx",
        ),
    ],
)
def test_an_application_whose_webhooks_would_not_come(
    good: Settings, at_carrier: Carrier, change: dict[str, object], check: str, found: str, fix: str
) -> None:
    at_carrier.applications["12"].update(change)
    finding = only_wrong(look(good))
    assert finding.check == check
    assert finding.found.startswith(found)
    assert finding.fix == f"offhook apps update 12 {fix}"


def test_without_an_expected_address_its_path_must_be_right(
    good: Settings, at_carrier: Carrier
) -> None:
    assert look(good, webhook_url="")["carrier", "webhook URL"].state == "good"
    at_carrier.applications["12"]["webhook_event_url"] = "https://calls.example.com/"
    finding = only_wrong(look(good, webhook_url=""))
    assert "does not end in /webhooks/telnyx" in finding.found


def test_which_application_must_be_clear(good: Settings, at_carrier: Carrier) -> None:
    at_carrier.reset(desk12={}, night13={"webhook_api_version": "1"})
    assert only_wrong(look(good)).found == "which of them? 12 (desk12), 13 (night13)"
    night = look(replace(good, connection_id="13"))
    assert night["carrier", "application"].found == "13 (night13)"
    assert only_wrong(night).check == "webhook version"
    missing = only_wrong(look(replace(good, connection_id="14")))
    assert missing.found.endswith("there is no '14'; there are 12 (desk12), 13 (night13)")
    assert "--connection ID or OFFHOOK_CONNECTION_ID" in missing.fix
    at_carrier.reset()
    none = only_wrong(look(good))
    assert none.found == "the account has none"
    assert none.fix.startswith("create one: offhook apps create")
