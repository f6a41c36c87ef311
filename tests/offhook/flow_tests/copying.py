"""A session as workers write it with a flow, and its copy as code, run with any flow."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from offhook.codec.facts import fact_id_of
from offhook.codec.webhooks import read_webhook, wire_body
from offhook.events import (
    CommandFailed,
    CommandSucceeded,
    Decided,
    Fact,
    Record,
    WebhookReceived,
)
from offhook.flow import Flow
from offhook.flow.decision import stored
from offhook.flow_tests.flow_test import flow_test
from offhook.session import Session, fold

PERSON, SILENT, REFUSED = "+12025550110", "+12025550188", "+12025550154"
SESSION, LEG = "s-1", "v3:caller"
START = datetime(2026, 11, 27, 10, tzinfo=UTC)


def functions_in(
    code: str, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Callable[[], None]]:
    """The test functions, with this flow where the code imports one."""
    module = ModuleType("flows")
    for name in ("reception", "notification", "click_to_call", "desk"):
        setattr(module, name, flow)
    monkeypatch.setitem(sys.modules, "flows", module)
    names: dict[str, Any] = {}
    exec(compile(code, "copied", "exec"), names)
    return {name: each for name, each in names.items() if name.startswith("test_")}


def copied(records: Sequence[Record]) -> str:
    found = flow_test(records)
    assert found is not None
    return found.code


def require_passes(code: str, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    for test in functions_in(code, flow, monkeypatch).values():
        test()


def require_fails(code: str, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        require_passes(code, flow, monkeypatch)


class Log:
    """The log of a call, as workers write it with this flow."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.records: list[Record] = []

    def add(self, fact: Fact) -> int:
        seq = len(self.records) + 101
        self.records.append(
            Record(
                seq=seq,
                stored_at=START + timedelta(seconds=seq - 100),
                session_id=SESSION,
                fact=fact,
                fact_id=fact_id_of(fact, SESSION),
            )
        )
        return seq

    def webhook(self, event: Any, *, at: float = 0.0, event_id: str = "") -> int:
        """An event that occurred so many seconds after the start, as it is read from JSON."""
        full = replace(
            event,
            event_id=event_id or f"e-{len(self.records)}",
            occurred_at=START + timedelta(seconds=at),
            call_control_id=event.call_control_id or LEG,
            call_session_id=SESSION,
            connection_id="7",
        )
        return self.add(WebhookReceived(event=read_webhook(wire_body(full)).event, attempt=1))

    def decide(self, cause_seq: int, name: str = "") -> list[str]:
        """The flow's decision on that record, in view of the older ones; the commands' ids."""
        seen = [each for each in self.records if each.side == "out" or each.seq <= cause_seq]
        session = fold(SESSION, seen)
        cause = next(each for each in self.records if each.seq == cause_seq)
        fact = cause.fact
        event: Any = fact.event if isinstance(fact, WebhookReceived) else fact
        said = stored(self.flow.decide(event, session), event, session, cause_seq)
        self.add(
            Decided(
                cause_seq=cause_seq,
                cause_id="",
                flow=name or self.flow.name,
                flow_version=self.flow.version,
                worker="w",
                lease_s=5.0,
                commands=said.commands,
                timers=said.timers,
                warnings=said.warnings,
            )
        )
        return [each.command_id for each in said.commands]

    def succeed(self, command_id: str, **more: Any) -> None:
        self.add(CommandSucceeded(command_id=command_id, http_status=200, **more))

    def fail(self, command_id: str, operation: str, leg: str | None = LEG) -> int:
        return self.add(
            CommandFailed(
                command_id=command_id,
                operation=operation,
                call_control_id=leg,
                reason="refused",
                http_status=422,
                errors=[{"code": "90041", "title": "Channel limit exceeded"}],
                group="capacity",
                maybe_performed=False,
            )
        )


def desk(decide: Callable[[Any, Session], Any]) -> Flow:
    return Flow(name="desk", version="7", decide=decide)
