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
    from offhook.cli.parked.run import run_list

    run_list(console, settings_of_command(ready_file))


@app.command()
def retry(
    sessions: Annotated[
        list[str] | None, typer.Argument(help="Session ids, or their starts.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every parked session.")] = False,
    rate: Annotated[
        float, typer.Option(min=0.1, help="Maximum number of sessions to resume per second.")
    ] = 50.0,
    ready_file: ReadyFile = None,
) -> None:
    """Resume parked sessions: their flow is called again, their views are rebuilt.

    Waits up to 10 s for the workers to decide on them. The exit status is 1 if a session is parked
    again or not decided on, or its views cannot be rebuilt. Repeating the command is harmless.
    """
    from offhook.cli.parked.run import run_retry

    if bool(sessions) == every:
        raise typer.BadParameter("name sessions, or use --all")
    settings = settings_of_command(ready_file)
    if not run_retry(console, settings, sessions or [], every=every, rate=rate):
        raise typer.Exit(1)
