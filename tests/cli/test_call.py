"""`offhook call`: from a terminal through API, log and worker to the carrier, and what is said."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from offhook.cli.embedded import ready_file
from offhook.cli.embedded.stack import CONNECTION_ID, Stack, with_free_ports
from offhook.settings import Settings, environment_from
from tests.cli.terminal import Terminal

TIMEOUT_S = 180
FRIEND = "+12025550131"  # answers after a while and stays
OURS = "+12025550100"

Found = TypeVar("Found")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """No flow: nothing happens but what the terminal says."""
    settings = with_free_ports(Settings(simulator_speed=5))
    with Stack(tmp_path_factory.mktemp("stack"), settings, workers=1) as stack:
        yield stack


@pytest.fixture
def offhook(
    stack: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    """A newcomer's terminal: the ready file is all it has."""
    path = tmp_path / "ready.json"
    ready_file.write(path, stack.addresses)
    return Terminal(monkeypatch, capsys, {ready_file.VARIABLE: str(path)})


def test_webhooks_that_go_elsewhere_are_warned_of(offhook: Terminal) -> None:
    elsewhere = "webhook_url=http://127.0.0.1:9/my/app"
    dialled = offhook("call", "dial", FRIEND, "--from", OURS, "--json", "-p", elsewhere)
    assert dialled.status == 0, dialled.errors
    assert dialled.errors.startswith("warning: dial: the call's webhooks go to webhook_url 'http:")
    assert offhook("call", "hangup", dialled.json["data"]["call_control_id"]).status == 0


def test_a_call_from_dial_to_hangup(offhook: Terminal, stack: Stack) -> None:
    dialled = offhook("call", "dial", FRIEND, "--from", OURS, "--json", "-p", "timeout_secs=30")
    assert dialled.status == 0, dialled.errors
    leg = dialled.json["data"]["call_control_id"]

    def up() -> list[str]:
        return [
            each["call_control_id"] for each in offhook("call", "active", "--json").json["data"]
        ]

    _until(up, lambda legs: leg in legs)
    listed = offhook("call", "active")
    assert f"active on connection {CONNECTION_ID}" in listed.output
    assert f"{leg}  {dialled.json['data']['call_session_id']}  " in listed.output
    assert _until(lambda: offhook("call", "status", leg), lambda found: found.status == 0)
    shown = offhook("call", "status", leg)
    assert "is_alive" in shown.output
    assert "true" in shown.output
    assert leg in offhook("call", "status", leg[:20]).output
    session_id = dialled.json["data"]["call_session_id"]
    assert offhook("calls", "--leg", f"{leg[:20]}*").output.endswith(f"  {session_id}\n")
    assert offhook("show", session_id[:13], "--json").json["session_id"] == session_id

    hung_up = offhook("call", "hangup", leg[:20])
    assert hung_up.status == 0, hung_up.errors
    assert hung_up.output.startswith("hangup: 200, command_id ")
    assert "result  ok" in hung_up.output
    assert (dialled.errors, hung_up.errors) == ("", "")
    _until(up, lambda legs: leg not in legs)
    assert offhook("call", "status", leg, "--json").json["data"]["is_alive"] is False
    assert _performed(stack, dialled.json["command_id"]) == [("dial", 1)]


def test_a_command_given_twice_with_its_id_is_performed_once(
    offhook: Terminal, stack: Stack
) -> None:
    dial = ("call", "dial", FRIEND, "--from", OURS, "--command-id", "desk-1", "--json")
    first, second = offhook(*dial), offhook(*dial)
    assert first.status == second.status == 0
    assert first.json == second.json
    assert first.json["command_id"] == "desk-1"
    assert _performed(stack, "desk-1") == [("dial", 1)]


