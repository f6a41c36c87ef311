"""All settings, read once from `OFFHOOK_*`; this file is their reference.

Only composition roots (`*/app.py`, `cli`) import it; everything below is handed plain values.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import unquote, urlsplit

import msgspec

from offhook.errors import SettingInvalid, did_you_mean, secrets_of_url, shown_url
from offhook.position import PARTITIONS_MAX
from offhook.telnyx.webhook_path import WEBHOOK_PATH

PREFIX = "OFFHOOK_"

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Partitions = Annotated[int, msgspec.Meta(ge=1, le=PARTITIONS_MAX)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
WholeSeconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Factor = Annotated[float, msgspec.Meta(gt=0, le=1000)]
Rate = Annotated[float, msgspec.Meta(ge=0, le=10_000)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)]
HttpUrl = Annotated[str, "http://… or https://…"]
NatsUrls = Annotated[str, "nats://host:port, several separated by commas"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Field `nats_url` is read from `OFFHOOK_NATS_URL`, and so on; commas separate list items."""

    # The log.
    nats_url: NatsUrls = "nats://127.0.0.1:4222"
    nats_monitor_urls: tuple[HttpUrl, ...] = ("http://127.0.0.1:8222",)  # of every server
    stream_replicas: Count = 1  # 3 on a cluster
    partitions: Partitions = 0  # unset, 0: as many as the log has; a new log gets 4

    # The views: any SQLAlchemy URL of Postgres; without a driver it gets asyncpg.
    postgres_url: str = "postgresql://postgres@127.0.0.1:5432/postgres"

    # Where the roles listen.
    ingress_host: str = "127.0.0.1"
    ingress_port: Port = 8080
    api_host: str = "127.0.0.1"
    api_port: Port = 8081
    simulator_host: str = "127.0.0.1"
    simulator_port: Port = 8082
    worker_host: str = "127.0.0.1"
    worker_port: Port = 0  # health and metrics only; 0: a free port, so that many share a machine
    projector_host: str = "127.0.0.1"
    projector_port: Port = 0

    # Every role but the simulator: if this is set, /metrics requires it as a bearer token.
    metrics_token: str = field(default="", repr=False)

    # Webhooks: base64 public keys as the portal shows them (several during a rotation).
    public_keys: tuple[str, ...] = ()
    signature_tolerance_s: WholeSeconds = 300

    # The carrier.
    carrier_url: HttpUrl = "https://api.telnyx.com/v2"
    carrier_key: str = field(default="", repr=False)
    carrier_timeout_s: Seconds = 2.0

    # Workers: `module:attribute` of each Flow; the first is the default.
    flows: tuple[str, ...] = ()
    parked: str = "hangup"  # the calls of a parked session: hangup, none or transfer:NUMBER
    lanes_max: Count = 64  # slots: sessions that one worker process handles at once

    # Rate limits for all workers together; 0: none. Limits in the carrier's answers are obeyed too.
    dials_per_s: Rate = 30.0  # averaged over 5 s; the carrier's own default
    commands_per_s: Rate = 0.0  # commands of any kind, dials included

    # The API: bearer tokens, `scope:token` with scope read, command or admin.
    api_tokens: tuple[str, ...] = field(default=(), repr=False)
    api_docs: bool = True  # /docs and /openapi.json, which need no token
    console: bool = True  # the pages at /console, which need a token
    answer_timeout_s: Seconds = 10.0  # how long a command waits for the carrier's answer

    # The command line: the API's URL, a token for it, and the id of your Call Control Application.
    api_url: HttpUrl = ""  # empty: http://, api_host and api_port
    api_token: str = field(default="", repr=False)  # empty: the widest of api_tokens
    connection_id: str = ""

    # Where the carrier reaches ingress: the simulator posts there, and a command that sends
    # webhooks to another address gets a warning.
    webhook_url: HttpUrl = f"http://127.0.0.1:8080{WEBHOOK_PATH}"

    # The simulator: the base64 seed it signs with, and its seeded faults.
    signing_key: str = field(default="", repr=False)
    simulator_connections: tuple[str, ...] = ()  # connection ids besides its own application
    simulator_journal: str = ""  # a file: keeps its applications, and ends its calls on restart
    simulator_speed: Factor = 1.0  # how much faster than real time its calls run
    simulator_seed: Seed = 1
    simulator_duplicates: Share = 0.0  # share of webhooks sent twice, 0 to 1
    simulator_disorder: Share = 0.0  # share of webhooks held back behind later ones, 0 to 1
    simulator_loss: Share = 0.0  # share of webhooks that are never sent, 0 to 1

    def __repr__(self) -> str:
        """Without secrets, including those in URLs: a repr ends in logs and tracebacks."""
        shown = {
            item.name: value
            for item in dataclasses.fields(self)
            if item.repr and (value := getattr(self, item.name)) != item.default
        }
        texts = (f"{name}={_repr_of(value)}" for name, value in shown.items())
        return f"Settings({', '.join(texts)})"


