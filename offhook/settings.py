"""The one settings object, read once from `OFFHOOK_*`; this file is the reference of all of them.

Only composition roots (`*/app.py`, `cli`) import it; everything below is handed plain values.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from offhook.errors import SettingInvalid

PREFIX = "OFFHOOK_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Field `nats_url` is read from `OFFHOOK_NATS_URL`, and so on. Lists have commas."""

    # The log.
    nats_url: str = "nats://127.0.0.1:4222"
    nats_monitor_urls: tuple[str, ...] = ("http://127.0.0.1:8222",)  # of every server
    stream_replicas: int = 1  # 3 on a cluster

    # The views; any SQLAlchemy URL of Postgres, the asyncpg driver is put in where it is missing.
    postgres_url: str = "postgresql://postgres@127.0.0.1:5432/postgres"

    # Where the roles listen.
    ingress_host: str = "127.0.0.1"
    ingress_port: int = 8080
    api_host: str = "127.0.0.1"
    api_port: int = 8081
    simulator_host: str = "127.0.0.1"
    simulator_port: int = 8082
    worker_host: str = "127.0.0.1"
    worker_port: int = 0  # health and metrics only; 0 takes a free port, so many share a machine
    projector_host: str = "127.0.0.1"
    projector_port: int = 0

    # Webhooks: base64 public keys as the portal shows them (several during a rotation).
    public_keys: tuple[str, ...] = ()
    signature_tolerance_s: int = 300

    # The carrier.
    carrier_url: str = "https://api.telnyx.com/v2"
    carrier_key: str = field(default="", repr=False)
    carrier_timeout_s: float = 2.0

    # Workers: `module:attribute` of each Flow; the first is the default.
    flows: tuple[str, ...] = ()
    lanes_max: int = 64  # calls that one worker process handles at once

    # The API: bearer tokens, `scope:token` with scope read, command or admin.
    api_tokens: tuple[str, ...] = field(default=(), repr=False)
    answer_timeout_s: float = 10.0  # how long a command waits for the carrier's answer

    # The simulator: the base64 seed it signs with, where its webhooks go, and its seeded faults.
    signing_key: str = field(default="", repr=False)
    webhook_url: str = "http://127.0.0.1:8080/webhooks/telnyx"
    simulator_speed: float = 1.0  # how much faster than life its calls run
    simulator_seed: int = 1
    simulator_duplicates: float = 0.0  # share of webhooks sent twice, 0 to 1
    simulator_disorder: float = 0.0  # share of webhooks held back behind later ones, 0 to 1


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables. Raises SettingInvalid naming the variable."""
    fields = {PREFIX + item.name.upper(): item for item in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS:
            continue
        if variable not in fields:
            known = ", ".join(sorted(fields))
            raise SettingInvalid(f"{variable} is not a setting of Offhook; known: {known}")
        values[fields[variable].name] = _value(variable, text, fields[variable].type)
    return Settings(**values)


def environment_from(settings: Settings) -> dict[str, str]:
    """The environment variables that give the same settings to a child process."""
    default = Settings()
    return {
        PREFIX + item.name.upper(): ",".join(value) if isinstance(value, tuple) else str(value)
        for item in dataclasses.fields(Settings)
        if (value := getattr(settings, item.name)) != getattr(default, item.name)
    }


# Set for the test run, not for the service.
_NOT_SETTINGS = frozenset({PREFIX + "CAPTURES"})

_EXPECTED: dict[Any, str] = {int: "a whole number", float: "a number", str: "text"}


def _value(variable: str, text: str, kind: Any) -> Any:
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        raise SettingInvalid(f"{variable} is {text!r}; expected {_EXPECTED[kind]}") from None
