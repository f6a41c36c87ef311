"""The command `offhook doctor` and its options."""

from typing import Annotated

import typer

from offhook.cli.options import AsJson, ReadyFile, console


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
        console,
        ready_file,
        connection=connection,
        webhook_url=webhook_url,
        ingress_url=ingress,
        api_url=api,
        role_urls=role or (),
        as_json=as_json,
    )
    raise typer.Exit(0 if clean else 1)
