"""What the log line of a flow that raised says: which flow, on which event, where in its code."""

import traceback
from pathlib import Path

import offhook
from offhook.events import Record, WebhookReceived
from offhook.workers.sessions.flows import FlowRaised

TRACEBACK_CHARS_MAX = 4_000
"""The end of a traceback is kept: the line that raised is there."""

_OFFHOOK = (str(Path(offhook.__file__).parent), "<")


def described(raised: FlowRaised) -> dict[str, object]:
    """Fields for the log. `file` and `line` are left out if no code of the flow's was running."""
    place = place_of(raised.__cause__) if raised.__cause__ is not None else None
    return {
        "session": raised.record.session_id,
        "seq": raised.record.seq,
        "event_type": event_type_of(raised.record),
        "error_summary": raised.summary,
        "exception": type(raised.__cause__).__name__ if raised.__cause__ else "",
    } | (place or {})


def traceback_of(raised: FlowRaised) -> str:
    """The traceback without Offhook's own frames; empty if the flow was not called."""
    if (error := raised.__cause__) is None:
        return ""
    found = traceback.TracebackException.from_exception(error)
    found.stack = traceback.StackSummary.from_list(
        [frame for frame in found.stack if not frame.filename.startswith(_OFFHOOK)]
    )
    return "".join(found.format(chain=False))[-TRACEBACK_CHARS_MAX:]


def event_type_of(record: Record) -> str:
    """The carrier's name of the event, or the record's type."""
    fact = record.fact
    return fact.event.event_type if isinstance(fact, WebhookReceived) else type(fact).__name__


def place_of(error: BaseException) -> dict[str, object] | None:
    """The innermost line of the flow's own folder; of a library's code, if there is none."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_OFFHOOK)
    ]
    if not frames:
        return None
    folder = Path(frames[0].filename).parent
    own = [frame for frame in frames if folder in Path(frame.filename).parents]
    last = (own or frames)[-1]
    return {
        "file": last.filename,
        "line": last.lineno,
        "function": last.name,
        "code": (last.line or "").strip(),
    }
