"""A log that does not grow with what anybody can send."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from offhook.process.limited_log import LimitedLog

EVERY_S = 0.2
LOG = logging.getLogger("tests.limited_log")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any, Any]]:
    return [
        (record.getMessage(), vars(record)["number"], vars(record).get("repeated"))
        for record in caplog.records
        if record.name == LOG.name
    ]


@dataclass
class Later:
    """In place of the event loop: what is due after `every_s` runs when the test says so."""

    due: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)

    def call_later(self, after_s: float, callback: Callable[..., None], *args: Any) -> None:
        assert after_s == EVERY_S
        self.due.append((callback, args))

    def passes(self) -> None:
        due, self.due = self.due, []
        for callback, args in due:
            callback(*args)


def test_the_first_of_a_kind_is_written_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = Later()
    loops = SimpleNamespace(get_running_loop=lambda: later)
    monkeypatch.setattr("offhook.process.limited_log.asyncio", loops)
    limited = LimitedLog(LOG, every_s=EVERY_S)
    for number in range(1000):
        limited.warning("refused", kind="signature", extra={"number": number})
        if number % 500 == 0:
            limited.warning("late", kind="time", extra={"number": number})
    assert told(caplog) == [("refused", 0, None), ("late", 0, None)]
    later.passes()
    assert told(caplog)[2:] == [("refused", 999, 999), ("late", 500, 1)]
    limited.warning("refused", kind="signature", extra={"number": 1000})
    assert len(told(caplog)) == 4
    later.passes()
    assert told(caplog)[4:] == [("refused", 1000, 1)]
    later.passes()
    # Nothing came for a while, so the next one is written at once.
    limited.warning("refused", kind="signature", extra={"number": 1001})
    assert told(caplog)[5:] == [("refused", 1001, None)]
