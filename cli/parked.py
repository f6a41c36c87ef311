"""`offhook parked list` and `offhook parked retry`."""

from typing import Annotated

import typer

from offhook.cli.options import ReadyFile, console, settings_of_command

app = typer.Typer(help="Sessions that wait for an operator.", no_args_is_help=True)


@app.command("list")
def list_(ready_file: ReadyFile = None) -> None:
    """Print the sessions that wait for an operator, and why."""
    from offhook.cli.remote.parked import run_list

    run_list(console, settings_of_command(ready_file))


@app.command()
def retry(
    sessions: Annotated[list[str] | None, typer.Argument(help="Session ids.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every parked session.")] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Let parked sessions go on: their flow is asked again, their views are folded again."""
    from offhook.cli.remote.parked import run_retry

    if bool(sessions) == every:
        raise typer.BadParameter("name sessions, or say --all")
    run_retry(console, settings_of_command(ready_file), sessions or [], every=every)
