"""How much work something does: counted, not timed, so that a busy machine changes nothing."""

import sys
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple


class Work(NamedTuple):
    """Calls of functions (a generator's every step is one), and the most memory it took anew."""

    calls: int
    peak_bytes: int  # of Python's own allocator: copies of dicts, lists and sets


def work_of(do: Callable[[], object]) -> Work:
    """What it takes to do that once. Do it once before, for what is only done the first time."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        do()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(None)
    return Work(calls=calls, peak_bytes=peak - before)
