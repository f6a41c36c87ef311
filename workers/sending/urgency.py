"""How urgent a command is: which kind goes first when several wait. Pure."""

ENDS, ANSWERS, REST, DIALS = range(4)
_URGENCY = {"hangup": ENDS, "reject": ENDS, "answer": ANSWERS, "dial": DIALS}

QUEUED_MAX = 1000
"""The most commands that may wait in a process, besides hangups and answers: more would be late
anyway."""


def urgency_of(operation: str) -> int:
    """0 goes first: ending a call, then answering one, then the rest, and a new call last."""
    return _URGENCY.get(operation, REST)
