"""Arrays for Postgres, encoded without asking each element whether it is an array itself.

asyncpg 0.32 asks `isinstance(element, Iterable)` of every element, and for texts `Sized` as well.
An abstract class answers in Python code: some 70 times for each record of a projector's batch.
"""

from typing import Any

from asyncpg.protocol import protocol

ARRAYS: tuple[type[Any], ...] = (list, tuple, set, frozenset, type({}.keys()), type({}.values()))
"""What may be sent as an array. asyncpg takes any iterable with a length."""


def encode_arrays_fast() -> None:
    """Let all connections of this process take these types alone for arrays."""
    protocol.IterableABC = ARRAYS  # type: ignore[attr-defined]
