"""`offhook doctor`: a system where everything is good, and what the command prints."""

import re

import pytest

from offhook.projections.views.schema.migrate import REVISION
from offhook.settings import Settings, environment_from
from tests.cli.carrier import WEBHOOKS, Carrier
from tests.cli.doctor.checks import look
from tests.cli.terminal import Terminal


def test_where_all_is_good_nothing_is_wrong(good: Settings) -> None:
    found = look(good)
    without_address = ("ingress", "api")
    assert {found[place, "ready"].state for place in without_address} == {"unknown"}
    rest = [each.state for each in found.values() if each.place not in without_address]
    assert set(rest) == {"good"}
    assert list(found) == [
        ("settings", "readable"),
        ("settings", "flows"),
        ("settings", "public keys"),
        ("carrier", "key"),
        ("carrier", "clock"),
        ("carrier", "application"),
        ("carrier", "webhook URL"),
        ("carrier", "webhook version"),
        ("carrier", "active"),
        ("ingress", "ready"),
        ("log", "version"),
        ("log", "max_payload"),
        ("log", "flushes every write"),
        ("log", "room"),
        ("log", "clock"),
        ("log", "NATS"),
        ("log", "stream CALLS"),
        ("log", "consumer worker"),
        ("log", "consumer projector"),
        ("log", "stream TIMERS"),
        ("log", "consumer worker-timers"),
        ("log", "stream SNAPSHOTS"),
        ("log", "takes records"),
        ("workers", "heard"),
        ("workers", "wake-ups"),
        ("workers", "alarms"),
        ("views", "Postgres"),
        ("views", "clock"),
        ("views", "revision"),
        ("views", "parked"),
        ("views", "erasures"),
        ("views", "behind the log"),
        ("api", "ready"),
    ]
    assert found["carrier", "application"].found == "12 (desk12), the only one"
    assert found["views", "revision"].found == f"{REVISION}, the newest"
    assert not [finding for finding in found.values() if finding.state == "good" and finding.fix]


def test_it_prints_and_ends_as_it_found(
    good: Settings,
    at_carrier: Carrier,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offhook = Terminal(monkeypatch, capsys, environment_from(good))
    looked = offhook("doctor", "--connection", "12", "--webhook-url", WEBHOOKS)
    assert looked.status == 0, looked.output
    assert "carrier ✓ ──▶ ingress · ──▶ log ✓ ──▶ workers ✓ ──▶ views ✓ ──▶ api ·" in looked.output
    assert "all good, 2 not checked" in looked.output

    at_carrier.applications["12"]["webhook_api_version"] = "1"
    looked = offhook("doctor")
    assert looked.status == 1
    assert (
        "settings ✓   carrier ✗ ──▶ ingress · ──▶ log ✓ ──▶ workers ✓ ──▶ views ✓ ──▶ api ·"
        in looked.output
    )
    assert "→ offhook apps update 12 --webhook-api-version 2" in looked.output
    assert "1 of " in looked.output

    looked = offhook("doctor", "--json")
    assert looked.status == 1
    assert looked.json["good"] is False
    [wrong] = [each for each in looked.json["checks"] if each["state"] == "wrong"]
    assert wrong == {
        "place": "carrier",
        "check": "webhook version",
        "state": "wrong",
        "found": '"1", which ingress refuses',
        "fix": "offhook apps update 12 --webhook-api-version 2",
    }

    offhook.variables["OFFHOOK_API_PORT"] = "many"
    looked = offhook("doctor", "--json")
    assert looked.status == 1
    assert [each["check"] for each in looked.json["checks"]] == ["readable"]
    assert "OFFHOOK_API_PORT is 'many'; expected" in looked.json["checks"][0]["found"]


def test_clocks_that_differ(good: Settings) -> None:
    found = look(good, ahead_s=10)
    assert [each.place for each in found.values() if each.state == "wrong"] == ["log", "views"]
    told = re.match(r"([\d.]+) s behind ours, ±([\d.]+) s", found["log", "clock"].found)
    assert told is not None, found["log", "clock"]
    skew_s, doubt_s = map(float, told.groups())
    assert abs(skew_s - 10) <= doubt_s + 0.1  # both are rounded
    assert found["log", "clock"].fix.startswith("synchronise both clocks by NTP")
    found = look(good, ahead_s=-40)
    wrong = [each for each in found.values() if each.state == "wrong"]
    assert [each.place for each in wrong] == ["carrier", "log", "views"]
    assert {each.check for each in wrong} == {"clock"}
    assert re.search(r"s ahead of ours, ±[\d.]+ s; at most 30 s$", wrong[0].found)
