"""The command `offhook demo` and its options."""

import os
from typing import Annotated

import typer

from offhook.cli.options import console


def demo(
    calls: Annotated[int, typer.Option(help="Number of calls.", min=1)] = 200,
    rate: Annotated[float, typer.Option(help="Calls per second.", min=0.1)] = 10.0,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1)] = 2,
    faults: Annotated[
        float, typer.Option(help="Share of webhooks sent twice, and share sent late.", min=0, max=1)
    ] = 0.2,
    seed: Annotated[
        int | None, typer.Option(help="Random seed, to repeat a run.", min=0, max=4_294_967_295)
    ] = None,
) -> None:
    """Run simulated calls through the whole system, and check that none was lost or doubled.

    Exit status 1 if one was. The demo has its own flow and settings and reads no OFFHOOK_*
    variables; to run your own flow, use `offhook up`.
    """
    from offhook.cli.demo.run import run_demo

    chosen = seed if seed is not None else int.from_bytes(os.urandom(3))
    clean = run_demo(console, calls=calls, rate_s=rate, workers=workers, faults=faults, seed=chosen)
    raise typer.Exit(0 if clean else 1)