SECRET_FIELDS = frozenset(item.name for item in dataclasses.fields(Settings) if not item.repr)
"""Settings that are secret as a whole; URLs contain secrets (`shown_url`)."""


SECRET_CHARS_MIN = 6
"""Shorter secrets are not replaced in texts: they would occur in ordinary words."""


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets in the variables, longest first; those of wrong settings too."""
    found: set[str] = set()
    for variable, text in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX):
            continue
        if name in SECRET_FIELDS:
            parts = [part.strip() for part in text.split(",")]
            # Of `scope:token` the token; other secrets have no colon.
            found |= {part.rpartition(":")[2] for part in parts}
        elif "_url" in name:
            found |= set(secrets_of_url(text))
    found |= {unquote(each) for each in found}
    kept = (each for each in found if len(each) >= SECRET_CHARS_MIN and each not in _NO_SECRETS)
    return tuple(sorted(kept, key=len, reverse=True))


_NO_SECRETS = frozenset({"simulator"})  # the simulator's own key, which is in README


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables. Raises SettingInvalid naming the variable."""
    kinds = get_type_hints(Settings, include_extras=True)
    fields = {PREFIX + name.upper(): name for name in kinds}
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS:
            continue
        if variable not in fields:
            raise SettingInvalid(f"{variable} is not a setting of Offhook{_hint(variable, fields)}")
        name = fields[variable]
        values[name] = _value(variable, text, kinds[name])
    return Settings(**values)


def _hint(variable: str, known: Iterable[str]) -> str:
    """The setting that was meant, or all there are."""
    # Without what all have in common, which would make any two of them alike.
    names = [each.removeprefix(PREFIX) for each in known]
    near = did_you_mean(variable.removeprefix(PREFIX), names)
    return near.replace("mean ", f"mean {PREFIX}") or f"; known: {', '.join(sorted(known))}"


def environment_from(settings: Settings) -> dict[str, str]:
    """The environment variables that give the same settings to a child process."""
    default = Settings()
    return {
        PREFIX + item.name.upper(): ",".join(value) if isinstance(value, tuple) else str(value)
        for item in dataclasses.fields(Settings)
        if (value := getattr(settings, item.name)) != getattr(default, item.name)
    }


# For the test run, the file that `offhook up` wrote, and options of one command.
_NOT_SETTINGS = frozenset(
    PREFIX + name
    for name in ("CAPTURES", "READY_FILE", "ARCHIVE_TO", "ARCHIVE_OLDER_THAN", "ARCHIVE_EVERY")
)


def _repr_of(value: Any) -> str:
    if isinstance(value, str):
        return repr(shown_url(value)) if "://" in value or "@" in value else repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_repr_of, value))})"
    return repr(value)


def _value(variable: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        parts = (part.strip() for part in text.split(","))
        return tuple(_value(variable, part, get_args(kind)[0]) for part in parts if part)
    try:
        if kind in _URLS and not _URLS[kind](text):
            raise ValueError
        return msgspec.convert(text, kind, strict=False)
    except (msgspec.ValidationError, ValueError):
        expected = kind.__metadata__[0] if kind in _URLS else _expected(kind)
        raise SettingInvalid(f"{variable} is {_repr_of(text)}; expected {expected}") from None


def _is_http(text: str) -> bool:
    url = urlsplit(text)
    return not text or (url.scheme in ("http", "https") and bool(url.hostname))


def _are_nats(text: str) -> bool:
    return all(
        "://" not in url or url.strip().partition("://")[0] in ("nats", "tls", "ws", "wss")
        for url in text.split(",")
    )


_URLS = {HttpUrl: _is_http, NatsUrls: _are_nats}


def _expected(kind: Any) -> str:
    """The kind in words: "a whole number from 0 to 65535"."""
    shape = msgspec.inspect.type_info(kind)
    match shape:
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType():
            words = "a whole number"
        case msgspec.inspect.FloatType():
            words = "a number"
        case _:
            return "text"
    lowest = f"above {shape.gt}" if shape.gt is not None else f"from {shape.ge}"
    return f"{words} {lowest} to {shape.le}"
