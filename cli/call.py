"""The commands `offhook call …`: command calls from a terminal, and list those that are up.

Documented parameters without an option are given by `--param`. All are checked before sending.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from offhook.cli.listing import print_listing
from offhook.cli.options import (
    AsJson,
    ReadyFile,
    console,
    keyword_options,
    settings_of_command,
    with_options,
)
from offhook.cli.printable import printable
from offhook.cli.remote.answers import error_to_raise, print_fields, print_json
from offhook.cli.remote.api_command import send_command
from offhook.cli.remote.exchange import ErrorResponse, open_api
from offhook.cli.remote.short_ids import whole_leg
from offhook.commands import COMMANDS, LegCommand
from offhook.commands.paths import call_path
from offhook.errors import OperationUnknown
from offhook.telnyx.paths import active_calls_path
from offhook.wording.durations import duration

PAGE_SIZE = "250"  # the carrier's own bound
ACTIONS = sorted(name for name, kind in COMMANDS.items() if issubclass(kind, LegCommand))

app = typer.Typer(
    help="Send commands to calls through Offhook's API, with exactly-once effect.",
    no_args_is_help=True,
)

Leg = Annotated[
    str, typer.Argument(help="The leg's call_control_id, or its start.", show_default=False)
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE",
        help="Any documented parameter; lists and objects as JSON. May be repeated.",
    ),
]
ClientState = Annotated[
    str | None,
    typer.Option(help="Base64 text that the carrier returns with every event of the leg."),
]
CommandId = Annotated[
    str | None,
    typer.Option(
        help="Idempotency key: a command sent again with the same key has no second effect."
    ),
]
ConnectionId = Annotated[
    str | None,
    typer.Option(help="Id of your Call Control Application. Default: OFFHOOK_CONNECTION_ID."),
]


def send(
    operation: str,
    leg: str | None,
    given: Mapping[str, str | None],
    *,
    client_state: ClientState = None,
    param: Params = None,
    command_id: CommandId = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Send a command. The keyword-only parameters are options of every command that sends one."""
    settings = settings_of_command(ready_file)
    given = {**given, "client_state": client_state}
    send_command(console, settings, operation, leg, given, param, command_id, as_json=as_json)


_COMMON = keyword_options(send)


@app.command()
@with_options(_COMMON)
def dial(
    to: Annotated[
        str, typer.Argument(help="Who to call: +E.164 or a SIP URI.", show_default=False)
    ],
    from_: Annotated[str, typer.Option("--from", help="Caller id: one of your numbers.")],
    connection_id: ConnectionId = None,
    timeout_secs: Annotated[str | None, typer.Option(help="Seconds to let it ring.")] = None,
    time_limit_secs: Annotated[
        str | None, typer.Option(help="Seconds after which the call is ended.")
    ] = None,
    from_display_name: Annotated[str | None, typer.Option(help="Caller name to display.")] = None,
    answering_machine_detection: Annotated[
        str | None, typer.Option(help="Detection mode: premium, detect, detect_beep …")
    ] = None,
    link_to: Annotated[
        str | None, typer.Option(help="Id of a leg whose session the new one joins.")
    ] = None,
    **common: Any,
) -> None:
    """Place a call."""
    given = {
        "to": to,
        "from": from_,
        "connection_id": connection_id,
        "timeout_secs": timeout_secs,
        "time_limit_secs": time_limit_secs,
        "from_display_name": from_display_name,
        "answering_machine_detection": answering_machine_detection,
        "link_to": link_to,
    }
    send("dial", None, given, **common)


@app.command()
@with_options(_COMMON)
def answer(leg: Leg, **common: Any) -> None:
    """Answer an incoming call."""
    send("answer", leg, {}, **common)


@app.command()
@with_options(_COMMON)
def transfer(
    leg: Leg,
    to: Annotated[
        str, typer.Argument(help="Who to call: +E.164 or a SIP URI.", show_default=False)
    ],
    from_: Annotated[str | None, typer.Option("--from", help="Caller id that is shown.")] = None,
    timeout_secs: Annotated[str | None, typer.Option(help="Seconds to let it ring.")] = None,
    **common: Any,
) -> None:
    """Dial a destination and connect it with this leg."""
    send("transfer", leg, {"to": to, "from": from_, "timeout_secs": timeout_secs}, **common)


