"""Which records of a file can be imported: those that come out of the log as they went in. Pure.

The line of another record may be right, but no log stores it: a subject is no session's, or a
header would be lost. In this log it would be in the way of all that reads it.
"""

import re
from datetime import UTC, datetime

from offhook.codec.facts import decode
from offhook.errors import RecordUnreadable, shown
from offhook.events import Fact, session_id_from, side_of
from offhook.history.lines import HistoryRecord

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Between these a log may have stored a record. The API takes no other time as a moment, and the
driver of Postgres reads the first and the last instant of Python as infinities."""


def importable_fact(record: HistoryRecord) -> Fact:
    """The record's fact. Raises RecordUnreadable if the record cannot be imported."""
    fact = decode(record.type, record.version, record.body)
    if record.side != side_of(type(fact)):
        raise RecordUnreadable(
            f"{record.type} is on side {record.side!r} of {record.session_id}: no session's record"
        )
    if session_id_from(record.session_id) != record.session_id:
        raise RecordUnreadable(
            f"session is {shown(record.session_id)}; expected 1 to 64 letters, digits, - or _"
        )
    if not EARLIEST <= record.stored_at < LATEST:
        raise RecordUnreadable(
            f"stored_at is {record.stored_at.isoformat()}; expected a time from {EARLIEST.year} to"
            f" {LATEST.year - 1}"
        )
    for name, value in record.headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise RecordUnreadable(
                f"header {shown(name)} is {shown(value)}; expected a name without spaces or colon,"
                " and a value in one line, without spaces around it"
            )
    return fact


_HEADER_NAME = re.compile(r"[!-9;-~]+")
_HEADER_VALUE = re.compile(r"(?! )[^\x00-\x1f\x7f]*(?<! )")
