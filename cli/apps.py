"""`offhook apps …`: the account's Call Control Applications at the carrier.

A new one has API v2 webhooks unless told otherwise: the carrier's own default is v1, which ingress
refuses. What may be said of one are the options of `create` and `update`, by the carrier's names;
they are read from the context, so that no list of them stands here twice.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offhook.cli.options import AsJson, ReadyFile, settings_of_command
from offhook.cli.remote.answers import fields_table, print_json, told
from offhook.cli.remote.application_body import body_of, change_of
from offhook.cli.remote.exchange import Answer, Refused, Server
from offhook.errors import SettingInvalid
from offhook.settings import Settings
from offhook.telnyx.applications import ChangedApplication, NewApplication, application_from
from offhook.telnyx.paths import APPLICATIONS, application_path

PAGE_SIZE = "250"
TIMEOUT_S = 15.0
VERSION_DEFAULT = "2"

_console = Console()
_errors = Console(stderr=True)

app = typer.Typer(
    help="Call Control Applications at the carrier (OFFHOOK_CARRIER_KEY).", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(help="The application's id.", show_default=False)]
Flag = bool | None
Active = Annotated[Flag, typer.Option("--active/--inactive", help="Whether it takes calls.")]
Anchorsite = Annotated[str | None, typer.Option(help='Latency, or a site: "Chicago, IL" …')]
CallCost = Annotated[Flag, typer.Option(help="Send webhooks with a call's cost.")]
DtmfType = Annotated[str | None, typer.Option(help='"RFC 2833", "Inband" or "SIP INFO".')]
FirstCommand = Annotated[Flag, typer.Option(help="Hang up when no command comes.")]
FirstCommandSecs = Annotated[str | None, typer.Option(help="When, in seconds.")]
InboundChannels = Annotated[str | None, typer.Option(help="Calls at once; null for no limit.")]
Shaken = Annotated[Flag, typer.Option(help="Ask for STIR/SHAKEN on calls that come.")]
Subdomain = Annotated[str | None, typer.Option(help="SIP subdomain; null for none.")]
SubdomainFrom = Annotated[str | None, typer.Option(help="from_anyone, only_my_connections.")]
OutboundChannels = Annotated[str | None, typer.Option(help="Calls at once; null for no limit.")]
VoiceProfile = Annotated[str | None, typer.Option(help="Outbound voice profile id.")]
RedactDtmf = Annotated[Flag, typer.Option(help="Keep digits out of debug logs.")]
ApiVersion = Annotated[str | None, typer.Option(help='"2", which ingress reads, or "1".')]
FailoverUrl = Annotated[str | None, typer.Option(help="Where to when the first fails.")]
TimeoutSecs = Annotated[str | None, typer.Option(help="For a webhook, 0 to 30; null: default.")]


@app.command("list")
def list_(
    contains: Annotated[
        str | None, typer.Option(help="Only names with this in it, three characters or more.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="created_at, connection_name, active; with - before it, descending."),
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Print the account's applications, all pages."""
    query = {"page[size]": PAGE_SIZE}
    if contains is not None:
        query["filter[application_name][contains]"] = contains
    if sort is not None:
        query["sort"] = sort
    with _carrier(settings_of_command(ready_file)) as carrier:
        try:
            pages = list(carrier.pages(APPLICATIONS, query))
        except Refused as refused:
            raise told(refused, as_json=as_json) from None
    found = [each for page in pages for each in page.get("data", [])]
    if as_json:
        print_json({"data": found})
        return
    table = Table()
    for column in ("id", "name", "active", "webhooks", "to"):
        table.add_column(column, overflow="fold")
    for each in found:
        version = each.get("webhook_api_version")
        table.add_row(
            Text(str(each.get("id"))),
            Text(str(each.get("application_name"))),
            "yes" if each.get("active") else Text("no", "yellow"),
            f"v{version}" if version == VERSION_DEFAULT else Text(f"v{version}", "yellow"),
            Text(each.get("webhook_event_url") or "–"),
        )
    if found:
        _console.print(table)
    plural = "" if len(found) == 1 else "s"
    _console.print(f"{len(found):,} application{plural}", highlight=False)