@app.command()
@with_options(_COMMON)
def bridge(
    leg: Leg,
    other: Annotated[
        str | None,
        typer.Argument(help="The other leg; without it, give -p queue=… or -p video_room_id=…."),
    ] = None,
    park_after_unbridge: Annotated[
        str | None, typer.Option(help="self: park this leg when the bridge ends.")
    ] = None,
    **common: Any,
) -> None:
    """Connect two legs."""
    given = {"call_control_id": other, "park_after_unbridge": park_after_unbridge}
    send("bridge", leg, given, **common)


@app.command()
@with_options(_COMMON)
def hangup(leg: Leg, **common: Any) -> None:
    """Hang up a leg."""
    send("hangup", leg, {}, **common)


@app.command()
@with_options(_COMMON)
def reject(
    leg: Leg,
    cause: Annotated[
        str,
        typer.Option(help="CALL_REJECTED, USER_BUSY, NOT_FOUND or TEMPORARILY_UNAVAILABLE."),
    ] = "CALL_REJECTED",
    **common: Any,
) -> None:
    """Reject an incoming call that has not been answered."""
    send("reject", leg, {"cause": cause}, **common)


@app.command()
@with_options(_COMMON)
def refer(
    leg: Leg,
    sip_address: Annotated[
        str, typer.Argument(help="SIP address: sip:user@host", show_default=False)
    ],
    **common: Any,
) -> None:
    """Send SIP REFER: the other side calls the address itself."""
    send("refer", leg, {"sip_address": sip_address}, **common)


@app.command("sip-info")
@with_options(_COMMON)
def sip_info(
    leg: Leg,
    body: Annotated[str, typer.Option(help="Body of the message.")],
    content_type: Annotated[str, typer.Option(help="Media type of the body.")] = "text/plain",
    **common: Any,
) -> None:
    """Send SIP INFO on a leg."""
    send("send_sip_info", leg, {"body": body, "content_type": content_type}, **common)


@app.command()
@with_options(_COMMON)
def action(
    operation: Annotated[
        str,
        typer.Argument(
            help="Name of the action: speak, gather, record_start …",
            show_default=False,
        ),
    ],
    leg: Leg,
    **common: Any,
) -> None:
    """Send any call action to a leg. Its parameters are given by --param."""
    if operation not in ACTIONS:
        known = ", ".join(ACTIONS)
        raise OperationUnknown(f"{operation!r} is not an action on a leg; expected one of {known}")
    send(operation, leg, {}, **common)


@app.command()
def status(leg: Leg, as_json: AsJson = False, ready_file: ReadyFile = None) -> None:
    """Print a leg from the views, even long after it has ended."""
    with open_api(settings_of_command(ready_file)) as api:
        try:
            found = api.ask("GET", f"/v2{call_path(whole_leg(api, leg))}").body
        except ErrorResponse as error:
            raise error_to_raise(error, as_json=as_json) from None
    if as_json:
        print_json(found)
    else:
        print_fields(console, found.get("data") or {})


@app.command()
def active(
    connection_id: Annotated[
        str | None, typer.Argument(help="Id of your application. Default: OFFHOOK_CONNECTION_ID.")
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Print the calls that are up."""
    settings = settings_of_command(ready_file)
    wanted = connection_id or settings.connection_id
    if not wanted:
        raise typer.BadParameter(
            "name an application, set OFFHOOK_CONNECTION_ID, or give the --ready-file of"
            " `offhook up`"
        )
    path = f"/v2{active_calls_path(wanted)}"
    with open_api(settings) as api:
        try:
            pages = list(api.pages(path, {"page[limit]": PAGE_SIZE}))
        except ErrorResponse as error:
            raise error_to_raise(error, as_json=as_json) from None
    calls = [each for page in pages for each in page.get("data", [])]
    if as_json:
        print_json({"data": calls})
        return
    if calls:
        rows = [
            [
                str(each.get("call_control_id")),
                str(each.get("call_session_id")),
                duration(each.get("call_duration")),
                printable(each.get("client_state") or ""),
            ]
            for each in calls
        ]
        names = ("call_control_id", "call_session_id", "up for", "client_state")
        print_listing(console, names, rows)
    console.print(f"{len(calls):,} active on connection {wanted}", highlight=False)
