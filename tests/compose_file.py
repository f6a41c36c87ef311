"""compose.yaml as Docker Compose reads it: variables put in, merges done. Nothing is started here.

Only what our file uses is understood; anything else fails loudly.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "compose.yaml"
DOCKERFILE = ROOT / "Dockerfile"


class VariableMissing(Exception):
    """What `docker compose` would refuse to start for."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """`source` is a volume's name, or a path if it begins with a dot or a slash."""

    source: str
    target: str
    read_only: bool

    @property
    def is_volume(self) -> bool:
        return not self.source.startswith((".", "/"))


@dataclass(frozen=True, kw_only=True)
class Service:
    name: str
    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    ports: Sequence[str]  # published:inside
    depends_on: Mapping[str, str]  # service -> condition
    healthcheck: Sequence[str]  # a command, empty for none
    restart: str
    stop_grace_s: float
    replicas: int = 1
    profiles: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Compose:
    services: Mapping[str, Service]
    volumes: Sequence[str]


def read_compose(variables: Mapping[str, str]) -> Compose:
    """The file with these variables. Raises VariableMissing with the file's own message."""
    raw = yaml.safe_load(COMPOSE.read_text())
    # Extension fields are only there for the anchors, but Compose puts variables into them too.
    filled = _filled({key: raw[key] for key in ("services", "volumes")}, variables)
    services = {name: _service(name, one) for name, one in filled["services"].items()}
    return Compose(services=services, volumes=list(filled["volumes"]))


def variables_of_the_file() -> dict[str, str]:
    """Every variable that the file names, with its operator: `:?`, `?`, `:-` or none."""
    return {found["name"]: found["operator"] or "" for found in _VARIABLE.finditer(_text())}


def entrypoint() -> list[str]:
    """What the image puts before every command."""
    found = re.search(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    assert found, "the Dockerfile has no ENTRYPOINT in its exec form"
    words: list[str] = json.loads(found[1])
    return words


def working_directory() -> str:
    """Where the image's processes run."""
    *_, last = re.finditer(r"^WORKDIR (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return last[1]


def _text() -> str:
    lines = COMPOSE.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _service(name: str, raw: Mapping[str, Any]) -> Service:
    unknown = raw.keys() - _UNDERSTOOD
    assert not unknown, f"service {name}: the tests do not understand {sorted(unknown)}"
    return Service(
        name=name,
        image=raw["image"],
        command=[str(word) for word in raw.get("command", [])],
        environment={key: str(value) for key, value in raw.get("environment", {}).items()},
        mounts=[_mount(text) for text in raw.get("volumes", [])],
        ports=raw.get("ports", []),
        depends_on={each: how["condition"] for each, how in raw.get("depends_on", {}).items()},
        healthcheck=_check(raw.get("healthcheck", {}).get("test", ["CMD"])),
        restart=raw["restart"],
        stop_grace_s=_seconds(raw["stop_grace_period"]),
        replicas=int(raw.get("deploy", {}).get("replicas", 1)),
        profiles=raw.get("profiles", []),
    )


def _mount(text: str) -> Mount:
    source, target, *options = text.split(":")
    return Mount(source=source, target=target, read_only=options == ["ro"])


def _check(test: Sequence[str]) -> list[str]:
    kind, *command = test
    assert kind == "CMD", f"a health check of the kind {kind}"
    return command


def _seconds(text: str) -> float:
    assert text.endswith("s"), text
    return float(text.removesuffix("s"))


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda found: _value(found, variables), value)
        case dict():
            return {key: _filled(each, variables) for key, each in value.items()}
        case list():
            return [_filled(each, variables) for each in value]
        case _:
            return value


def _value(found: "re.Match[str]", variables: Mapping[str, str]) -> str:
    name, operator, word = found["name"], found["operator"], found["word"]
    value: str | None = variables.get(name)
    missing = value is None or (not value and (operator or "").startswith(":"))
    if not missing:
        assert value is not None
        return value
    match operator:
        case ":-":
            return str(word)
        case ":?" | "?":
            raise VariableMissing(f"{name} {word}")
        case _:
            raise AssertionError(f"{found[0]} has neither a default nor a message")


_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:?[-?])(?P<word>[^}]*))?\}")
_UNDERSTOOD = frozenset(
    {
        *("build", "command", "depends_on", "deploy", "environment", "healthcheck", "image"),
        *("init", "ports", "profiles", "restart", "stop_grace_period", "volumes"),
    }
)
