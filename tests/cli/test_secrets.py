"""No secret is in what a role or command prints when it fails, nor in the process list."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from offhook.cli.main import app, main
from offhook.errors import secrets_of_url, shown_url
from offhook.process.logs import _JsonLines
from offhook.settings import SECRET_FIELDS, secrets_in, settings_from

TIMEOUT_S = 300
NOBODY = "127.0.0.1:1"
MARK = "hush"
SECRETS = {
    "OFFHOOK_NATS_URL": f"nats://desk:{MARK}-of-n@ts@{NOBODY},nats://{MARK}-token@{NOBODY}",
    "OFFHOOK_NATS_MONITOR_URLS": f"http://desk:{MARK}-monitor@{NOBODY}",
    "OFFHOOK_POSTGRES_URL": f"postgresql://desk:{MARK}-postgres@{NOBODY}/d?password={MARK}-param",
    "OFFHOOK_CARRIER_URL": f"http://desk:{MARK}-carrier@{NOBODY}/v2",
    "OFFHOOK_CARRIER_KEY": f"{MARK}-carrier-key",
    "OFFHOOK_API_URL": f"http://desk:{MARK}-api@{NOBODY}",
    "OFFHOOK_API_TOKENS": f"read:{MARK}-reader,admin:{MARK}-admin",
    "OFFHOOK_API_TOKEN": f"{MARK}-api-token",
    "OFFHOOK_METRICS_TOKEN": f"{MARK}-metrics",
    "OFFHOOK_SIGNING_KEY": f"{MARK}-no-base64",
    "OFFHOOK_PUBLIC_KEYS": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "OFFHOOK_WEBHOOK_URL": f"http://desk:{MARK}-hook@{NOBODY}/webhooks/telnyx",
    "OFFHOOK_CONNECTION_ID": "12",
}
COMMANDS = (
    *(["worker"], ["simulator"], ["migrate"], ["doctor", "--json"]),
    *(["call", "active"], ["apps", "list"], ["send", "FILE"]),
)


def test_what_fails_tells_no_secret(tmp_path: Path) -> None:
    files = {"FILE": tmp_path / "webhook.json"}
    files["FILE"].write_text(json.dumps({"data": {"event_type": "call.hangup", "payload": {}}}))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "offhook"),
                *(str(files.get(part, part)) for part in command),
            ],
            env={**kept, **SECRETS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in COMMANDS
    ]
    try:
        lines = [Path(f"/proc/{each.pid}/cmdline").read_text() for each in running]
        assert not [line for line in lines if MARK in line]
        for command, process in zip(COMMANDS, running, strict=True):
            output, _ = process.communicate(timeout=TIMEOUT_S)
            assert process.returncode != 0, f"{command} was meant to fail: {output}"
            assert output, f"{command} says nothing"
            assert MARK not in output, f"{command}: {output}"
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("text", "shown", "secrets"),
    [
        ("nats://h:4222", "nats://h:4222", []),
        ("nats://u:p@h:4222,nats://t@h2", "nats://h:4222,nats://h2", ["p", "t"]),
        ("nats://u:p@ss/w,o?rd@h:4222", "nats://h:4222", ["p@ss/w,o?rd"]),
        ("u:p@h:4222", "h:4222", ["p"]),
        (
            "postgresql://u@/d?host=/tmp&password=p&x=1",
            "postgresql:///d?host=/tmp&password=…&x=1",
            ["p"],
        ),
        ("postgresql://u:p@h/d", "postgresql://h/d", ["p"]),
        ("https://h/p?api_key=k", "https://h/p?api_key=…", ["k"]),
    ],
)
def test_a_url_is_shown_without_what_is_secret(text: str, shown: str, secrets: list[str]) -> None:
    assert shown_url(text) == shown
    assert secrets_of_url(text) == secrets


def test_settings_show_no_secret() -> None:
    settings = settings_from(SECRETS)
    assert MARK not in repr(settings)
    assert "nats_url='nats://127.0.0.1:1,nats://127.0.0.1:1'" in repr(settings)
    assert {"carrier_key", "api_tokens", "api_token", "metrics_token", "signing_key"} <= (
        SECRET_FIELDS
    )
    known = secrets_in(SECRETS | {"OFFHOOK_CARRIER_KEY": "simulator", "OTHER": "not-ours"})
    assert len(known) == len(set(known)) >= len(SECRETS)
    assert not [each for each in known if MARK not in each]


def test_a_library_that_tells_a_secret_is_not_repeated_in_the_log() -> None:
    secret = 'pass"word'
    formatter = _JsonLines("worker", [secret])
    try:
        raise ValueError(f"bad address {secret}")
    except ValueError:
        record = logging.makeLogRecord(
            {"msg": f"at {secret}", "exc_info": sys.exc_info(), "address": {"of": secret}}
        )
    line = formatter.format(record)
    assert "word" not in line
    assert json.loads(line)["what"] == "at [secret]"
    assert "ValueError: bad address [secret]" in json.loads(line)["error"]


def test_a_mistake_of_ours_shows_its_traceback_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise AssertionError(f"at {SECRETS['OFFHOOK_NATS_URL']}")

    monkeypatch.setenv("OFFHOOK_NATS_URL", SECRETS["OFFHOOK_NATS_URL"])
    monkeypatch.setattr("offhook.cli.main.app", fail)
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert "in fail" in told
    assert MARK not in told


def test_a_key_is_no_option_any_more_and_read_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "webhook.json"
    file.write_text(json.dumps({"data": {"event_type": "call.hangup", "payload": {}}}))
    refused = CliRunner().invoke(app, ["send", str(file), "--key", "A" * 43 + "="])
    assert refused.exit_code == 2
    url = f"http://{NOBODY}"
    read = CliRunner().invoke(
        app, ["send", str(file), "--key-file", "-", "--url", url], input="no base64\n"
    )
    assert "signing key (OFFHOOK_SIGNING_KEY, --key-file)" in str(read.exception)


def test_a_secret_parameter_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{MARK}-sip\n")
    given = ["--param", f"sip_auth_password=@{file}", "--param", "sip_auth_username=u"]
    dial = ["call", "dial", "+12025550131", "--from", "+12025550100"]
    environment = {"OFFHOOK_API_URL": f"http://{NOBODY}", "OFFHOOK_API_TOKEN": "t"}
    environment["OFFHOOK_CONNECTION_ID"] = "12"
    read = CliRunner().invoke(app, [*dial, *given], env=environment)
    assert "warning" not in read.output
    assert "does not answer" in str(read.exception)
    seen = CliRunner().invoke(app, [*dial, "--param", "sip_auth_password=x"], env=environment)
    assert "the process list shows sip_auth_password" in seen.output
    missing = CliRunner().invoke(
        app, [*dial, "--param", "sip_auth_password=@/none"], env=environment
    )
    assert missing.exit_code == 2
