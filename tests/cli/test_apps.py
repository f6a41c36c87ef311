"""`offhook apps`: the life of an application at the carrier, and what is refused before."""

from collections.abc import Iterator
from inspect import signature
from typing import Any

import httpx
import pytest

from offhook.cli.apps.body import FIELDS, body_of, change_of
from offhook.cli.apps.command import update
from offhook.simulator.applications import DEFAULT_ID
from offhook.telnyx.applications import NewApplication, application_from
from tests.cli.carrier import KEY, WEBHOOKS, simulated
from tests.cli.terminal import Terminal


@pytest.fixture(scope="module")
def carrier_url() -> Iterator[str]:
    with simulated() as url:
        yield url


@pytest.fixture
def offhook(
    carrier_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    variables = {"OFFHOOK_CARRIER_URL": carrier_url, "OFFHOOK_CARRIER_KEY": KEY}
    return Terminal(monkeypatch, capsys, variables)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """What is refused here was never sent."""
    variables = {"OFFHOOK_CARRIER_URL": "http://127.0.0.1:1/v2", "OFFHOOK_CARRIER_KEY": KEY}
    return Terminal(monkeypatch, capsys, variables)


def test_an_application_from_create_to_delete(offhook: Terminal) -> None:
    created = offhook(
        *("apps", "create", "reception", WEBHOOKS, "--inbound-channel-limit", "5"),
        *("--outbound-voice-profile-id", "1293384261075731499"),
    )
    assert created.status == 0, created.errors
    assert 'webhook_api_version is "2"; the carrier\'s default is "1"' in created.errors
    assert "  inbound.channel_limit  " in created.output
    [made] = offhook("apps", "list", "--contains", "recep", "--json").json["data"]
    assert (made["webhook_api_version"], made["inbound"]["channel_limit"]) == ("2", 5)
    assert made["outbound"]["outbound_voice_profile_id"] == "1293384261075731499"

    updated = offhook(
        *("apps", "update", made["id"], "--inactive", "--tag", "night", "--tag", "day"),
        *("--inbound-sip-subdomain-receive-settings", "only_my_connections", "--json"),
    )
    assert updated.status == 0, updated.errors
    changed = updated.json["data"]
    assert changed["active"] is False
    assert changed["tags"] == ["night", "day"]
    assert changed["inbound"] == made["inbound"] | {
        "sip_subdomain_receive_settings": "only_my_connections"
    }
    kept = ("application_name", "webhook_event_url", "webhook_api_version", "outbound")
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}
    assert offhook("apps", "show", made["id"], "--json").json["data"] == changed

    listed = offhook("apps", "list")
    assert "2 applications" in listed.output
    deleted = offhook("apps", "delete", made["id"], "--yes")
    assert deleted.output == f"{made['id']} (reception): deleted\n"
    gone = offhook("apps", "show", made["id"])
    assert gone.status == 1
    assert "answers 404\n  10005 Resource not found" in gone.errors
    gone = offhook("apps", "update", made["id"], "--active", "--json")
    assert gone.status == 1
    assert [error["code"] for error in gone.json["errors"]] == ["10005"]


