"""What `offhook rebuild …` does: build, report what differs, swap; and say how far it is."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
import typer
import uvloop
from rich.console import Console

from offhook.cli.counted import counted
from offhook.cli.rebuild.progress import Showing, pace_of
from offhook.cli.rebuild.report import positions_text, print_parity
from offhook.errors import OperatorFault, PassingFault
from offhook.projections import maintenance
from offhook.projections.maintenance import UNFINISHED, RebuildStatus
from offhook.projections.standby import Process
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.settings import Settings
from offhook.wording.durations import duration

FAULTS: tuple[type[Exception], ...] = (PassingFault, *DATABASE_ERRORS)

Result = TypeVar("Result")


def run_start(
    console: Console,
    settings: Settings,
    *,
    cutover: bool | None,
    workers: Sequence[Process],
    grace_hours: float,
    despite_missing: bool,
    despite_unreadable: bool,
    only_resume: bool,
) -> None:
    """Build a version, report how it differs, and put it in use if that is wanted.

    `workers` are those that stand by: this process is one too.
    """
    url = settings.postgres_url
    status = _run(maintenance.read_rebuild(url))
    if only_resume and (status.build is None or status.build.state not in UNFINISHED):
        raise OperatorFault("there is no rebuild to resume: run `offhook rebuild start`")
    _print_begin(console, status)
    started = time.monotonic()
    with Showing(console).shown() as showing:
        found = _run(
            maintenance.build_version(
                url, workers=len(workers) + 1, ready=workers, on_progress=showing
            ),
            interrupted="interrupted: `offhook rebuild resume` continues",
        )
    if found is None:
        console.print("paused, or cancelled: see `offhook rebuild status`", style="yellow")
        raise SystemExit(3)
    console.print(
        f"{showing.records:,} records folded in {duration(showing.folded_s)}, {showing.rate:,.0f}"
        f" records/s; {duration(time.monotonic() - started)} in all"
    )
    print_parity(console, found)
    advice = []
    if found.unreadable and not despite_unreadable:
        advice.append("Restore the archived files.")
    if found.unrecorded and not despite_missing:
        advice.append("Run `offhook repair`.")
    is_complete = not advice
    if cutover is None:
        cutover = (
            is_complete and console.is_terminal and typer.confirm("Put the rebuilt views in use?")
        )
    if cutover:
        run_cutover(
            console,
            settings,
            grace_hours=grace_hours,
            despite_missing=despite_missing,
            despite_unreadable=despite_unreadable,
        )
    elif is_complete:
        console.print("The rebuilt views are aside; `offhook rebuild cutover` puts them in use.")
    else:
        console.print(
            f"The rebuilt views are aside, and incomplete. {' '.join(advice)} Then run `offhook"
            " rebuild start`; `offhook rebuild cutover` says how to use them as they are.",
            style="red",
        )
        raise SystemExit(1)


def run_cutover(
    console: Console,
    settings: Settings,
    *,
    grace_hours: float,
    despite_missing: bool,
    despite_unreadable: bool,
) -> None:
    """Put the version aside in use."""
    reached = _run(
        maintenance.cut_over(
            settings.postgres_url,
            grace_s=grace_hours * 3600,
            despite_missing=despite_missing,
            despite_unreadable=despite_unreadable,
        )
    )
    console.print(
        f"The rebuilt views are in use, {positions_text(reached)}. For {grace_hours:g} h"
        " `offhook rebuild rollback` returns to those before.",
        style="green",
    )


def run_rollback(console: Console, settings: Settings) -> None:
    """Put the version before in use again."""
    reached = _run(maintenance.roll_back(settings.postgres_url))
    console.print(
        f"The views from before are in use again, {positions_text(reached)}.", style="green"
    )


def run_pause(console: Console, settings: Settings) -> None:
    """Have the rebuild at work stop."""
    build = _run(maintenance.pause_rebuild(settings.postgres_url))
    done, total = build.folded + build.archived_folded, build.total + build.archived
    console.print(
        f"paused after {done:,} of {counted(total, 'record')}: `offhook rebuild resume` continues"
    )


def run_cancel(console: Console, settings: Settings) -> None:
    """Drop what is aside."""
    was_there = _run(maintenance.cancel_rebuild(settings.postgres_url))
    console.print("dropped what was aside" if was_there else "there was nothing aside")


def run_status(console: Console, settings: Settings, *, as_json: bool) -> None:
    """Print what is aside."""
    status = _run(maintenance.read_rebuild(settings.postgres_url))
    build = status.build
    if as_json:
        console.print_json(msgspec.json.encode(status).decode())
    elif build is None:
        console.print("nothing aside: no rebuild is under way, and none can be rolled back")
    elif build.state == "live":
        console.print(
            f"rebuilt views in use since {build.cut_over_at:%Y-%m-%d %H:%M:%S} UTC;"
            f" `offhook rebuild rollback` works until {build.grace_until:%Y-%m-%d %H:%M:%S} UTC"
        )
    elif build.state == "rejected":
        console.print("rolled back; the rejected version is yet to be dropped")
    else:
        if status.is_at_work:
            at_work = ", at work"
        elif build.state == "following":  # nobody need be: the cutover folds what is new
            at_work = ""
        else:
            at_work = ", not at work: `offhook rebuild resume`"
        console.print(f"begun {build.started_at:%Y-%m-%d %H:%M:%S} UTC{at_work}")
        rate = build.rate if status.is_at_work else 0.0
        _print_folded(console, build.folded, build.total, "record", rate)
        if build.archived:
            is_next = build.state == "folding"
            _print_folded(
                console,
                build.archived_folded,
                build.archived,
                "archived record",
                0.0 if is_next else rate,
            )
        if build.unreadable:
            console.print(
                f"{counted(build.unreadable, 'archived session')} cannot be read: restore the"
                " files and run `offhook rebuild start`",
                style="yellow",
            )
        elif build.state == "following":
            behind = f" but for {counted(status.behind, 'position')}" if status.behind else ""
            console.print(f"ready{behind}: `offhook rebuild cutover`")
        if not status.is_of_this_code:
            console.print(
                "built by another version of Offhook: `start` begins again", style="yellow"
            )


def _print_folded(console: Console, folded: int, total: int, noun: str, rate: float) -> None:
    is_going_on = rate and folded < total
    pace = f", {pace_of(folded, total, rate)}" if is_going_on else ""
    console.print(f"{folded:,} of {counted(total, noun)} folded{pace}")


def _run(work: Coroutine[Any, Any, Result], *, interrupted: str = "interrupted") -> Result:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        typer.echo(interrupted)
        raise SystemExit(130) from None
    except FAULTS as error:
        raise OperatorFault(
            f"{getattr(error, 'orig', None) or error}. The views are unchanged;"
            " run the command again to continue"
        ) from error


def _print_begin(console: Console, status: RebuildStatus) -> None:
    console.print("The views are rebuilt from event_log beside the live ones, which stay in use.")
    build = status.build
    if build is None:
        return
    if build.state == "live":
        console.print("The views from before the last cutover are dropped: a new rebuild begins.")
    elif build.state not in UNFINISHED or not status.is_of_this_code:
        console.print("The version aside is of other code: it is dropped, and a new one begins.")
    elif build.unreadable:
        console.print(
            f"A rebuilt version is aside: {counted(build.unreadable, 'archived session')} that"
            f" could not be read {'is' if build.unreadable == 1 else 'are'} tried again. {_ANEW}"
        )
    elif build.state == "following":
        console.print(f"A rebuilt version is aside: it is compared again. {_ANEW}")
    else:
        done = build.folded + build.archived_folded
        console.print(f"Resumed after {counted(done, 'record')}.")


_ANEW = "`offhook rebuild cancel` drops it, to begin anew."
