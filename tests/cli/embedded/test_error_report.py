"""What `offhook up` prints of the roles' errors: the first at once, then how many more."""

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from offhook.cli.embedded.error_report import (
    KINDS_MAX,
    PARKED_SHOWN_MAX,
    REPEATS_EVERY_S,
    ErrorReport,
)
from offhook.cli.embedded.role_logs import READ_BYTES_MAX, RoleLogs
from offhook.position import position_of

RAISED = {
    "level": "error",
    "what": "flow raised",
    "session": "s1",
    "seq": 8,
    "event_type": "call.answered",
    "flow": "frontdesk",
    "error_summary": "flow frontdesk 1: KeyError: 'sales'",
    "exception": "KeyError",
    "file": "/home/me/[x]/frontdesk.py",
    "line": 23,
    "function": "choose",
    "code": "return MENU[event.digit]",
    "attempt": 1,
    "attempts_max": 5,
    "error": "Traceback …\nKeyError: 'sales'",
}
PARKED = {**RAISED, "what": "session parked", "attempts": 5}


class Screen:
    """A report on a narrow terminal, by a clock of its own."""

    def __init__(self, parked: str = "hangup") -> None:
        self.console = Console(width=40, record=True, file=io.StringIO())
        self.now = 0.0
        self.report = ErrorReport(
            self.console,
            parked=parked,
            log_path=lambda role: Path(f"/logs/{role}.log"),
            clock=lambda: self.now,
        )

    def take(self, logged: dict[str, Any], /, **changes: Any) -> str:
        """What is printed at once."""
        self.report.take("worker-1", {**logged, **changes})
        return self.console.export_text()

    def repeats(self) -> str:
        """What is printed when repeats are due."""
        self.now += REPEATS_EVERY_S
        self.report.print_repeats()
        return self.console.export_text()


def test_a_flow_that_raises_is_shown_with_its_place_event_and_session() -> None:
    assert Screen().take(RAISED).splitlines() == [
        "✗ flow frontdesk 1: KeyError: 'sales'",
        "    /home/me/[x]/frontdesk.py, line 23, in choose: return MENU[event.digit]",
        "    on call.answered (seq 0:8) of session s1, attempt 1 of 5",
        "    traceback in /logs/worker-1.log",
    ]


def test_a_position_is_shown_as_partition_and_sequence() -> None:
    assert "(seq 2:8) of session s1" in Screen().take(RAISED, seq=position_of(2, 8))


def test_the_same_error_again_is_counted_whatever_its_message() -> None:
    screen = Screen()
    screen.take(RAISED)
    assert screen.take(RAISED, attempt=2) == ""
    for session in ("s2", "s3"):
        assert screen.take(RAISED, session=session, error_summary=f"KeyError: {session}") == ""
    assert screen.repeats() == "  again: flow frontdesk 1: KeyError: 'sales' (2 more times)\n"
    assert screen.repeats() == ""
    assert screen.take(RAISED, line=24) != "", "another line is another error"


def test_a_parked_session_is_shown_with_what_becomes_of_its_calls_and_what_to_do() -> None:
    first, second = Screen().take(PARKED).splitlines()
    assert first == (
        "✗ session s1 is parked after 5 attempts; its calls are hung up (OFFHOOK_PARKED=hangup)"
    )
    assert second.endswith("then: offhook parked list, offhook parked retry s1")
    transferred = Screen(parked="transfer:sip:desk@pbx.example").take(PARKED)
    assert "its caller is transferred to sip:desk@pbx.example" in transferred
    assert "its callers hear nothing (OFFHOOK_PARKED=none)" in Screen(parked="none").take(PARKED)


def test_a_flood_of_parked_sessions_is_counted() -> None:
    screen = Screen()
    shown = [bool(screen.take(PARKED, session=f"s{number}")) for number in range(10)]
    assert shown == [True] * PARKED_SHOWN_MAX + [False] * (10 - PARKED_SHOWN_MAX)
    assert "7 more sessions parked" in screen.repeats()


def test_other_warnings_are_a_line_each_and_what_is_well_is_none() -> None:
    screen = Screen()
    warning = {"level": "warning", "what": "nats error", "error": "a\nUnexpectedEOF()", "n": 3}
    assert screen.take(warning) == "! worker-1: nats error: UnexpectedEOF() n=3\n"
    assert screen.take(warning) == ""
    assert screen.repeats() == "  again: worker-1: nats error (1 more time)\n"
    assert screen.take({"level": "info", "what": "listening"}) == ""


def test_two_flows_that_raise_the_same_are_two_errors() -> None:
    """What a flow returns is judged outside of its code, so the place of such an error is none."""
    screen = Screen()
    summary = "TypeError: decide returned None; expected a list of orders"
    placeless = {name: value for name, value in RAISED.items() if name not in ("file", "line")}
    raised = placeless | {"exception": "TypeError", "error_summary": f"flow frontdesk 1: {summary}"}
    screen.take(raised)
    other = {"flow": "sales", "error_summary": f"flow sales 1: {summary}", "session": "s2"}
    assert screen.take(raised, **other).startswith(f"✗ flow sales 1: {summary}\n")


def test_each_reason_of_a_warning_is_shown_once() -> None:
    """The version of a webhook must not go unseen because another was refused before."""
    screen = Screen()
    refused = {"level": "warning", "what": "webhook refused", "reason": "method"}
    assert screen.take(refused) == "! worker-1: webhook refused reason=method\n"
    version = {"reason": "api_v1", "detail": 'set webhook_api_version to "2"'}
    shown = screen.take(refused, **version)
    assert shown.endswith('webhook refused reason=api_v1 detail=set webhook_api_version to "2"\n')
    assert screen.take(refused, **version) == ""
    assert screen.repeats() == "  again: worker-1: webhook refused, api_v1 (1 more time)\n"


def test_tracebacks_are_kept_within_a_bound() -> None:
    screen = Screen()
    for number in range(KINDS_MAX + 5):
        screen.take(RAISED, line=number)
    assert list(screen.report.tracebacks()) == [RAISED["error"]] * KINDS_MAX


def test_logs_are_read_from_where_they_ended_and_by_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "worker-1.log"
    path.write_text(json.dumps({"what": "of an earlier run"}) + "\n")
    logs = RoleLogs(tmp_path)

    def add(text: str) -> list[tuple[str, dict[str, Any]]]:
        with path.open("a") as file:
            file.write(text)
        return list(logs.new_lines())

    assert add('{"what": "a"}\nTraceback, no JSON\n[1]\n{"wh') == [("worker-1", {"what": "a"})]
    assert add('at": "b"}\n') == [("worker-1", {"what": "b"})]
    (tmp_path / "api.log").write_text('{"what": "c"}\n')
    assert list(logs.new_lines()) == [("api", {"what": "c"})]
    assert add("x" * READ_BYTES_MAX) == []
    assert add('\n{"what": "d"}\n') == [("worker-1", {"what": "d"})]