def test_a_delete_asks(offhook: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in (False, True):
        made = offhook("apps", "create", "asked", WEBHOOKS, "--json").json["data"]
        asked: list[str] = []

        def confirm(text: str, answer: bool = answer, **_: Any) -> bool:
            asked.append(text)  # noqa: B023
            return answer

        monkeypatch.setattr("typer.confirm", confirm)
        deleted = offhook("apps", "delete", made["id"])
        assert asked == [f"delete application {made['id']} (asked)?"]
        assert deleted.status == (0 if answer else 1)
        assert offhook("apps", "show", made["id"]).status == (1 if answer else 0)


def test_all_pages_are_listed(offhook: Terminal, carrier_url: str) -> None:
    with httpx.Client(
        base_url=carrier_url, headers={"authorization": f"Bearer {KEY}"}, timeout=60
    ) as http:
        for number in range(260):
            body = {"application_name": f"many {number}", "webhook_event_url": WEBHOOKS}
            http.post("/call_control_applications", json=body).raise_for_status()
    found = offhook("apps", "list", "--contains", "many", "--sort", "created_at", "--json")
    assert [each["application_name"] for each in found.json["data"]] == [
        f"many {number}" for number in range(260)
    ]


WRONG = [
    (["create", "desk", "calls.example.com"], "webhook_event_url is 'calls.example.com'; expected"),
    (["create", "", WEBHOOKS], "application_name is ''"),
    (["create", "desk", WEBHOOKS, "--webhook-api-version", "v2"], "expected one of '1', '2'"),
    (["create", "desk", WEBHOOKS, "--webhook-timeout-secs", "31"], "webhook_timeout_secs is 31"),
    (["create", "desk", WEBHOOKS, "--webhook-timeout-secs", "soon"], "is 'soon'; expected a whole"),
    (["create", "desk", WEBHOOKS, "--dtmf-type", "inband"], "one of 'Inband', 'RFC 2833', 'SIP"),
    (
        ["update", "12", "--anchorsite-override", "Paris"],
        "anchorsite_override is 'Paris'; exp",
    ),
    (["update", "12", "--outbound-channel-limit", "many"], "outbound.channel_limit is 'many'"),
    (
        ["update", "12", "--inbound-sip-subdomain-receive-settings", "me"],
        "inbound.sip_subdomain_receive_settings is 'me'; expected one of 'from_anyone', 'only_my",
    ),
    (["update", "12", "--webhook-event-failover-url", "x"], "webhook_event_failover_url is 'x'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[each for _, each in WRONG])
def test_what_is_not_documented_is_not_sent(
    offline: Terminal, arguments: list[str], message: str
) -> None:
    refused = offline("apps", *arguments)
    assert refused.status == 2
    assert message in refused.errors
    assert refused.errors.count("\n") == 1


def test_an_update_must_name_something(offline: Terminal) -> None:
    refused = offline("apps", "update", "12")
    assert refused.status == 2
    assert "name what to change" in refused.errors


def test_a_carrier_that_is_away_or_knows_no_key(offline: Terminal, carrier_url: str) -> None:
    away = offline("apps", "list")
    assert away.status == 1
    assert "the carrier does not answer at http://127.0.0.1:1/v2: ConnectError" in away.errors
    offline.variables = {"OFFHOOK_CARRIER_URL": carrier_url, "OFFHOOK_CARRIER_KEY": "another"}
    assert "10009 Authentication failed" in offline("apps", "show", DEFAULT_ID).errors
    offline.variables.pop("OFFHOOK_CARRIER_KEY")
    assert "OFFHOOK_CARRIER_KEY is not set" in offline("apps", "list").errors
    offline.variables = {
        "OFFHOOK_CARRIER_URL": carrier_url.removesuffix("/v2") + "/simulator/health",
        "OFFHOOK_CARRIER_KEY": KEY,
    }
    assert offline("apps", "list").status == 1


def test_every_documented_parameter_has_its_option() -> None:
    """In the body as the check would have it, nested objects put together."""
    options = {
        "active": False,
        "anchorsite_override": "Chicago, IL",
        "call_cost_in_webhooks": True,
        "dtmf_type": "Inband",
        "first_command_timeout": True,
        "first_command_timeout_secs": "12",
        "inbound_channel_limit": "null",
        "inbound_shaken_stir_enabled": True,
        "inbound_sip_subdomain": "desk",
        "inbound_sip_subdomain_receive_settings": "from_anyone",
        "outbound_channel_limit": "7",
        "outbound_voice_profile_id": "1",
        "redact_dtmf_debug_logging": True,
        "webhook_api_version": "2",
        "webhook_event_failover_url": "null",
        "webhook_timeout_secs": "25",
        "as_json": True,
        "ready_file": None,
    }
    assert set(options) - {"as_json", "ready_file"} == set(FIELDS) - {
        *("application_name", "webhook_event_url", "tags")
    }
    body = body_of(options)
    assert body == {
        "active": False,
        "anchorsite_override": "Chicago, IL",
        "call_cost_in_webhooks": True,
        "dtmf_type": "Inband",
        "first_command_timeout": True,
        "first_command_timeout_secs": 12,
        "inbound": {
            "channel_limit": None,
            "shaken_stir_enabled": True,
            "sip_subdomain": "desk",
            "sip_subdomain_receive_settings": "from_anyone",
        },
        "outbound": {"channel_limit": 7, "outbound_voice_profile_id": "1"},
        "redact_dtmf_debug_logging": True,
        "webhook_api_version": "2",
        "webhook_event_failover_url": None,
        "webhook_timeout_secs": 25,
    }
    needed = {"application_name": "desk", "webhook_event_url": WEBHOOKS}
    application_from(body | needed, NewApplication)
    assert set(body) | set(needed) == set(NewApplication.__struct_fields__)


def test_every_documented_field_is_an_option_of_update() -> None:
    assert set(signature(update).parameters) == {*FIELDS, "id", "as_json", "ready_file"}


def test_an_update_says_what_the_carrier_wants_with_every_update() -> None:
    there = {
        "application_name": "desk",
        "webhook_event_url": WEBHOOKS,
        "inbound": {"a": 1, "b": None},
    }
    assert change_of(there, {"active": True}) == {
        "application_name": "desk",
        "webhook_event_url": WEBHOOKS,
        "active": True,
    }
    assert change_of(there, {"inbound": {"c": 2}})["inbound"] == {"a": 1, "c": 2}
