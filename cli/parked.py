"""The commands `offhook parked list` and `offhook parked retry`."""

from typing import Annotated

import typer

from offhook.cli.options import ReadyFile, console, settings_of_command

app = typer.Typer(
    help="List and resume parked sessions, which wait for an operator.", no_args_is_help=True
)


@app.command("list")
def list_(ready_file: ReadyFile = None) -> None:
    """Print the parked sessions, each with the error that parked it."""
    from offhook.cli.remote.parked import run_list

    run_list(console, settings_of_command(ready_file))


@app.command()
def retry(
    sessions: Annotated[list[str] | None, typer.Argument(help="Session ids.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every parked session.")] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Resume parked sessions: their flow is called again, their views are rebuilt."""
    from offhook.cli.remote.parked import run_retry

    if bool(sessions) == every:
        raise typer.BadParameter("name sessions, or use --all")
    run_retry(console, settings_of_command(ready_file), sessions or [], every=every)
