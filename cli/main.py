"""`offhook`: one command for everything."""

import asyncio
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from offhook.cli.apps import app as apps
from offhook.cli.call import app as call
from offhook.cli.embedded import ready_file as ready_files
from offhook.cli.options import AsJson, ReadyFile, settings_of_command
from offhook.errors import (
    AddressUnusable,
    OffhookError,
    OperatorFault,
    SettingInvalid,
    shown_url,
)
from offhook.process import configure_logs, redacted, run_to_end
from offhook.settings import Settings, secrets_in

app = typer.Typer(
    name="offhook",
    help="Event-sourced call sessions for Telnyx Call Control.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
parked = typer.Typer(help="Sessions that wait for an operator.", no_args_is_help=True)
app.add_typer(call, name="call")
app.add_typer(apps, name="apps")
app.add_typer(parked, name="parked")
_console = Console(log_path=False)
_errors = Console(stderr=True)


def _tell_version(wanted: bool) -> None:
    if wanted:
        _console.print(f"offhook {version('offhook')}", highlight=False)
        raise typer.Exit


@app.callback()
def every_command(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
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
    clean = run_demo(
        _console, calls=calls, rate_s=rate, workers=workers, faults=faults, seed=chosen
    )
    raise typer.Exit(0 if clean else 1)


@app.command()
def up(
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1)] = 2,
    data: Annotated[Path | None, typer.Option(help="Keep log and views here.")] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            envvar=ready_files.VARIABLE,
            help="Write addresses and keys here as JSON once all is ready.",
        ),
    ] = None,
    free_ports: Annotated[bool, typer.Option(help="Take free ports, not the settings'.")] = False,
) -> None:
    """Run everything here, for your own flow (OFFHOOK_FLOWS) and carrier (OFFHOOK_CARRIER_KEY)."""
    from offhook.cli.embedded.run import run_up

    run_up(
        _console,
        settings_of_command(),
        workers=workers,
        directory=data,
        ready_file=ready_file,
        free_ports=free_ports,
    )


@app.command()
def ingress() -> None:
    """Take webhooks: verify, append to the log, answer."""
    from offhook.ingress.app import run

    _serve("ingress", run)


@app.command()
def worker() -> None:
    """Settle sessions: decide and command. Start as many as you like."""
    from offhook.workers.app import run

    _serve("worker", run)


@app.command()
def projector() -> None:
    """Fold the log into the views. A second one stands by."""
    from offhook.projections.app import run

    _serve("projector", run)


@app.command()
def api() -> None:
    """Answer applications: Telnyx-compatible calls, sessions, status."""
    from offhook.api.app import run

    _serve("api", run)


@app.command()
def simulator() -> None:
    """Be the carrier, on this machine."""
    from offhook.simulator.app import run

    _serve("simulator", run)


