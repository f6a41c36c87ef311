"""Answers of the carrier, and outcomes in the short form that a table shows."""

import json
from typing import Any

from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused

OK = b'{"data":{"result":"ok"}}'


def errors(*codes: str | int, **more: Any) -> bytes:
    """A body with these error codes; each error has `more` too."""
    return json.dumps({"errors": [{"code": c, "title": f"T{c}", **more} for c in codes]}).encode()


def summary(outcome: Outcome) -> tuple[Any, ...]:
    """The fields of an outcome that a table compares."""
    match outcome:
        case Accepted():
            return ("accepted", outcome.answer, outcome.note)
        case Refused():
            return ("refused", outcome.reason, outcome.detail)
        case Busy():
            return ("busy", outcome.retry_after_s, outcome.detail)
        case NoAnswer():
            return ("no answer", outcome.maybe_taken, outcome.detail)