@app.command()
def show(id: Id, as_json: AsJson = False, ready_file: ReadyFile = None) -> None:
    """Print an application."""
    with _carrier(settings_of_command(ready_file)) as carrier:
        _print(_asked(carrier, "GET", application_path(id), None, as_json=as_json), as_json=as_json)


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="For you to know it by.", show_default=False)],
    webhook_event_url: Annotated[
        str, typer.Argument(help="https://…/webhooks/telnyx", show_default=False)
    ],
    active: Active = None,
    anchorsite_override: Anchorsite = None,
    call_cost_in_webhooks: CallCost = None,
    dtmf_type: DtmfType = None,
    first_command_timeout: FirstCommand = None,
    first_command_timeout_secs: FirstCommandSecs = None,
    inbound_channel_limit: InboundChannels = None,
    inbound_shaken_stir_enabled: Shaken = None,
    inbound_sip_subdomain: Subdomain = None,
    inbound_sip_subdomain_receive_settings: SubdomainFrom = None,
    outbound_channel_limit: OutboundChannels = None,
    outbound_voice_profile_id: VoiceProfile = None,
    redact_dtmf_debug_logging: RedactDtmf = None,
    webhook_api_version: ApiVersion = None,
    webhook_event_failover_url: FailoverUrl = None,
    webhook_timeout_secs: TimeoutSecs = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Make an application; its webhooks are API v2 unless told otherwise."""
    body = body_of(context.params) | {
        "application_name": name,
        "webhook_api_version": webhook_api_version or VERSION_DEFAULT,
    }
    application_from(body, NewApplication)
    with _carrier(settings_of_command(ready_file)) as carrier:
        made = _asked(carrier, "POST", APPLICATIONS, body, as_json=as_json)
    if webhook_api_version is None:
        said = 'webhook_api_version is "2"; the carrier\'s default is "1", which ingress refuses'
        _errors.print(said, style="dim", highlight=False, soft_wrap=True)
    _print(made, as_json=as_json)


@app.command()
def update(
    context: typer.Context,
    id: Id,
    application_name: Annotated[str | None, typer.Option(help="For you to know it by.")] = None,
    webhook_event_url: Annotated[str | None, typer.Option(help="https://…/webhooks/telnyx")] = None,
    active: Active = None,
    anchorsite_override: Anchorsite = None,
    call_cost_in_webhooks: CallCost = None,
    dtmf_type: DtmfType = None,
    first_command_timeout: FirstCommand = None,
    first_command_timeout_secs: FirstCommandSecs = None,
    inbound_channel_limit: InboundChannels = None,
    inbound_shaken_stir_enabled: Shaken = None,
    inbound_sip_subdomain: Subdomain = None,
    inbound_sip_subdomain_receive_settings: SubdomainFrom = None,
    outbound_channel_limit: OutboundChannels = None,
    outbound_voice_profile_id: VoiceProfile = None,
    redact_dtmf_debug_logging: RedactDtmf = None,
    webhook_api_version: ApiVersion = None,
    webhook_event_failover_url: FailoverUrl = None,
    webhook_timeout_secs: TimeoutSecs = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Its tags; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Change what is named, and leave the rest as it is."""
    changes = body_of(context.params)
    if not changes:
        raise typer.BadParameter("name what to change: see `offhook apps update --help`")
    # Checked before the carrier is asked anything; what it has stands for what is not named.
    unnamed = {"application_name": "unnamed", "webhook_event_url": "https://unnamed"}
    application_from({**unnamed, **changes}, ChangedApplication)
    path = application_path(id)
    with _carrier(settings_of_command(ready_file)) as carrier:
        there = _asked(carrier, "GET", path, None, as_json=as_json).body.get("data") or {}
        body = change_of(there, changes)
        _print(_asked(carrier, "PATCH", path, body, as_json=as_json), as_json=as_json)


@app.command()
def delete(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Delete an application: its numbers take no more calls. Asks before it does."""
    path = application_path(id)
    with _carrier(settings_of_command(ready_file)) as carrier:
        there = _asked(carrier, "GET", path, None, as_json=as_json).body.get("data") or {}
        name = f"{id} ({there.get('application_name')})"
        if not yes and not typer.confirm(f"delete application {name}?", err=True):
            _errors.print(f"{name}: not deleted", highlight=False, markup=False)
            raise typer.Exit(1)
        gone = _asked(carrier, "DELETE", path, None, as_json=as_json)
    if as_json:
        print_json(gone.body)
    else:
        _console.print(f"{name}: deleted", highlight=False, markup=False)


def _carrier(settings: Settings) -> Server:
    if not settings.carrier_key:
        raise SettingInvalid(
            "OFFHOOK_CARRIER_KEY is not set; expected an API key of the portal, or name the "
            "--ready-file of `offhook up`"
        )
    return Server(
        name="the carrier",
        url=settings.carrier_url,
        token=settings.carrier_key,
        timeout_s=TIMEOUT_S,
        see="OFFHOOK_CARRIER_URL",
    )


def _asked(
    carrier: Server, method: str, path: str, body: Mapping[str, Any] | None, *, as_json: bool
) -> Answer:
    try:
        return carrier.ask(method, path, body=body)
    except Refused as refused:
        raise told(refused, as_json=as_json) from None


def _print(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(answer.body)
    else:
        _console.print(fields_table(answer.body.get("data") or {}))
