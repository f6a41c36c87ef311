"""What is to be imported: files of history, and files of captured webhooks; the content decides."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from offhook.errors import HistoryUnreadable, shown_url
from offhook.history.captures import CONTENT_BYTES_MAX, captured_record, captures_in
from offhook.history.files import STDIO, content_of, lines_in, record_at
from offhook.history.lines import PlacedRecord, record_from


def records_of(source: str) -> Iterator[PlacedRecord]:
    """The records in a file, in its order. `-` is standard input, with one of them a line.

    Raises OperatorFault, and HistoryUnreadable, which names the file and the line.
    """
    if source == STDIO:
        for number, line in lines_in(source):
            yield _record(source, number, line)
        return
    _, first = next(lines_in(source), (0, b""))
    if is_history(first):
        name = shown_url(source)
        for number, line in lines_in(source):
            yield f"{name}, line {number}", record_at(source, number, line)
    elif _is_object(first):
        for number, line in lines_in(source):
            yield _record(source, number, line)
    elif first:
        content = content_of(source, CONTENT_BYTES_MAX)
        with _named(shown_url(source)):
            captures = list(captures_in(content))
        for number, capture in enumerate(captures, start=1):
            place = f"{shown_url(source)}, webhook {number}"
            with _named(place):
                record = captured_record(capture)
            yield place, record


def is_history(line: bytes) -> bool:
    """Whether it is meant as a line of history, whatever is wrong with it."""
    try:
        msgspec.json.decode(line, type=_LineOfHistory)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


class _LineOfHistory(msgspec.Struct):
    v: msgspec.Raw
    position: msgspec.Raw


def _record(source: str, number: int, line: bytes) -> PlacedRecord:
    place = f"{shown_url(source)}, line {number}"
    with _named(place):
        if is_history(line):
            return place, record_from(line)
        captures = list(captures_in(line))
        if len(captures) != 1:
            raise HistoryUnreadable(f"{len(captures)} webhooks in an array; expected one a line")
        return place, captured_record(captures[0])


@contextmanager
def _named(place: str) -> Iterator[None]:
    try:
        yield
    except HistoryUnreadable as error:
        raise HistoryUnreadable(f"{place}: {error}") from error


def _is_object(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
