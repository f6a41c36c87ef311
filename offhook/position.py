"""A position in the log: partition and stream sequence in one number. Pure; fixed forever.

    position = partition << 47 | sequence      below 2^53, so that JavaScript reads it exactly

The log is one stream or several, its partitions, and a session lives in one of them. Within a
partition positions are in the order of the log; between partitions there is no order but time. In
a log of one partition, the number 0, a position is the sequence itself.
"""

import re

PARTITIONS_MAX = 64
"""As many as there are slots (`offhook.jetstream.subjects.SLOTS`)."""

POSITION_HEADER = "Offhook-Position"
"""Of an HTTP answer: the position of what was stored. Later reads take it as `min_seq`."""

SESSION_ID_HEADER = "Offhook-Session-Id"
"""Of an HTTP answer to a command: the session in which that position is."""

SEQ_MAX = (1 << 47) - 1
"""At 10,000 records/s reached after 446 years."""

BIGINT_MAX = 2**63 - 1
"""The largest integer in Postgres, above every position."""


def position_of(partition: int, seq: int) -> int:
    """The position of the record at `seq` of that partition's stream; `seq` 0 is its beginning."""
    if not 0 <= partition < PARTITIONS_MAX:
        raise ValueError(f"partition {partition} is not from 0 to {PARTITIONS_MAX - 1}")
    if not 0 <= seq <= SEQ_MAX:
        raise ValueError(f"stream sequence {seq} is not from 0 to {SEQ_MAX}")
    return partition << _SEQ_BITS | seq


def partition_of(position: int) -> int:
    """The partition that a position is in."""
    return position >> _SEQ_BITS


def seq_of(position: int) -> int:
    """The stream sequence of a position."""
    return position & SEQ_MAX


def position_text(position: int) -> str:
    """As people read it: `2:1234`, partition and sequence."""
    return f"{partition_of(position)}:{seq_of(position)}"


def partitions_text(count: int) -> str:
    """The partitions of a log, for errors: "whose partitions are 0 to 3"."""
    return f"whose partitions are 0 to {count - 1}" if count > 1 else "whose only partition is 0"


def position_from(text: str) -> int | None:
    """A position as people write it, `2:1234` or the one number; None if it is neither."""
    partition, colon, seq = text.strip().rpartition(":")
    if not all(_DIGITS.fullmatch(each) for each in ([partition] if colon else []) + [seq]):
        return None
    try:
        return position_of(int(partition), int(seq)) if colon else _known(int(seq))
    except ValueError:
        return None


def _known(position: int) -> int:
    return position_of(partition_of(position), seq_of(position))


def referred(reference: int, position: int) -> int:
    """A position that the record at `position` refers to, in its own session.

    A log that was one stream has references that are sequences of that stream. Moved to several
    partitions its records keep their sequences, so these are in the partition of the record.
    """
    if 0 < reference <= SEQ_MAX:
        return position_of(partition_of(position), reference)
    return reference


_SEQ_BITS = 47
_DIGITS = re.compile("0|[1-9][0-9]{0,15}")  # without leading zeros: 10:00 is a time of day
