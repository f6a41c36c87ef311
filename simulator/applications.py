"""Call Control Applications: the resource that a call's `connection_id` names.

An application says where webhooks go, in which form, how long their receiver has, and whether calls
tell their cost. One exists from the start: its id is DEFAULT_ID, its address is the configured
one, and its form is "2". A created one has the carrier's defaults, of which form "1" is one.

Source of fields, defaults and bounds: team-telnyx/openapi `spec3.yml` 12de4dd0. Where it is silent:
an update changes what it names and nothing else, and an unknown field is refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

import msgspec

from offhook.errors import ParameterInvalid
from simulator import refusals
from simulator.answers import milliseconds

DEFAULT_ID = "2811212257810187875"
APPLICATIONS_MAX = 10_000
SEARCHED_LENGTH_MIN = 3

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+\S*\Z")]
FailoverUrl = Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s/]+\S*)?\Z")]
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


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a create; an update may have `tags` as well."""

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


class Application(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application as the carrier keeps and answers it."""

    id: str
    record_type: str = "call_control_application"
    created_at: str
    updated_at: str
    tags: list[str] = []


class AskedUpdate(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tags: list[str] = []


Body = TypeVar("Body", bound=Asked)


class Applications:
    """All of them; bounded in number. Ids come from `identities`."""

    def __init__(
        self,
        *,
        webhook_url: str,
        clock: Callable[[], datetime],
        identities: Random,
        applications_max: int = APPLICATIONS_MAX,
    ) -> None:
        self._clock = clock
        self._identities = identities
        self._applications_max = applications_max
        now = milliseconds(clock())
        self.default = Application(
            id=DEFAULT_ID,
            application_name="offhook",
            webhook_event_url=webhook_url,
            webhook_api_version="2",
            created_at=now,
            updated_at=now,
        )
        self._kept = {DEFAULT_ID: self.default}
        self._deleted: dict[str, None] = {}

    def get(self, application_id: str) -> Application:
        """Raises Refused (404)."""
        found = self._kept.get(application_id)
        if found is None:
            raise refusals.not_found()
        return found

    def of_call(self, connection_id: str) -> Application:
        """Whose configuration a call has: the default one's, if no application has this id."""
        return self._kept.get(connection_id, self.default)

    def takes_calls(self, connection_id: str) -> bool:
        """False for one that is deleted or not active."""
        return connection_id not in self._deleted and self.of_call(connection_id).active

    def create(self, body: Mapping[str, Any]) -> Application:
        """Raises Refused (422)."""
        if len(self._kept) >= self._applications_max:
            raise refusals.not_possible(
                f"There are {self._applications_max} applications; the simulator takes no more."
            )
        asked = _asked(body, Asked)
        now = milliseconds(self._clock())
        return self._keep(
            Application(
                **msgspec.structs.asdict(asked),
                id="".join(self._identities.choices("123456789", k=19)),
                created_at=now,
                updated_at=now,
            )
        )

    def update(self, application_id: str, body: Mapping[str, Any]) -> Application:
        """Raises Refused (404, or 422)."""
        before = self.get(application_id)
        asked = _asked(body, AskedUpdate)
        changed = {name: getattr(asked, name) for name in body}
        for part in ("inbound", "outbound"):
            if part in body:
                given = {name: getattr(changed[part], name) for name in body[part]}
                changed[part] = msgspec.structs.replace(getattr(before, part), **given)
        now = milliseconds(self._clock())
        return self._keep(msgspec.structs.replace(before, **changed, updated_at=now))

    def delete(self, application_id: str) -> Application:
        """The application as it was; its calls are refused from now on. Raises Refused (404)."""
        gone = self.get(application_id)
        del self._kept[application_id]
        self._deleted[application_id] = None
        if len(self._deleted) > self._applications_max:
            del self._deleted[next(iter(self._deleted))]
        return gone

    def listed(self, query: Mapping[str, str]) -> Sequence[Application]:
        """Filtered and sorted as the query asks; the newest first if it does not. Raises Refused.

        The documents list filters of other resources too; they change nothing here.
        """
        searched = query.get("filter[application_name][contains]")
        if searched is not None and len(searched) < SEARCHED_LENGTH_MIN:
            raise refusals.search_too_short("filter[application_name][contains]")
        profile = query.get("filter[outbound.outbound_voice_profile_id]")
        found = [
            one
            for one in self._kept.values()
            if (searched is None or searched.lower() in one.application_name.lower())
            and profile in (None, one.outbound.outbound_voice_profile_id)
        ]
        sort = query.get("sort", "-created_at")
        if (key := _SORTS.get(sort.removeprefix("-"))) is None:
            raise refusals.sort_unknown(sort, list(_SORTS))
        # The kept order breaks ties: it is that of creation.
        ordered = sorted(enumerate(found), key=lambda one: (key(one[1]), one[0]))
        return [one for _, one in (reversed(ordered) if sort.startswith("-") else ordered)]

    def _keep(self, application: Application) -> Application:
        self._kept[application.id] = application
        if application.id == DEFAULT_ID:
            self.default = application
        return application


_SORTS: dict[str, Callable[[Application], Any]] = {
    "created_at": lambda one: one.created_at,
    "connection_name": lambda one: one.application_name,
    "active": lambda one: one.active,
}


def _asked(body: Mapping[str, Any], kind: type[Body]) -> Body:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise refusals.parameter_invalid(_named(body, str(error))) from None


_PLACE = re.compile(r"^(?P<rule>.*?)(?: - at `\$\.(?P<path>[\w.]+).*`)?$")
_NAMED = re.compile(r"(?P<trouble>missing required|unknown) field `(?P<name>[^`]*)`")
_ENUMS: dict[str, Any] = {
    "anchorsite_override": Anchorsite,
    "dtmf_type": DtmfType,
    "inbound.sip_subdomain_receive_settings": ReceiveSettings,
    "webhook_api_version": ApiVersion,
}


def _named(body: Mapping[str, Any], text: str) -> ParameterInvalid:
    """What the type checker found, with the field it is about."""
    found = _PLACE.match(text)
    assert found is not None
    rule, path = found["rule"], found["path"] or ""
    if (inside := _NAMED.search(rule)) is not None:
        path = f"{path}.{inside['name']}".removeprefix(".")
        rule = "it is required" if inside["trouble"] == "missing required" else _NO_SUCH
    elif path in _ENUMS:
        rule = "expected one of " + ", ".join(map(repr, get_args(_ENUMS[path])))
    elif path.endswith("_url"):
        rule = "expected a URL with its scheme (https://example.com/webhooks)"
    value: Any = body
    for name in path.split("."):
        value = cast(dict[str, Any], value).get(name) if isinstance(value, dict) else None
    if rule == _NO_SUCH and value is None:
        value = "null"  # a field that is there and null is not a missing one
    return ParameterInvalid("call_control_application", path.replace(".", "/"), value, rule)


_NO_SUCH = "there is no such parameter"
