"""The commands `offhook rebuild …`; alone, it rebuilds the views and puts them in use."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from offhook.cli.options import (
    AsJson,
    ReadyFile,
    console,
    keyword_options,
    settings_of_command,
    with_options,
)
from offhook.projections.standby import Process, standing_by, workers_default

app = typer.Typer(
    help="Rebuild the views beside the live ones, and put them in use.",
    invoke_without_command=True,
)


@dataclass(frozen=True, kw_only=True)
class _Cutover:
    """The options of a cutover."""

    grace_hours: Annotated[
        float,
        typer.Option(min=0.0, max=720.0, help="Hours during which a rollback is possible."),
    ] = 24.0
    despite_missing: Annotated[
        bool,
        typer.Option(
            "--despite-missing", help="Go on even if event_log lacks sessions that the views have."
        ),
    ] = False
    despite_unreadable: Annotated[
        bool,
        typer.Option(
            "--despite-unreadable",
            help="Go on even if files of archived sessions are missing or changed; these sessions "
            "keep their rows.",
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class _Build:
    """The options of building, besides those of the cutover that may follow."""

    cutover: Annotated[
        bool | None,
        typer.Option(
            "--cutover/--no-cutover",
            help="Put the rebuilt views in use when they are ready, or leave them aside. "
            "Default: ask.",
            show_default=False,
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Worker processes. Default: one for each core."),
    ] = None


_CUTOVER = keyword_options(_Cutover)
_BUILD = [*keyword_options(_Build), *_CUTOVER]


@app.callback()
def rebuild(context: typer.Context, ready_file: ReadyFile = None) -> None:
    """Rebuild the views from event_log. Without a command: `start --cutover`."""
    if context.invoked_subcommand is None:
        start(ready_file=ready_file, **asdict(_Build(cutover=True)), **asdict(_Cutover()))


@app.command()
@with_options(_BUILD)
def start(*, ready_file: ReadyFile = None, **wanted: Any) -> None:
    """Build a new version of the views. If interrupted, run it again to continue.

    The exit status is 1 if records are missing, or archived files are missing or changed.
    """
    _build(ready_file, only_resume=False, **wanted)


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
@with_options(_BUILD)
def resume(*, ready_file: ReadyFile = None, **wanted: Any) -> None:
    """Continue a rebuild that was paused or interrupted."""
    _build(ready_file, only_resume=True, **wanted)


@app.command()
def cancel(ready_file: ReadyFile = None) -> None:
    """Drop the unfinished version, or the one that a rollback would return to."""
    from offhook.cli.rebuild.run import run_cancel

    run_cancel(console, settings_of_command(ready_file))


@app.command()
@with_options(_CUTOVER)
def cutover(*, ready_file: ReadyFile = None, **wanted: Any) -> None:
    """Put the new version in use, once it has caught up with the live one."""
    from offhook.cli.rebuild.run import run_cutover

    run_cutover(console, settings_of_command(ready_file), **wanted)


@app.command()
def rollback(ready_file: ReadyFile = None) -> None:
    """Return to the views from before the last cutover, with everything received since."""
    from offhook.cli.rebuild.run import run_rollback

    run_rollback(console, settings_of_command(ready_file))


def _build(ready_file: Path | None, *, workers: int | None, **wanted: Any) -> None:
    with _workers(workers) as standing_by:
        from offhook.cli.rebuild.run import run_start

        run_start(
            console,
            settings_of_command(ready_file),
            workers=standing_by,
            **wanted,
        )


@contextmanager
def _workers(count: int | None) -> Iterator[Sequence[Process]]:
    """All worker processes but this one. They import what they need while this one does."""
    with standing_by((count or workers_default()) - 1) as processes:
        yield processes
