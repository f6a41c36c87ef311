"""The commands `offhook rebuild …`; alone, it rebuilds the views and puts them in use."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from offhook.cli.options import AsJson, ReadyFile, console, settings_of_command
from offhook.projections.standby import Process, standing_by, workers_default

app = typer.Typer(
    help="Rebuild the views beside the live ones, and put them in use.",
    invoke_without_command=True,
)

Cutover = Annotated[
    bool | None,
    typer.Option(
        "--cutover/--no-cutover",
        help="Put the rebuilt views in use when they are ready, or leave them aside. Default: ask.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Worker processes. Default: one for each core."),
]
GraceHours = Annotated[
    float,
    typer.Option(min=0.0, max=720.0, help="Hours during which a rollback is possible."),
]
DespiteMissing = Annotated[
    bool,
    typer.Option(
        "--despite-missing", help="Go on even if event_log lacks sessions that the views have."
    ),
]


@app.callback()
def rebuild(context: typer.Context, ready_file: ReadyFile = None) -> None:
    """Rebuild the views from event_log. Without a command: `start --cutover`."""
    if context.invoked_subcommand is None:
        start(cutover=True, ready_file=ready_file)


@app.command()
def start(
    cutover: Cutover = None,
    workers: Workers = None,
    grace_hours: GraceHours = 24.0,
    despite_missing: DespiteMissing = False,
    ready_file: ReadyFile = None,
) -> None:
    """Build a new version of the views. If interrupted, run it again to continue."""
    with _workers(workers) as standing_by:
        from offhook.cli.rebuild.run import run_start

        run_start(
            console,
            settings_of_command(ready_file),
            cutover=cutover,
            workers=standing_by,
            grace_hours=grace_hours,
            despite_missing=despite_missing,
        )


@app.command()
def status(as_json: AsJson = False, ready_file: ReadyFile = None) -> None:
    """Print the version being built, or the one from before the last cutover."""
    from offhook.cli.rebuild.run import run_status

    run_status(console, settings_of_command(ready_file), as_json=as_json)


@app.command()
def pause(ready_file: ReadyFile = None) -> None:
    """Pause the running rebuild, and keep what it has done."""
    from offhook.cli.rebuild.run import run_pause

    run_pause(console, settings_of_command(ready_file))


@app.command()
def resume(
    cutover: Cutover = None,
    workers: Workers = None,
    grace_hours: GraceHours = 24.0,
    despite_missing: DespiteMissing = False,
    ready_file: ReadyFile = None,
) -> None:
    """Continue a rebuild that was paused or interrupted."""
    with _workers(workers) as standing_by:
        from offhook.cli.rebuild.run import run_start

        run_start(
            console,
            settings_of_command(ready_file),
            cutover=cutover,
            workers=standing_by,
            grace_hours=grace_hours,
            despite_missing=despite_missing,
            only_resume=True,
        )


@app.command()
def cancel(ready_file: ReadyFile = None) -> None:
    """Drop the unfinished version, or the one that a rollback would return to."""
    from offhook.cli.rebuild.run import run_cancel

    run_cancel(console, settings_of_command(ready_file))


@app.command()
def cutover(
    grace_hours: GraceHours = 24.0,
    despite_missing: DespiteMissing = False,
    ready_file: ReadyFile = None,
) -> None:
    """Put the new version in use, once it has caught up with the live one."""
    from offhook.cli.rebuild.run import run_cutover

    run_cutover(
        console,
        settings_of_command(ready_file),
        grace_hours=grace_hours,
        despite_missing=despite_missing,
    )


@app.command()
def rollback(ready_file: ReadyFile = None) -> None:
    """Return to the views from before the last cutover, with everything received since."""
    from offhook.cli.rebuild.run import run_rollback

    run_rollback(console, settings_of_command(ready_file))


@contextmanager
def _workers(count: int | None) -> Iterator[Sequence[Process]]:
    """All worker processes but this one. They import what they need while this one does."""
    with standing_by((count or workers_default()) - 1) as processes:
        yield processes
