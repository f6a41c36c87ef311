"""The subject grammar: `calls.<slot>.<session>.<side>`. Pure; fixed forever.

    calls.37.b0e6141e-c81c-11f0-abac-02420aef93a0.in     facts from outside
    calls.37.b0e6141e-c81c-11f0-abac-02420aef93a0.out    what workers recorded
    timers.set.<session>.<timer id>                      an alarm, until it rings
    timers.fired.<session>                               an alarm that rang: look at the session
    snapshots.<session>                                  how far workers have folded the session
    wake.<worker>                                        core NATS, not stored: look at a session
    limits                                               core NATS, not stored: workers' reports
    roles.ask                                            core NATS, not stored: every role answers

Subjects cannot be erased, so no telephone number is ever in one.
"""

import re
import zlib
from dataclasses import dataclass
from typing import Literal

Side = Literal["in", "out"]

SLOTS = 64
"""What the log is partitioned by. Never change it: stored subjects carry it."""

ALL_CALLS = "calls.>"
ALL_IN = "calls.*.*.in"
ALL_OUT = "calls.*.*.out"
SET_PREFIX = "timers.set."
FIRED_PREFIX = "timers.fired."
ALL_SET = SET_PREFIX + "*.*"
ALL_FIRED = FIRED_PREFIX + "*"
SNAPSHOT_PREFIX = "snapshots."
ALL_SNAPSHOTS = SNAPSHOT_PREFIX + "*"
LIMITS = "limits"
"""Where workers tell each other how much of the carrier's limits they use."""
ASK_ROLES = "roles.ask"
"""Where every role answers who it is and how it is: `roles/answers.py`."""

_STORABLE_CHARS_MAX = 200

_SUBJECT = re.compile(
    r"^calls\.(?P<slot>\d{1,2})\.(?P<session>[A-Za-z0-9_-]{1,64})\.(?P<side>in|out)$"
)


@dataclass(frozen=True, kw_only=True)
class CallSubject:
    """A subject of the log, taken apart."""

    session_id: str
    side: Side


def subject_of(session_id: str, side: Side) -> str:
    """The subject of one side of a session. `session_id` is a token (`session_id_from`)."""
    return f"calls.{slot_of(session_id)}.{session_id}.{side}"


def both_sides_of(session_id: str) -> str:
    """A filter for the subjects of both sides of a session."""
    return f"calls.{slot_of(session_id)}.{session_id}.*"


def slot_of(session_id: str) -> int:
    """0 to 63, the same forever."""
    return zlib.crc32(session_id.encode()) % SLOTS


def partition_for(session_id: str, partitions: int) -> int:
    """The partition that the session lives in, of so many (`offhook.position`)."""
    return slot_of(session_id) % partitions


def slots_of(partition: int, partitions: int) -> range:
    """The slots whose sessions live in that partition."""
    return range(partition, SLOTS, partitions)


def parse(subject: str) -> CallSubject | None:
    """The session and side of a log subject; None for another subject, or a wrong slot."""
    found = _SUBJECT.match(subject)
    if found is None or int(found["slot"]) != slot_of(found["session"]):
        return None
    side: Side = "in" if found["side"] == "in" else "out"
    return CallSubject(session_id=found["session"], side=side)


def storable_text(text: str) -> str:
    """Of a subject of no known shape, or a type: what Postgres can store and index.

    Whoever wrote the message, it must not keep the records behind it from being copied.
    """
    return text.replace("\0", "\ufffd")[:_STORABLE_CHARS_MAX]


def set_subject(session_id: str, timer_id: str) -> str:
    """Where an alarm waits; a timer's id is a token, and never used again in its session."""
    return f"{SET_PREFIX}{session_id}.{timer_id}"


def fired_subject(session_id: str) -> str:
    """Where a session's alarms ring."""
    return f"{FIRED_PREFIX}{session_id}"


def snapshot_subject(session_id: str) -> str:
    """Where the session's latest snapshot is."""
    return f"{SNAPSHOT_PREFIX}{session_id}"


def wake_subject(worker: str) -> str:
    """Where a worker receives deliveries of sessions that it holds."""
    return f"wake.{worker}"
