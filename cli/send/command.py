"""The command `offhook send` and its options."""

import time
from pathlib import Path
from typing import Annotated

import httpx
import typer

from offhook.cli.options import ReadyFile, console, settings_of_command
from offhook.errors import OperatorFault, SettingInvalid, shown_url


def send(
    files: Annotated[
        list[Path], typer.Argument(help="Files with a webhook's JSON, one event each.")
    ],
    url: Annotated[str, typer.Option(help="URL to post to. Default: OFFHOOK_WEBHOOK_URL.")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="File with the signing key, its seed in base64; - for standard input."),
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            help="Build the HTTP body from the form that the portal shows, or from a payload."
        ),
    ] = False,
    event_type: Annotated[
        str, typer.Option(help="Event type of a payload, which does not contain it.")
    ] = "",
    ready_file: ReadyFile = None,
) -> None:
    """Sign captured webhooks with the development key and post them to ingress, in order."""
    from offhook.cli.send import run as sending

    settings = settings_of_command(ready_file)
    # Every file is read before the first is sent: with one wrong file, nothing is.
    bodies = [
        (path, sending.body_of(path, rebuild=rebuild, event_type=event_type)) for path in files
    ]
    target = url or settings.webhook_url
    key = settings.signing_key if key_file is None else sending.key_in(key_file)
    if not key:
        raise SettingInvalid(
            "there is no key to sign with: set OFFHOOK_SIGNING_KEY, give --key-file, "
            "or give the --ready-file of `offhook up`"
        )
    try:
        sent = sending.send(bodies, url=target, signing_key=key, now_s=time.time())
    except httpx.HTTPError as error:
        raise OperatorFault(f"{shown_url(target)}: {error or type(error).__name__}") from error
    for each in sent:
        console.print(f"{each.status}  {each.path}  {each.answer}".rstrip(), soft_wrap=True)
    raise typer.Exit(0 if all(each.status == httpx.codes.OK for each in sent) else 1)
