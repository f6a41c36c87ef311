"""The command `offhook doctor` and its options."""

from typing import Annotated

import typer

from offhook.cli.options import AsJson, ReadyFile, console


def doctor(
    connection: Annotated[
        str,
        typer.Option(help="Id of your Call Control Application. Default: OFFHOOK_CONNECTION_ID."),
    ] = "",
    webhook_url: Annotated[
        str, typer.Option(help="Expected webhook URL. Default: OFFHOOK_WEBHOOK_URL, if set.")
    ] = "",
    ingress: Annotated[str, typer.Option(help="Address of ingress: http://host:port.")] = "",
    api: Annotated[str, typer.Option(help="Address of the API. Default: OFFHOOK_API_URL.")] = "",
    role: Annotated[
        list[str] | None,
        typer.Option(help="Address of another role: http://host:port. May be repeated."),
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Check the whole system, and report what is wrong and how to fix it.

    Exit status 1 if anything is wrong.
    """
    from offhook.cli.doctor.run import Roles, run_doctor

    clean = run_doctor(
        console,
        ready_file,
        connection=connection,
        webhook_url=webhook_url,
        given=Roles(ingress=ingress, api=api, others=tuple(role or ())),
        as_json=as_json,
    )
    raise typer.Exit(0 if clean else 1)
