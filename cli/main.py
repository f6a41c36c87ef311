"""The program `offhook`. Each command has a file beside this one, or a folder."""

import codecs
import errno
import inspect
import io
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from offhook.cli.analytics.command import analytics
from offhook.cli.apps.command import app as apps
from offhook.cli.asyncapi import asyncapi
from offhook.cli.call import app as call
from offhook.cli.calls.command import calls
from offhook.cli.demo.command import demo
from offhook.cli.doctor.command import doctor
from offhook.cli.embedded import ready_file
from offhook.cli.history.archive.command import archive
from offhook.cli.history.erase.command import erase
from offhook.cli.history.export import export
from offhook.cli.history.import_ import import_
from offhook.cli.history.repair.command import repair
from offhook.cli.history.replay import replay
from offhook.cli.history.verify import verify
from offhook.cli.migrate.command import migrate
from offhook.cli.options import UsageWrong, console
from offhook.cli.parked.command import app as parked
from offhook.cli.provision import provision
from offhook.cli.rebuild.command import app as rebuild
from offhook.cli.roles import api, ingress, projector, simulator, worker
from offhook.cli.send.command import send
from offhook.cli.show.command import show
from offhook.cli.up import up
from offhook.cli.whatif.command import whatif
from offhook.errors import (
    LogUnreachable,
    OffhookError,
    OperationUnknown,
    ParameterInvalid,
    PostgresUnreachable,
    words_of,
)
from offhook.process.logs import redacted
from offhook.settings import secrets_in


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command. What it refuses is named: typer says only what it expects."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            refused: list[Any] = getattr(error.__cause__, "errors", list)()  # of pydantic
            if len(refused) == 1:
                said = error.message.removeprefix("Value error, ")
                error.message = said.replace("Input ", f"{refused[0]['input']!r} ", 1)
            raise


app = typer.Typer(
    name="offhook",
    cls=_Commands,
    help="Event-sourced call sessions for Telnyx Call Control.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(up)
for role in (ingress, worker, projector, api, simulator):
    app.command(
        epilog="The variables OFFHOOK_* are its settings: offhook/settings.py lists them,"
        " and `offhook doctor` checks them."
    )(role)
for command in (
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


def _join_lines(commands: typer.Typer) -> None:
    """Let a paragraph of a docstring be one of --help: typer keeps where its lines end."""
    for each in commands.registered_commands:
        paragraphs = inspect.cleandoc(getattr(each.callback, "__doc__", None) or "").split("\n\n")
        each.help = each.help or "\n\n".join(" ".join(text.split()) for text in paragraphs)
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _join_lines(group.typer_instance)


_join_lines(app)
_errors = Console(stderr=True)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

USAGE = 2
"""Exit status of a command that was typed wrong, as of typer's own errors."""


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
    _buffer_output()
    _escape_what_the_locale_lacks()
    try:
        _run()
    finally:
        _drop_what_cannot_be_written()


def _run() -> None:
    try:
        try:
            app()
        except SystemExit:
            sys.stdout.flush()  # not later: Python would only print that it ignores the error
            raise
    except (UsageWrong, ParameterInvalid, OperationUnknown) as error:
        _fail(str(error), USAGE)
    except (LogUnreachable, PostgresUnreachable) as error:
        _fail(f"{error}{or_ready_file(sys.argv[1:], os.environ)}")
    except OffhookError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever reads standard output has seen enough
        raise SystemExit(1) from None
    except ConnectionError as error:
        why = words_of(error)
        _fail(f"a server does not answer: {why}; see OFFHOOK_NATS_URL and OFFHOOK_POSTGRES_URL")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            where = error.filename or "the output or a temporary file"
            _fail(f"{where} cannot be written: {error.strerror}")
        # A mistake of ours: the whole traceback, as Python shows it, but for secrets.
        text = "".join(traceback.format_exception(error))
        sys.stderr.write(redacted(text, secrets_in(os.environ)))
        raise SystemExit(1) from None


def or_ready_file(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """The other way to name a server, if the command has it and it was not taken."""
    is_given = ready_file.VARIABLE in environment or any(
        word.partition("=")[0] == "--ready-file" for word in words
    )
    if is_given or not words or words[0] in _WITHOUT_READY_FILE:
        return ""
    return ", or give the --ready-file of `offhook up`"


_WITHOUT_READY_FILE = frozenset(
    ("ingress", "worker", "projector", "api", "simulator", "up", "demo")
)
"""Commands that read no ready file."""


def _buffer_output() -> None:
    """Buffer standard output, if PYTHONUNBUFFERED says that it is not; a line is printed at once.

    Unbuffered, Python takes a write that a full disk cut short for a whole one: the rest is lost,
    and nothing says so.
    """
    plain = sys.stdout
    if isinstance(plain, io.TextIOWrapper) and isinstance(plain.buffer, io.RawIOBase):
        file = io.FileIO(plain.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(file),
            encoding=plain.encoding,
            errors=plain.errors,
            line_buffering=True,
        )


def _drop_what_cannot_be_written() -> None:
    """Or Python tries again as it ends, and prints a second error."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _escape_what_the_locale_lacks() -> None:
    """Print \u2192 for → where it cannot be: JSON means the same then, and no output is lost."""
    codecs.register_error("offhook.escaped", _escaped)
    is_utf_8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    if isinstance(sys.stdout, io.TextIOWrapper) and not is_utf_8:
        sys.stdout.reconfigure(errors="offhook.escaped")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """The characters that cannot be encoded as escapes of JSON, and where to go on."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escapes = (f"\\u{int.from_bytes(units[at : at + 2]):04x}" for at in range(0, len(units), 2))
    return "".join(escapes), error.end


def _fail(message: str, status: int = 1) -> None:
    message = redacted(message, secrets_in(os.environ))
    _errors.print(f"offhook: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
