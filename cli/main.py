"""The program `offhook`. Each command has a file beside this one, or a folder."""

import logging
import os
import sys
import traceback
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from offhook.cli.analytics.command import analytics
from offhook.cli.apps.command import app as apps
from offhook.cli.asyncapi import asyncapi
from offhook.cli.call import app as call
from offhook.cli.calls.command import calls
from offhook.cli.demo.command import demo
from offhook.cli.doctor.command import doctor
from offhook.cli.history.archive.command import archive
from offhook.cli.history.erase.command import erase
from offhook.cli.history.export import export
from offhook.cli.history.import_ import import_
from offhook.cli.history.repair.command import repair
from offhook.cli.history.replay import replay
from offhook.cli.history.verify import verify
from offhook.cli.migrate import migrate
from offhook.cli.options import console
from offhook.cli.parked.command import app as parked
from offhook.cli.provision import provision
from offhook.cli.rebuild.command import app as rebuild
from offhook.cli.roles import api, ingress, projector, simulator, worker
from offhook.cli.send.command import send
from offhook.cli.show.command import show
from offhook.cli.up import up
from offhook.cli.whatif.command import whatif
from offhook.errors import OffhookError, words_of
from offhook.process.logs import redacted
from offhook.settings import secrets_in

app = typer.Typer(
    name="offhook",
    help="Event-sourced call sessions for Telnyx Call Control.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    *(demo, up),
    *(ingress, worker, projector, api, simulator),
    *(provision, migrate),
    *(calls, show, analytics, whatif, send, doctor, asyncapi),
    *(export, replay, verify, archive, erase, repair),
):
    app.command()(command)
app.command("import")(import_)
app.add_typer(call, name="call")
app.add_typer(apps, name="apps")
app.add_typer(parked, name="parked")
app.add_typer(rebuild, name="rebuild")
_errors = Console(stderr=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"offhook {version('offhook')}", highlight=False)
        raise typer.Exit


@app.callback()
def _every_command(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """The console script. What Offhook raises on purpose is one line, not a traceback."""
    # Without a handler Python prints warnings bare: "nats error". The error that ends us says more.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        app()
    except OffhookError as error:
        _fail(str(error))
    except ConnectionError as error:
        why = words_of(error)
        _fail(f"a server does not answer: {why}; see OFFHOOK_NATS_URL and OFFHOOK_POSTGRES_URL")
    except Exception as error:
        # A mistake of ours: the whole traceback, as Python shows it, but for secrets.
        text = "".join(traceback.format_exception(error))
        sys.stderr.write(redacted(text, secrets_in(os.environ)))
        raise SystemExit(1) from None


def _fail(message: str) -> None:
    message = redacted(message, secrets_in(os.environ))
    _errors.print(f"offhook: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
