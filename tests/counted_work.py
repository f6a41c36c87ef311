"""How much work something does: counted, not timed, so that a busy machine changes nothing."""

import gc
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
    gc.collect()
    gc.disable()  # a collection runs the finalizers of others
    try:
        return Work(peak_bytes=_peak_of(do), calls=_calls_of(do))
    finally:
        gc.enable()


def _peak_of(do: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        do()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def _calls_of(do: Callable[[], object]) -> int:
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(None)
    return calls