@app.command()
def provision(
    rewrite_compressed: Annotated[
        bool,
        typer.Option(
            "--rewrite-compressed",
            help="First rewrite streams that an older Offhook compressed. Stop every role before.",
        ),
    ] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Make the streams and their consumers. Doing it again changes nothing."""
    from offhook.cli.embedded.prepare import provision_log

    settings = settings_of_command(ready_file)
    asyncio.run(provision_log(settings, rewrite_compressed=rewrite_compressed, say=_console.print))
    _console.print("streams CALLS and TIMERS with their consumers: provisioned")


@app.command()
def migrate(ready_file: ReadyFile = None) -> None:
    """Bring the database to the newest revision. Doing it again changes nothing."""
    from offhook.cli.embedded.prepare import migrate_database

    asyncio.run(migrate_database(settings_of_command(ready_file)))
    _console.print("database: migrated")


@app.command()
def rebuild(ready_file: ReadyFile = None) -> None:
    """Fold the views anew from the log's first event; goes on where it was killed."""
    from offhook.cli.remote.rebuild import run_rebuild

    run_rebuild(_console, settings_of_command(ready_file))


@app.command()
def show(
    session: Annotated[str, typer.Argument(help="Its id, the carrier's call_session_id.")],
    last: Annotated[
        int | None, typer.Option(help="Only so many records, the newest.", min=1)
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Print a session's records from the log, and what the session was after each."""
    from offhook.cli.remote.show import run_show

    run_show(_console, settings_of_command(ready_file), session, last=last, as_json=as_json)


@parked.command("list")
def parked_list(ready_file: ReadyFile = None) -> None:
    """Print the sessions that wait for an operator, and why."""
    from offhook.cli.remote.parked import run_list

    run_list(_console, settings_of_command(ready_file))


@parked.command("retry")
def parked_retry(
    sessions: Annotated[list[str] | None, typer.Argument(help="Session ids.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every parked session.")] = False,
    ready_file: ReadyFile = None,
) -> None:
    """Let parked sessions go on: their flow is asked again, their views are folded again."""
    from offhook.cli.remote.parked import run_retry

    if bool(sessions) == every:
        raise typer.BadParameter("name sessions, or say --all")
    run_retry(_console, settings_of_command(ready_file), sessions or [], every=every)


@app.command()
def send(
    files: Annotated[list[Path], typer.Argument(help="Webhook JSON, one event a file.")],
    url: Annotated[str, typer.Option(help="Where to; else OFFHOOK_WEBHOOK_URL.")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="The base64 seed is in this file, - for standard input."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option(help="Make the HTTP body from portal or payload forms.")
    ] = False,
    event_type: Annotated[str, typer.Option(help="Of payloads, which do not tell it.")] = "",
    ready_file: ReadyFile = None,
) -> None:
    """Sign captured webhooks with the development key and post them, in order."""
    from offhook.cli.remote import send as sending

    settings = settings_of_command(ready_file)
    # Every file is read before the first is sent: one wrong file, and nothing is.
    bodies = [
        (path, sending.body_of(path, rebuild=rebuild, event_type=event_type)) for path in files
    ]
    target = url or settings.webhook_url
    key = settings.signing_key if key_file is None else sending.key_in(key_file)
    if not key:
        raise SettingInvalid(
            "there is no key to sign with: set OFFHOOK_SIGNING_KEY, give --key-file, "
            "or name the --ready-file of `offhook up`"
        )
    try:
        sent = sending.send(bodies, url=target, signing_key=key, now_s=time.time())
    except httpx.HTTPError as error:
        _fail(f"{shown_url(target)}: {error or type(error).__name__}")
    for each in sent:
        _console.print(f"{each.status}  {each.path}  {each.answer}".rstrip(), soft_wrap=True)
    raise typer.Exit(0 if all(each.status == httpx.codes.OK for each in sent) else 1)


@app.command()
def doctor(
    connection: Annotated[
        str, typer.Option(help="Your Call Control Application; else OFFHOOK_CONNECTION_ID.")
    ] = "",
    webhook_url: Annotated[
        str, typer.Option(help="Where its webhooks must go; else OFFHOOK_WEBHOOK_URL if set.")
    ] = "",
    ingress: Annotated[str, typer.Option(help="An ingress to examine: http://host:port.")] = "",
    api: Annotated[str, typer.Option(help="An API to examine; else OFFHOOK_API_URL.")] = "",
    role: Annotated[
        list[str] | None,
        typer.Option(help="Where another role shows its health: http://host:port; repeatable."),
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Look at everything, and say what is wrong and how to mend it. Status 1 if anything is."""
    from offhook.cli.doctor.run import run_doctor

    clean = run_doctor(
        _console,
        ready_file,
        connection=connection,
        webhook_url=webhook_url,
        ingress_url=ingress,
        api_url=api,
        role_urls=role or (),
        as_json=as_json,
    )
    raise typer.Exit(0 if clean else 1)


@app.command()
def asyncapi() -> None:
    """Print the AsyncAPI document of the log: subjects, records, their fields."""
    from offhook.workers.asyncapi import document

    print(json.dumps(document(), indent=1, sort_keys=True))  # noqa: T201, rich would wrap it


def main() -> None:
    """The console script. What Offhook raises on purpose is one line, not a traceback."""
    # Without a handler Python prints warnings bare: "nats error". The error that ends us says more.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        app()
    except OffhookError as error:
        _fail(str(error))
    except ConnectionError as error:
        _fail(f"a server does not answer: {error}; see OFFHOOK_NATS_URL and OFFHOOK_POSTGRES_URL")
    except Exception as error:
        # A mistake of ours: the whole traceback, as Python shows it, but for secrets.
        text = "".join(traceback.format_exception(error))
        sys.stderr.write(redacted(text, secrets_in(os.environ)))
        raise SystemExit(1) from None


def _serve(role: str, run: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    configure_logs(role, secrets_in(os.environ))
    try:
        run_to_end(run(settings_of_command()))
    except AddressUnusable as error:
        name = f"OFFHOOK_{role.upper()}"
        raise OperatorFault(f"{error}: see {name}_PORT and {name}_HOST") from error


def _fail(message: str) -> None:
    message = redacted(message, secrets_in(os.environ))
    _errors.print(f"offhook: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
