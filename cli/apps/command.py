"""The commands `offhook apps …`: the account's Call Control Applications at the carrier.

A new application gets API v2 webhooks by default: the carrier's own default is v1, which ingress
refuses. `create` and `update` have an option for each documented field.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from msgspec.inspect import BoolType, Type, VarTupleType
from rich.console import Console

from offhook.cli.apps.body import FIELDS, body_of, change_of
from offhook.cli.listing import print_listing
from offhook.cli.options import AsJson, ReadyFile, console, settings_of_command, with_options
from offhook.cli.printable import printable
from offhook.cli.remote.answers import error_to_raise, print_fields, print_json
from offhook.cli.remote.exchange import ErrorResponse, RemoteServer, SuccessAnswer
from offhook.errors import SettingInvalid
from offhook.settings import Settings
from offhook.telnyx.applications import ChangedApplication, NewApplication, application_from
from offhook.telnyx.paths import APPLICATIONS, application_path
from offhook.telnyx.webhook_path import WEBHOOK_PATH

PAGE_SIZE = "250"
TIMEOUT_S = 15.0
VERSION_DEFAULT = "2"

_errors = Console(stderr=True)

app = typer.Typer(
    help="Manage the account's Call Control Applications (needs OFFHOOK_CARRIER_KEY).",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(help="The application's id.", show_default=False)]

_FIELD_OPTIONS: Mapping[str, Any] = {
    "application_name": typer.Option(help="Display name."),
    "webhook_event_url": typer.Option(help=f"Webhook URL: https://…{WEBHOOK_PATH}"),
    "active": typer.Option("--active/--inactive", help="Whether it takes and places calls."),
    "anchorsite_override": typer.Option(help='Media site: Latency, or "Chicago, IL" …'),
    "call_cost_in_webhooks": typer.Option(help="Send webhooks with the cost of a call."),
    "dtmf_type": typer.Option(help='Form of DTMF digits: "RFC 2833", "Inband" or "SIP INFO".'),
    "first_command_timeout": typer.Option(help="Hang up if no command arrives in time."),
    "first_command_timeout_secs": typer.Option(
        help="How long to wait for that command, in seconds."
    ),
    "inbound_channel_limit": typer.Option(help="Concurrent inbound calls; null for no limit."),
    "inbound_shaken_stir_enabled": typer.Option(help="Include STIR/SHAKEN data in webhooks."),
    "inbound_sip_subdomain": typer.Option(help="SIP subdomain; null for none."),
    "inbound_sip_subdomain_receive_settings": typer.Option(
        help="Who may call the subdomain: from_anyone or only_my_connections."
    ),
    "outbound_channel_limit": typer.Option(help="Concurrent outbound calls; null for no limit."),
    "outbound_voice_profile_id": typer.Option(help="Outbound voice profile."),
    "redact_dtmf_debug_logging": typer.Option(help="Keep digits out of the carrier's debug logs."),
    "webhook_api_version": typer.Option(
        help='Version of webhooks: "2", which ingress requires, or "1".'
    ),
    "webhook_event_failover_url": typer.Option(help="Where webhooks go if the first URL fails."),
    "webhook_timeout_secs": typer.Option(
        help="Seconds to wait for a response to a webhook, 0 to 30; null for the carrier's default."
    ),
    "tags": typer.Option("--tag", help="A tag; repeat the option for several."),
}
"""One for each documented field, in the order of `--help`."""


def _options(*without: str) -> list[inspect.Parameter]:
    """The options of all fields but those."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_python_type(FIELDS[name].type), option],
        )
        for name, option in _FIELD_OPTIONS.items()
        if name not in without
    ]


def _python_type(described: Type) -> Any:
    """What Typer makes of an option. Numbers and null are texts: the check says what is wrong."""
    if isinstance(described, BoolType):
        return bool | None
    return list[str] | None if isinstance(described, VarTupleType) else str | None


