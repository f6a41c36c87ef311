"""`offhook whatif` as it is typed: sessions in files and in the database, the flow in processes."""

import html
import os
import re
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.whatif.replay import Row
from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
)
from offhook.history.files import writing
from offhook.history.lines import HistoryRecord, line_of
from tests.cli.terminal import Terminal
from tests.cli.whatif import flows

FLOWS = "tests.cli.whatif.flows"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SESSIONS = 50  # the last digit of the caller's number is that of the session's


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def greeted(number: int, first_seq: int) -> list[Row]:
    """A call as the flow `greet` decided it; a minute after the one before."""
    session = f"session-{number}"
    leg: dict[str, Any] = {"call_control_id": f"v3:{session}", "call_session_id": session}
    ends: dict[str, Any] = {"from_": f"+120255501{number % 100:02d}", "to": "+12025550100"}
    at = NOON + timedelta(minutes=number)
    rows: list[Row] = []

    def add(type_name: str, version: int, body: bytes) -> int:
        seq = first_seq + len(rows)
        rows.append((seq, type_name, version, at + timedelta(seconds=len(rows)), body))
        return seq

    answer, speak, hangup = (
        IssuedCommand(
            command_id=f"{session}-{operation}",
            operation=operation,
            call_control_id=leg["call_control_id"],
            parameters=parameters,
        )
        for operation, parameters in (
            ("answer", {}),
            ("speak", {"payload": flows.GREETING, "voice": "female"}),
            ("hangup", {}),
        )
    )
    for event, commands in (
        (CallInitiated(event_id=f"{session}-1", direction="incoming", **leg, **ends), [answer]),
        (CallAnswered(event_id=f"{session}-2", **leg, **ends), [speak, hangup]),
        (CallHangup(event_id=f"{session}-3", **leg, **ends), []),
    ):
        webhook = encoded_webhook(wire_body(event), event.event_id)
        seq = add(webhook.type, webhook.version, webhook.body)
        facts: list[Fact] = [
            Decided(
                cause_seq=seq, cause_id=event.event_id, flow="greet", flow_version="1",
                worker="w", lease_s=3, commands=tuple(commands),
            ),
            *(CommandSucceeded(command_id=each.command_id) for each in commands),
        ]  # fmt: skip
        for fact in facts:
            encoded = encode(fact, session)
            add(encoded.type, encoded.version, encoded.body)
    return rows


def history() -> list[tuple[str, Row]]:
    """The sessions' records, mixed as in a log."""
    found: list[tuple[str, Row]] = []
    for number in range(SESSIONS):
        rows = greeted(number, 1)
        # Positions that leave room for one another: session by session, record by record.
        found += [
            (f"session-{number}", (number + SESSIONS * row[0], *row[1:]))
            for row in _moved(rows, lambda seq, number=number: number + SESSIONS * seq)
        ]
    return sorted(found, key=lambda each: each[1][0])


def _moved(rows: Sequence[Row], place: Any) -> list[Row]:
    moved = []
    for row in rows:
        body = re.sub(rb'"cause_seq":(\d+)', lambda m: b'"cause_seq":%d' % place(int(m[1])), row[4])
        moved.append((*row[:4], body))
    return moved


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("history") / "calls.jsonl.zst")
    with writing(path) as target:
        for session_id, (position, type_name, version, stored_at, body) in history():
            target.write(
                line_of(
                    HistoryRecord(
                        position=position,
                        session_id=session_id,
                        side="in" if type_name == "WebhookReceived" else "out",
                        type=type_name,
                        version=version,
                        stored_at=stored_at,
                        body=body,
                    )
                )
            )
    return path


def tried(terminal: Terminal, flow: str, file: str, *options: str) -> Any:
    printed = terminal("whatif", f"{FLOWS}:{flow}", "--from", file, "--json", *options)
    assert printed.status == 0, printed.errors
    return printed.json


def test_the_same_flow_shows_no_difference(terminal: Terminal, file: str) -> None:
    printed = terminal("whatif", f"{FLOWS}:greet", "--from", file, "--check")
    assert printed.status == 0, printed.errors
    assert f"greet 1: no difference in {SESSIONS} sessions" in printed.output


