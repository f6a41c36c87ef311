"""A log that does not grow with what anybody can send."""

import asyncio
import logging
from typing import Any

import pytest

from offhook.process.limited_log import LimitedLog

LOG = logging.getLogger("tests.limited_log")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any, Any]]:
    return [
        (record.getMessage(), vars(record)["number"], vars(record).get("repeated"))
        for record in caplog.records
        if record.name == LOG.name
    ]


async def test_the_first_of_a_kind_is_written_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = LimitedLog(LOG, every_s=0.2)
    for number in range(1000):
        limited.warning("refused", kind="signature", extra={"number": number})
        if number % 500 == 0:
            limited.warning("late", kind="time", extra={"number": number})
    assert told(caplog) == [("refused", 0, None), ("late", 0, None)]
    await asyncio.sleep(0.3)
    assert told(caplog)[2:] == [("refused", 999, 999), ("late", 500, 1)]
    limited.warning("refused", kind="signature", extra={"number": 1000})
    assert len(told(caplog)) == 4
    await asyncio.sleep(0.5)
    assert told(caplog)[4:] == [("refused", 1000, 1)]
    # Nothing came for a while, so the next one is written at once.
    limited.warning("refused", kind="signature", extra={"number": 1001})
    assert told(caplog)[5:] == [("refused", 1001, None)]
