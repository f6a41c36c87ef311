"""The command `offhook demo` and its options."""

import os
from typing import Annotated

import typer

from offhook.cli.options import console


def demo(
    calls: Annotated[int, typer.Option(help="Stop after so many calls.", min=1)] = 200,
    rate: Annotated[float, typer.Option(help="Calls placed a second.", min=0.1)] = 10.0,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1)] = 2,
    faults: Annotated[
        float, typer.Option(help="Share of webhooks sent twice, and sent late.", min=0, max=1)
    ] = 0.2,
    seed: Annotated[
        int | None, typer.Option(help="Repeat a run.", min=0, max=4_294_967_295)
    ] = None,
) -> None:
    """Place calls through everything, embedded; ends with a verdict. Status 1 if it is bad.

    It has a flow and settings of its own, and reads no OFFHOOK_* variable: for yours see `up`.
    """
    from offhook.cli.demo.run import run_demo

    chosen = seed if seed is not None else int.from_bytes(os.urandom(3))
    clean = run_demo(console, calls=calls, rate_s=rate, workers=workers, faults=faults, seed=chosen)
    raise typer.Exit(0 if clean else 1)