@app.command("list")
def list_(
    contains: Annotated[
        str | None,
        typer.Option(help="Only applications whose name contains this; three characters or more."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Sort by created_at, connection_name or active; - in front for descending."
        ),
    ] = None,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Print the account's applications."""
    query = {"page[size]": PAGE_SIZE}
    if contains is not None:
        query["filter[application_name][contains]"] = contains
    if sort is not None:
        query["sort"] = sort
    with _carrier(settings_of_command(ready_file)) as carrier:
        try:
            pages = list(carrier.pages(APPLICATIONS, query))
        except ErrorResponse as error:
            raise error_to_raise(error, as_json=as_json) from None
    found = [each for page in pages for each in page.get("data", [])]
    if as_json:
        print_json({"data": found})
        return
    if found:
        names = ("id", "name", "active", "webhooks", "to")
        print_listing(console, names, [_row(each) for each in found])
    plural = "" if len(found) == 1 else "s"
    console.print(f"{len(found):,} application{plural}", highlight=False)


def _row(application: Mapping[str, Any]) -> Sequence[str]:
    texts = (
        str(application.get("id")),
        str(application.get("application_name")),
        "yes" if application.get("active") else "no",
        f"v{application.get('webhook_api_version')}",
        application.get("webhook_event_url") or "–",
    )
    return [printable(text) for text in texts]


@app.command()
def show(id: Id, as_json: AsJson = False, ready_file: ReadyFile = None) -> None:
    """Print an application."""
    with _carrier(settings_of_command(ready_file)) as carrier:
        _print(_asked(carrier, "GET", application_path(id), None, as_json=as_json), as_json=as_json)


@app.command()
@with_options(_options("application_name", "webhook_event_url", "tags"))
def create(
    name: Annotated[str, typer.Argument(help="Display name.", show_default=False)],
    webhook_event_url: Annotated[
        str, typer.Argument(help=f"Webhook URL: https://…{WEBHOOK_PATH}", show_default=False)
    ],
    *,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
    **fields: Any,
) -> None:
    """Create an application, with API v2 webhooks unless --webhook-api-version is given."""
    given_version = fields["webhook_api_version"]
    fields["webhook_api_version"] = given_version or VERSION_DEFAULT
    body = body_of({"application_name": name, "webhook_event_url": webhook_event_url, **fields})
    application_from(body, NewApplication)
    with _carrier(settings_of_command(ready_file)) as carrier:
        made = _asked(carrier, "POST", APPLICATIONS, body, as_json=as_json)
    if given_version is None:
        said = 'webhook_api_version is "2"; the carrier\'s default is "1", which ingress refuses'
        _errors.print(said, style="dim", highlight=False, soft_wrap=True)
    _print(made, as_json=as_json)


@app.command()
@with_options(_options())
def update(id: Id, *, as_json: AsJson = False, ready_file: ReadyFile = None, **fields: Any) -> None:
    """Change the fields that are given, and leave the others as they are."""
    changes = body_of(fields)
    if not changes:
        raise typer.BadParameter("name what to change: see `offhook apps update --help`")
    # Checked before the carrier is asked anything; what it has stands for what is not named.
    unnamed = {"application_name": "unnamed", "webhook_event_url": "https://unnamed"}
    application_from({**unnamed, **changes}, ChangedApplication)
    path = application_path(id)
    with _carrier(settings_of_command(ready_file)) as carrier:
        current = _asked(carrier, "GET", path, None, as_json=as_json).body.get("data") or {}
        body = change_of(current, changes)
        _print(_asked(carrier, "PATCH", path, body, as_json=as_json), as_json=as_json)


@app.command()
def delete(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    as_json: AsJson = False,
    ready_file: ReadyFile = None,
) -> None:
    """Delete an application, after asking. Its numbers then receive no calls."""
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
        console.print(f"{name}: deleted", highlight=False, markup=False)


def _carrier(settings: Settings) -> RemoteServer:
    if not settings.carrier_key:
        raise SettingInvalid(
            "OFFHOOK_CARRIER_KEY is not set; set it to an API key from the portal, or give the "
            "--ready-file of `offhook up`"
        )
    return RemoteServer(
        name="the carrier",
        url=settings.carrier_url,
        token=settings.carrier_key,
        timeout_s=TIMEOUT_S,
        see="OFFHOOK_CARRIER_URL",
    )


def _asked(
    carrier: RemoteServer, method: str, path: str, body: Mapping[str, Any] | None, *, as_json: bool
) -> SuccessAnswer:
    try:
        return carrier.ask(method, path, body=body)
    except ErrorResponse as error:
        raise error_to_raise(error, as_json=as_json) from None


def _print(answer: SuccessAnswer, *, as_json: bool) -> None:
    if as_json:
        print_json(answer.body)
    else:
        print_fields(console, answer.body.get("data") or {})
