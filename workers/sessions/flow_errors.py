"""What the log line of a flow that raised says: which flow, on which event, where in its code.

All of it runs between the work on other calls, so it has bounds: a flow that calls itself without
end raises with a thousand frames, and to format them takes 30 ms.
"""

import linecache
import os
import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import offhook
from offhook.events import Record, WebhookReceived
from offhook.workers.sessions.flows import FlowRaised

TRACEBACK_CHARS_MAX = 4_000
"""The end of a traceback is kept: the line that raised is there."""

FRAMES_MAX = 16
"""Of each exception: the innermost ones."""

CHAIN_MAX = 4
"""Exceptions of which one was raised while another was handled."""

_OFFHOOK = (str(Path(offhook.__file__).parent), "<")


def described(raised: FlowRaised) -> dict[str, object]:
    """Fields for the log. `file` and `line` are left out if no code of the flow's was running."""
    place = place_of(raised.__cause__) if raised.__cause__ is not None else None
    return {
        "session": raised.record.session_id,
        "seq": raised.record.seq,
        "event_type": event_type_of(raised.record),
        "flow": raised.flow.name if raised.flow else "",
        "error_summary": raised.summary,
        "exception": type(raised.__cause__).__name__ if raised.__cause__ else "",
    } | (place or {})


def traceback_of(raised: FlowRaised) -> str:
    """The traceback without Offhook's own frames; empty if the flow was not called."""
    if (error := raised.__cause__) is None:
        return ""
    innermost = deque(_steps(error), maxlen=FRAMES_MAX)
    found = traceback.TracebackException(
        type(error),
        error,
        innermost[0] if innermost else None,
        limit=-FRAMES_MAX,
        lookup_lines=False,  # Offhook's own are not needed
    )
    _reduce(found)
    return "".join(found.format())[-TRACEBACK_CHARS_MAX:]


def event_type_of(record: Record) -> str:
    """The carrier's name of the event, or the record's type."""
    fact = record.fact
    return fact.event.event_type if isinstance(fact, WebhookReceived) else type(fact).__name__


def place_of(error: BaseException) -> dict[str, object] | None:
    """The innermost line of the flow's own folder; of a library's code, if there is none."""
    folder, last, last_own = "", None, None
    for last in _steps(error):
        file = last.tb_frame.f_code.co_filename
        folder = folder or os.path.dirname(file) + os.sep
        if file.startswith(folder):
            last_own = last
    if (step := last_own or last) is None:
        return None
    code = step.tb_frame.f_code
    line = linecache.getline(code.co_filename, step.tb_lineno, step.tb_frame.f_globals)
    return {
        "file": code.co_filename,
        "line": step.tb_lineno,
        "function": code.co_name,
        "code": line.strip(),
    }


def _steps(error: BaseException) -> Iterator[TracebackType]:
    """The calls of code that is not Offhook's, the outermost first."""
    step, last, is_ours = error.__traceback__, None, False
    while step is not None:
        code = step.tb_frame.f_code
        if code is not last:
            last, is_ours = code, code.co_filename.startswith(_OFFHOOK)
        if not is_ours:
            yield step
        step = step.tb_next


def _reduce(found: traceback.TracebackException) -> None:
    """Leave out Offhook's frames, and the carets below the lines, which take as long as the rest.

    Also of the exceptions during whose handling it was raised, up to CHAIN_MAX in all.
    """
    printed: traceback.TracebackException | None = found
    for number in range(1, CHAIN_MAX + 1):
        if printed is None:
            return
        printed.stack = traceback.StackSummary.from_list(
            [
                (frame.filename, frame.lineno or 0, frame.name, None)
                for frame in printed.stack
                if not frame.filename.startswith(_OFFHOOK)
            ]
        )
        if number == CHAIN_MAX:
            printed.__cause__ = printed.__context__ = None
        printed = printed.__cause__ or printed.__context__
