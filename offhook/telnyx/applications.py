"""Call Control Applications: what a request about one may say, and its check.

    POST /call_control_applications           create    name and webhook URL are required
    PATCH /call_control_applications/{id}     update    the documents require both here too

Source of fields, defaults and bounds: team-telnyx/openapi `spec3.yml` 12de4dd0; SDK 4.189.0 has the
same. The documents only say of a URL that it must include a scheme.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from offhook.commands.checks import wrong_in
from offhook.errors import ParameterInvalid

_URL_WORDS = "a URL with its scheme (https://example.com/webhooks)"
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+\S*\Z", description=_URL_WORDS)]
FailoverUrl = Annotated[
    str, msgspec.Meta(pattern=r"^(https?://[^\s/]+\S*)?\Z", description=_URL_WORDS)
]
TimeoutSecs = Annotated[int, msgspec.Meta(ge=0, le=30)]
ApiVersion = Literal["1", "2"]
DtmfType = Literal["RFC 2833", "Inband", "SIP INFO"]
Anchorsite = Literal[
    "Latency",
    "Chicago, IL",
    "Ashburn, VA",
    "San Jose, CA",
    "London, UK",
    "Chennai, IN",
    "Amsterdam, Netherlands",
    "Toronto, Canada",
    "Sydney, Australia",
]
ReceiveSettings = Literal["only_my_connections", "from_anyone"]


class Inbound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for calls to the application's numbers."""

    channel_limit: int | None = None
    shaken_stir_enabled: bool = False
    sip_subdomain: str | None = None
    sip_subdomain_receive_settings: ReceiveSettings = "from_anyone"


class Outbound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for calls that the application places."""

    channel_limit: int | None = None
    outbound_voice_profile_id: str | None = None


class NewApplication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a create, with the carrier's defaults for what it leaves out."""

    application_name: Annotated[str, msgspec.Meta(min_length=1)]
    webhook_event_url: Url
    active: bool = True
    anchorsite_override: Anchorsite = "Latency"
    call_cost_in_webhooks: bool = False
    dtmf_type: DtmfType = "RFC 2833"
    first_command_timeout: bool = False
    first_command_timeout_secs: int = 30
    inbound: Inbound = Inbound()
    outbound: Outbound = Outbound()
    redact_dtmf_debug_logging: bool = False
    webhook_api_version: ApiVersion = "1"
    webhook_event_failover_url: FailoverUrl | None = ""
    webhook_timeout_secs: TimeoutSecs | None = None


class ChangedApplication(NewApplication, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of an update."""

    tags: tuple[str, ...] = ()


Body = TypeVar("Body", bound=NewApplication)


def application_from(body: Mapping[str, Any], kind: type[Body]) -> Body:
    """The request. Raises ParameterInvalid naming the first field that is wrong."""
    if (wrong := wrong_in(kind, body)) is not None:
        raise ParameterInvalid(
            "call_control_application", wrong.name, wrong.value, wrong.rule, inside=wrong.inside
        )
    return msgspec.convert(body, kind)