def test_planted_changes_are_counted_exactly(terminal: Terminal, file: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    printed = terminal(
        "whatif", f"{FLOWS}:planted", "--from", file, "--json", "--check", "--html", str(page)
    )
    assert printed.status == 1
    found = printed.json
    each = SESSIONS // 10
    assert found["sessions"] | {"same": 0, "different": 0} == {
        "compared": SESSIONS, "same": 0, "different": 0, "other_flow": 0, "undecided": 0,
        "unreadable": 0,
    }  # fmt: skip
    assert (found["sessions"]["same"], found["sessions"]["different"]) == (7 * each, 3 * each)
    assert {kind: count for kind, count in found["kinds"].items() if count} == {
        "parameters": each,
        "extra": each,
        "reordered": each,
    }
    assert {
        (group["event"], group["what"], group["sessions"]) for group in found["differences"]
    } == {
        ("call.answered", "`speak` with other `payload`", each),
        ("call.hangup", "`hangup` extra", each),
        ("call.answered", "`hangup`, `speak` in another order", each),
    }
    assert found["decisions"] == {
        "same": 7 * each * 3 + each * (1 + 2 + 1),
        "after_a_difference": each * (1 + 0 + 1),
    }
    (changed,) = (group for group in found["differences"] if group["kind"] == "parameters")
    assert [example["session_id"] for example in changed["examples"]] == [
        f"session-{number}" for number in range(1, SESSIONS, 10)
    ]
    assert changed["examples"][0]["recorded"][0] == "speak payload='Hello' voice='female'"
    _require_page(page.read_text(), found)


def _require_page(page: str, found: Any) -> None:
    for group in found["differences"]:
        text = html.unescape(re.sub(r"</?code>", "`", page))
        assert f"{group['event']}: {group['what']}" in text
    assert not re.search(r"<script|https?:|//[a-z]|@import|url\(", page)
    assert len(page) < 40_000


def test_the_flow_reaches_nobody(
    terminal: Terminal, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        monkeypatch.setenv("PORT_OF_TEST", str(server.getsockname()[1]))
        found = tried(terminal, "connects", file)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert found["kinds"]["error"] == SESSIONS
    (group,) = found["differences"]
    assert "raises `NetworkClosed` in `_connects`" in group["what"]
    found = tried(terminal, "starts", file)
    assert found["kinds"]["error"] == SESSIONS
    assert "raises `NetworkClosed` in `_starts`" in found["differences"][0]["what"]


def test_what_the_flow_prints_is_not_in_the_way(terminal: Terminal, file: str) -> None:
    assert tried(terminal, "prints", file)["sessions"]["same"] == SESSIONS


def test_a_flow_that_ends_its_process_is_an_error_in_that_session_alone(
    terminal: Terminal, file: str
) -> None:
    found = tried(terminal, "ends", file)
    assert (found["kinds"]["error"], found["sessions"]["same"]) == (1, SESSIONS - 1)
    (group,) = found["differences"]
    assert group["what"] == "ends its process (signal SIGKILL)"
    assert group["examples"][0]["session_id"] == "session-3"


def test_a_flow_that_never_decides_is_interrupted(
    terminal: Terminal, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.cli.whatif.processes.DECIDES_WITHIN_S", 0.2)
    found = tried(terminal, "loops", file, "--limit", "2")
    assert found["kinds"]["error"] == 2
    assert found["differences"][0]["what"].startswith("raises `TooSlow`")


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--limit", "7"], 7),
        (["--since", "2026-11-22T12:40:00Z"], 10),
        (["--until", "2026-11-22T12:40:00+00:00"], 40),
        (["--sessions", "session-1,session-2"], 2),
        (["--flow", "other"], 0),
        (["--flow", "other", "--flow", "greet"], SESSIONS),
        (["--all"], SESSIONS),
    ],
)
def test_sessions_are_chosen(terminal: Terminal, file: str, options: list[str], count: int) -> None:
    found = tried(terminal, "greet", file, "--processes", "1", *options)
    assert found["sessions"]["compared"] == count


def test_a_check_of_nothing_fails(terminal: Terminal, file: str) -> None:
    printed = terminal("whatif", f"{FLOWS}:greet", "--from", file, "--flow", "other", "--check")
    assert printed.status == 1
    assert "nothing was compared" in printed.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([f"{FLOWS}:nobody"], "has no attribute 'nobody'"),
        (["greet"], "FLOW is 'greet'; expected module:attribute"),
        ([f"{FLOWS}:greet", "--since", "yesterday"], "--since: 'yesterday' is not a time"),
        ([f"{FLOWS}:greet", "--sessions", "session-1,nope"], "session 'nope' has no records in "),
        ([f"{FLOWS}:greet", "--sessions", ","], "--sessions names no session"),
        ([f"{FLOWS}:greet", "--all", "--flow", "x"], "--all and --flow cannot be used together"),
    ],
)
def test_a_mistake_is_one_line(
    terminal: Terminal, file: str, arguments: list[str], said: str
) -> None:
    printed = terminal("whatif", *arguments, "--from", file)
    assert printed.status == (2 if said.startswith("--") else 1)
    assert said in printed.errors
    assert "Traceback" not in printed.errors
    assert os.getpid()


def test_a_page_that_cannot_be_written_is_refused_first(
    terminal: Terminal, file: str, tmp_path: Path
) -> None:
    page = tmp_path / "none" / "page.html"
    printed = terminal("whatif", f"{FLOWS}:greet", "--from", file, "--html", str(page))
    assert printed.status == 1
    assert f"{page} cannot be opened: No such file or directory" in printed.errors
    assert "compared" not in printed.output


LATER = '{"v": 2, "session": "s", "type": "Decided", "stored_at": "2026-11-22T10:00:00Z"}'


@pytest.mark.parametrize("line", ["hello world", '{"a": 1}', '{"data": {}}', '{"v": 2}', LATER])
def test_a_line_that_is_no_record_is_named(terminal: Terminal, tmp_path: Path, line: str) -> None:
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text(f"\n{line}\n")
    printed = terminal("whatif", f"{FLOWS}:greet", "--from", str(foreign))
    assert printed.status == 1
    assert f"{foreign}, line 2: " in printed.errors
