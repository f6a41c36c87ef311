"""`offhook call` where no API answers: what is refused before it is sent, and lost answers."""

import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.remote.api_command import _value_of
from tests.cli.terminal import Terminal

FRIEND = "+12025550131"
OURS = "+12025550100"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal whose API is not there: what is refused here was never sent."""
    variables = {
        "OFFHOOK_API_URL": "http://127.0.0.1:1",
        "OFFHOOK_API_TOKENS": "command:t",
        "OFFHOOK_ANSWER_TIMEOUT_S": "120",
    }
    return Terminal(monkeypatch, capsys, variables)


def test_an_unknown_action_is_told_the_known_ones(offline: Terminal) -> None:
    for operation in ("spek", "dial"):  # dial is for no leg
        refused = offline("call", "action", operation, "leg-a", "-p", "payload=hello")
        assert refused.status == 2
        assert f"{operation!r} is not an action on a leg; expected one of ai_" in refused.errors
        assert ", speak, " in refused.errors
        assert " dial," not in refused.errors


WRONG = [
    (["dial", "555", "--from", OURS], "dial: to is '555'; expected a number in E.164"),
    (
        ["dial", FRIEND, "--from", OURS, "--timeout-secs", "3"],
        "dial: timeout_secs is 3; expected at least 5",
    ),
    (["dial", FRIEND, "--from", OURS, "--timeout-secs", "soon"], "timeout_secs is 'soon'"),
    (["dial", FRIEND, "--from", OURS, "-p", "timeout=9"], "timeout is '9'; there is no such"),
    (["dial", FRIEND, "--from", OURS, "-p", "link_to="], "dial: link_to is ''"),
    (["bridge", "leg-a"], "exactly one of call_control_id (the leg to bridge with), queue"),
    (["refer", "leg-a", "desk"], "sip_address is 'desk'; expected a SIP URI"),
    (["action", "speak", "leg-a", "-p", "text=hello"], "speak: text is 'hello'; there is no such"),
    (["reject", "leg-a", "--cause", "NO"], "cause is 'NO'; expected one of 'CALL_REJECTED'"),
    (["sip-info", "leg-a", "--body", "x" * 1401], "it has 1401 bytes; at most 1400 are allowed"),
    (["answer", "leg-a", "--client-state", "?"], "client_state is '?'; expected base64"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[each for _, each in WRONG])
def test_what_is_not_documented_is_not_sent(
    offline: Terminal, arguments: list[str], message: str
) -> None:
    if arguments[0] == "dial":
        arguments = [*arguments, "--connection-id", "12"]
    refused = offline("call", *arguments)
    assert refused.status == 2
    assert message in refused.errors
    assert refused.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["answer", "leg-a", "-p", "record"], "--param 'record': expected NAME=VALUE"),
        (["answer", "leg-a", "-p", "command_id=1"], "--param command_id: there is an option"),
        (["answer", "leg-a", "-p", "record=1", "-p", "record=2"], "record is given twice: '1' and"),
        (["active"], "name an application, set OFFHOOK_CONNECTION_ID, or give"),
    ],
)
def test_a_wrong_command_line_is_status_2(
    offline: Terminal, arguments: list[str], message: str
) -> None:
    refused = offline("call", *arguments)
    assert refused.status == 2
    assert message in refused.errors


def test_an_api_that_is_not_there(offline: Terminal) -> None:
    refused = offline("call", "hangup", "leg-a")
    assert refused.status == 1
    assert "the API does not answer at http://127.0.0.1:1: ConnectError" in refused.errors
    assert "see OFFHOOK_API_URL, or give --ready-file" in refused.errors
    assert "--command-id" not in refused.errors  # nothing was sent
    offline.variables.pop("OFFHOOK_API_TOKENS")
    assert (
        "there is no token for the API: set OFFHOOK_API_TOKEN"
        in offline("call", "active", "1").errors
    )
    offline.variables = {"OFFHOOK_API_URL": "localhost:8081", "OFFHOOK_API_TOKEN": "t"}
    assert (
        "OFFHOOK_API_URL is 'localhost:8081'; expected http://"
        in offline("call", "status", "leg-a").errors
    )


def test_a_lost_answer_is_asked_for_by_the_commands_id(offline: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take_and_hang_up() -> None:
            connection, _ = listening.accept()
            connection.recv(65536)
            connection.close()

        taking = threading.Thread(target=take_and_hang_up)
        taking.start()
        offline.variables["OFFHOOK_API_URL"] = f"http://127.0.0.1:{listening.getsockname()[1]}"
        asked = offline("call", "hangup", "leg-a", "--command-id", "desk-3")
        taking.join()
    assert asked.status == 1
    assert "send it again with --command-id desk-3 to get its answer, without" in asked.errors


def test_ctrl_c_tells_the_commands_id(offline: Terminal) -> None:
    """Dialled again without it, it would be a second call."""
    sent: list[dict[str, Any]] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take_and_interrupt() -> None:
            connection, _ = listening.accept()
            request = b""
            while not request.endswith(b"}"):
                request += connection.recv(65536)
            sent.append(json.loads(request.partition(b"\r\n\r\n")[2]))
            os.kill(os.getpid(), signal.SIGINT)
            connection.recv(1)  # until the command has gone
            connection.close()

        taking = threading.Thread(target=take_and_interrupt)
        taking.start()
        offline.variables["OFFHOOK_API_URL"] = f"http://127.0.0.1:{listening.getsockname()[1]}"
        dialled = offline("call", "dial", FRIEND, "--from", OURS, "-p", "connection_id=1")
        taking.join()
    assert dialled.status == 130
    assert f"--command-id {sent[0]['command_id']} to get its answer" in dialled.errors


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("to", "+12025550131", "+12025550131"),
        ("to", '["+12025550131", "+12025550132"]', ["+12025550131", "+12025550132"]),
        ("connection_id", "2811212257810187800", "2811212257810187800"),
        ("timeout_secs", "30", 30),
        ("bridge_on_answer", "true", True),
        ("client_state", "1234", "1234"),
        ("record_channels", "dual", "dual"),
        ("stream_bidirectional_sampling_rate", "8000", 8000),
        ("custom_headers", '[{"name": "X", "value": "1"}]', [{"name": "X", "value": "1"}]),
        ("webhook_urls", '{"call.hangup": "https://x"}', {"call.hangup": "https://x"}),
        ("webhook_urls", "{not json", "{not json"),
        ("unheard_of", "1", "1"),
    ],
)
def test_a_text_is_read_as_what_the_parameter_may_be(name: str, text: str, value: object) -> None:
    assert _value_of("dial", name, text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist: `offhook up --ready-file"),
        ("{", "is not a ready file of `offhook up`"),
        ('{"api": 1}', "is not a ready file of `offhook up`: Expected `str`, got `int`"),
    ],
)
def test_a_wrong_ready_file_is_named(
    offline: Terminal, tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    refused = offline("call", "active", "--ready-file", str(path))
    assert refused.status == 1
    assert f"{path} {message}" in refused.errors