def test_every_command_reaches_the_carrier(offhook: Terminal, stack: Stack) -> None:
    first, second, third = _ringing(stack), _ringing(stack), _ringing(stack)
    commands = [
        ("answer", first, "--client-state", "MTIz"),
        ("answer", second, "-p", "transcription=false", "-p", "send_silence_when_idle=true"),
        ("bridge", first, second, "--park-after-unbridge", "self"),
        ("sip-info", first, "--body", '{"a": 1}', "--content-type", "application/json"),
        ("refer", first, "sip:desk@example.com"),
        ("transfer", second, FRIEND, "--from", OURS, "--timeout-secs", "20"),
        ("reject", third, "--cause", "USER_BUSY"),
        ("hangup", first, "-p", 'custom_headers=[{"name": "X-Why", "value": "done"}]'),
    ]
    for name, leg, *more in commands:
        asked = offhook("call", name, leg, *more, "--json", "--command-id", f"{name}-{leg}")
        assert asked.status == 0, asked.errors
        operation = "send_sip_info" if name == "sip-info" else name
        assert _performed(stack, f"{name}-{leg}") == [(operation, 1)]


def test_any_action_of_the_carrier_can_be_given(offhook: Terminal, stack: Stack) -> None:
    leg = _ringing(stack)
    actions = [
        ("answer",),
        ("speak", "-p", "payload=true", "-p", "voice=AWS.Polly.Joanna"),
        ("gather", "-p", "maximum_digits=4", "-p", "valid_digits=0123"),
    ]
    for operation, *more in actions:
        action = ("call", "action", operation, leg, "--command-id", operation)
        asked = offhook(*action, *more)
        assert asked.status == 0, asked.errors
        assert _performed(stack, operation) == [(operation, 1)]
    update = ("call", "action", "client_state_update", leg, "--client-state", "MTIz")
    updated = offhook(*update)  # a PUT, and the carrier has no command_id for it
    assert updated.status == 0, updated.errors
    states = {each["call_control_id"]: each["client_state"] for each in _books(stack)["legs"]}
    assert states[leg] == "MTIz"


def test_a_refusal_is_told_with_code_title_and_detail(offhook: Terminal) -> None:
    refused = offhook("call", "answer", "v3:nobody")
    assert refused.status == 1
    assert refused.output == ""
    first, *lines = refused.errors.splitlines()
    assert first.startswith("offhook: the API at http://127.0.0.1:")
    assert first.endswith(" answers 422")
    assert lines == [
        "  90015 Invalid Call Control ID",
        "    The call_control_id provided was not valid. (at /call_control_id)",
        lines[-1],
    ]
    assert lines[-1].startswith("  It is recorded: offhook show ")
    refused = offhook("call", "answer", "v3:nobody", "--json", "--command-id", "desk-2")
    assert refused.status == 1
    assert refused.json["command_id"] == "desk-2"
    assert lines[-1].endswith(f" {refused.json['session_id']}")  # both are of that leg
    assert [error["code"] for error in refused.json["errors"]] == ["90015"]
    unheard = offhook("call", "status", "v3:nobody")
    assert unheard.status == 1
    assert "90015 Invalid Call Control ID" in unheard.errors


def test_a_token_may_be_wrong(offhook: Terminal, stack: Stack) -> None:
    api = {"OFFHOOK_API_URL": stack.addresses["api"] + "/v2/"}
    offhook.variables = {**api, "OFFHOOK_API_TOKEN": "nobodys"}
    assert "10009 Authentication failed" in offhook("call", "active", "1").errors
    offhook.variables = {**api, "OFFHOOK_API_TOKENS": f"read:x,admin:{stack.token}"}
    assert offhook("call", "active", "1").output == "0 active on connection 1\n"


def test_the_other_commands_take_the_ready_file_too(offhook: Terminal, stack: Stack) -> None:
    call = _placed(stack)
    shown = _until(
        lambda: offhook("show", call["call_session_id"], "--json"), lambda found: found.status == 0
    )
    assert shown.json["session_id"] == call["call_session_id"]
    listed = offhook("parked", "list")
    assert listed.status == 0
    assert "nothing is parked" in listed.output


