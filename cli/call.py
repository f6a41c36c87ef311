"""`offhook call …`: command calls from a terminal, and see which are up.

What is documented but has no option is given by `--param`; all of it is checked before it is sent.
"""

from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.answers import fields_table, print_json, told
from cli.api_command import open_api, send_command
from cli.exchange import Refused
from cli.options import AsJson, ReadyFile, settings_of_command

PAGE_SIZE = "250"  # the carrier's own bound
_console = Console()

app = typer.Typer(
    help="Command calls through Offhook's API: durable, and once in effect.", no_args_is_help=True
)

Leg = Annotated[str, typer.Argument(help="The leg's call_control_id.", show_default=False)]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE",
        help="Any documented parameter; lists and objects as JSON. May be repeated.",
    ),
]
ClientState = Annotated[str | None, typer.Option(help="Base64; comes back with every event.")]
CommandId = Annotated[
    str | None, typer.Option(help="The command's own id; repeated, it has no second effect.")
]
ConnectionId = Annotated[
    str | None,
    typer.Option(help="Your Call Control Application; else OFFHOOK_CONNECTION_ID."),
]


@app.command()
def dial(
    to: Annotated[str, typer.Argument(help="+E.164 or a SIP URI.", show_default=False)],
    from_: Annotated[str, typer.Option("--from", help="The caller: a number of yours.")],
    connection_id: ConnectionId = None,
    timeout_secs: Annotated[str | None, typer.Option(help="Ring for so long.")] = None,
    time_limit_secs: Annotated[str | None, typer.Option(help="End it after so long.")] = None,
    from_display_name: Annotated[str | None, typer.Option(help="Caller name.")] = None,
    answering_machine_detection: Annotated[
        str | None, typer.Option(help="premium, detect, detect_beep …")
    ] = None,
    link_to: Annotated[str | None, typer.Option(help="Share this leg's session.")] = None,
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Place a call."""
    settings = settings_of_command(ready_file)
    given = {
        "to": to,
        "from": from_,
        "connection_id": connection_id,
        "timeout_secs": timeout_secs,
        "time_limit_secs": time_limit_secs,
        "from_display_name": from_display_name,
        "answering_machine_detection": answering_machine_detection,
        "link_to": link_to,
        "client_state": client_state,
    }
    send_command(_console, settings, "dial", None, given, param, command_id, as_json=as_json)


@app.command()
def answer(
    leg: Leg,
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Take an incoming call."""
    settings = settings_of_command(ready_file)
    given = {"client_state": client_state}
    send_command(_console, settings, "answer", leg, given, param, command_id, as_json=as_json)


@app.command()
def transfer(
    leg: Leg,
    to: Annotated[str, typer.Argument(help="+E.164 or a SIP URI.", show_default=False)],
    from_: Annotated[str | None, typer.Option("--from", help="Shown to the one called.")] = None,
    timeout_secs: Annotated[str | None, typer.Option(help="Ring for so long.")] = None,
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Dial somebody and join them with this leg."""
    settings = settings_of_command(ready_file)
    given = {"to": to, "from": from_, "timeout_secs": timeout_secs, "client_state": client_state}
    send_command(_console, settings, "transfer", leg, given, param, command_id, as_json=as_json)


@app.command()
def bridge(
    leg: Leg,
    other: Annotated[
        str | None,
        typer.Argument(help="The leg to join it with; else -p queue=… or -p video_room_id=…."),
    ] = None,
    park_after_unbridge: Annotated[str | None, typer.Option(help="self")] = None,
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Join two legs."""
    settings = settings_of_command(ready_file)
    given = {
        "call_control_id": other,
        "park_after_unbridge": park_after_unbridge,
        "client_state": client_state,
    }
    send_command(_console, settings, "bridge", leg, given, param, command_id, as_json=as_json)


@app.command()
def hangup(
    leg: Leg,
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """End a leg."""
    settings = settings_of_command(ready_file)
    given = {"client_state": client_state}
    send_command(_console, settings, "hangup", leg, given, param, command_id, as_json=as_json)


@app.command()
def reject(
    leg: Leg,
    cause: Annotated[
        str,
        typer.Option(help="CALL_REJECTED, USER_BUSY, NOT_FOUND or TEMPORARILY_UNAVAILABLE."),
    ] = "CALL_REJECTED",
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Refuse an incoming call that was not answered."""
    settings = settings_of_command(ready_file)
    given = {"cause": cause, "client_state": client_state}
    send_command(_console, settings, "reject", leg, given, param, command_id, as_json=as_json)


@app.command()
def refer(
    leg: Leg,
    sip_address: Annotated[str, typer.Argument(help="sip:user@host", show_default=False)],
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Send SIP REFER: the caller's side calls the address by itself."""
    settings = settings_of_command(ready_file)
    given = {"sip_address": sip_address, "client_state": client_state}
    send_command(_console, settings, "refer", leg, given, param, command_id, as_json=as_json)


@app.command("sip-info")
def sip_info(
    leg: Leg,
    body: Annotated[str, typer.Option(help="The message.")],
    content_type: Annotated[str, typer.Option(help="Its media type.")] = "text/plain",
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Send SIP INFO on a leg."""
    settings = settings_of_command(ready_file)
    given = {"body": body, "content_type": content_type, "client_state": client_state}
    send_command(
        _console, settings, "send_sip_info", leg, given, param, command_id, as_json=as_json
    )


@app.command()
def status(leg: Leg, as_json: AsJson = False, ready_file: ReadyFile = None) -> None:
    """Print a leg as the views have it, also long after its end."""
    with open_api(settings_of_command(ready_file)) as api:
        try:
            found = api.ask("GET", f"/v2/calls/{quote(leg, safe=':')}").body
        except Refused as refused:
            raise told(refused, as_json=as_json) from None
    if as_json:
        print_json(found)
    else:
        _console.print(fields_table(found.get("data") or {}))


@app.command()
def active(
    connection_id: Annotated[
        str | None, typer.Argument(help="Your application; else OFFHOOK_CONNECTION_ID.")
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Print the calls that are up, all pages."""
    settings = settings_of_command(ready_file)
    wanted = connection_id or settings.connection_id
    if not wanted:
        raise typer.BadParameter("name an application, or set OFFHOOK_CONNECTION_ID")
    path = f"/v2/connections/{quote(wanted, safe='')}/active_calls"
    with open_api(settings) as api:
        try:
            pages = list(api.pages(path, {"page[limit]": PAGE_SIZE}))
        except Refused as refused:
            raise told(refused, as_json=as_json) from None
    calls = [each for page in pages for each in page.get("data", [])]
    if as_json:
        print_json({"data": calls})
        return
    table = Table()
    for column in ("call_control_id", "call_session_id", "seconds", "client_state"):
        table.add_column(
            column, overflow="fold", justify="right" if column == "seconds" else "left"
        )
    for each in calls:
        table.add_row(
            Text(str(each.get("call_control_id"))),
            Text(str(each.get("call_session_id"))),
            str(each.get("call_duration", "")),
            Text(each.get("client_state") or ""),
        )
    if calls:
        _console.print(table)
    _console.print(f"{len(calls):,} active on connection {wanted}", highlight=False)