def test_calls_are_listed_and_searched(offhook: Terminal, stack: Stack) -> None:
    call = _placed(stack)
    leg, session_id = call["call_control_id"], call["call_session_id"]
    mine = ("calls", "--session", f"{session_id},{session_id[:-1]}*")
    listed = _until(lambda: offhook(*mine), lambda found: session_id in found.output)
    assert listed.status == 0
    (line,) = listed.output.splitlines()
    assert line.endswith(f"  {session_id}")
    assert listed.errors == "1 call, newest first\n"
    assert offhook(*mine, "--not-failed", "--since", "1h", "--number", "+1*").output
    first = ("--any-leg", "--direction", "incoming", "--shorter", "0.00001", "--not-answered")
    assert offhook(*mine, *first).errors == "no call matches\n"
    nothing = offhook(*mine, "--failed")
    assert (nothing.status, nothing.output, nothing.errors) == (0, "", "no call matches\n")
    of_first = offhook(*mine, "--cause", "user_busy").errors
    assert of_first == "no call matches; only first legs were searched: --any-leg\n"
    assert offhook("call", "hangup", leg).status == 0
    ended = _until(
        lambda: offhook(*mine, "--status", "ended", "--json"), lambda each: bool(each.output)
    )
    assert ended.json["session_id"] == session_id
    assert [each["call_control_id"] for each in ended.json["legs"]] == [leg]
    refused = offhook("calls", "--from", "+1 2 x")
    assert refused.status == 1
    assert "10016" in refused.errors
    assert "(at from_number)" in refused.errors


def test_calls_are_followed_until_ctrl_c(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    ready_file.write(path, stack.addresses)
    arguments = ("calls", "--follow", "--json", "--number", "+1202555017*,!*0170")
    with subprocess.Popen(
        [sys.executable, "-m", "offhook", *arguments, "--ready-file", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        given_up = threading.Timer(TIMEOUT_S, following.kill)
        given_up.start()
        call = _placed(stack, "+12025550171")
        seen = [json.loads(following.stdout.readline())]
        httpx.post(
            f"{stack.addresses['api']}/v2/calls/{call['call_control_id']}/actions/hangup",
            json={},
            headers={"authorization": f"Bearer {stack.token}"},
            timeout=60,
        ).raise_for_status()
        while seen[-1]["status"] != "ended":
            seen.append(json.loads(following.stdout.readline()))
        assert {each["session_id"] for each in seen} == {call["call_session_id"]}
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate()
        given_up.cancel()
    assert following.returncode == 130
    assert errors == ""


def test_the_ready_file_gives_the_settings_of_the_stack(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    ready_file.write(path, stack.addresses)
    attached = ready_file.attached(Settings(), path)
    assert path.stat().st_mode & 0o077 == 0
    own, found = environment_from(stack.settings), environment_from(attached)
    assert found.pop("OFFHOOK_API_URL") == stack.addresses["api"]
    assert found.pop("OFFHOOK_API_TOKEN") == stack.token
    assert found.pop("OFFHOOK_CONNECTION_ID") == CONNECTION_ID
    assert found.pop("OFFHOOK_POSTGRES_URL") == stack.postgres.libpq_url
    assert found.items() <= own.items()
    assert set(found) == {
        "OFFHOOK_NATS_URL",
        "OFFHOOK_NATS_MONITOR_URLS",
        "OFFHOOK_PUBLIC_KEYS",
        "OFFHOOK_SIGNING_KEY",
        "OFFHOOK_WEBHOOK_URL",
        "OFFHOOK_CARRIER_URL",
        "OFFHOOK_CARRIER_KEY",
    }


def _ringing(stack: Stack) -> str:
    """The leg of a caller who waits to be answered."""
    return _placed(stack)["call_control_id"]


def _placed(stack: Stack, caller: str = "+12025550170") -> dict[str, str]:
    body = {
        "from": caller,
        "to": "+12025550101",
        "connection_id": CONNECTION_ID,
        "patience_s": 600,
        "hangup_after_s": 600,
    }
    answer = httpx.post(f"{stack.addresses['simulator']}/simulator/calls", json=body, timeout=60)
    ids: dict[str, str] = answer.raise_for_status().json()["data"]
    return ids


def _performed(stack: Stack, command_id: str) -> list[tuple[str, int]]:
    """Operation and count of what the carrier did under a command_id."""
    return [
        (effect["operation"], effect["count"])
        for effect in _books(stack)["effects"]
        if effect["command_id"] == command_id
    ]


def _books(stack: Stack) -> dict[str, Any]:
    """What the simulated carrier did."""
    answer = httpx.get(f"{stack.addresses['simulator']}/simulator/effects", timeout=60)
    books: dict[str, Any] = answer.raise_for_status().json()
    return books


def _until(ask: Callable[[], Found], is_good: Callable[[Found], bool]) -> Found:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_good(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found
