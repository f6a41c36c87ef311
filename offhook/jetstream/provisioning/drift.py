"""How a stream or consumer on the server differs from what provisioning would create."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nats.js.api import ConsumerConfig, StreamConfig

# Limits that provisioning does not set, and somebody may have: a limited log refuses or forgets.
_UNBOUNDED: Mapping[str, Any] = {"max_msgs": -1, "max_bytes": -1, "max_msgs_per_subject": -1}

# The server refuses to change these; provisioning again does not help.
_FIXED = frozenset({"storage", "retention", "deliver_policy", "ack_policy", "name", "durable_name"})


@dataclass(frozen=True, kw_only=True)
class ConfigDifference:
    """One value that differs. A `fixed` one changes only if the thing is created again."""

    name: str
    found: Any
    wanted: Any

    @property
    def fixed(self) -> bool:
        """Whether the server refuses to change it."""
        return self.name in _FIXED

    def __str__(self) -> str:
        return f"{self.name} is {_shown(self.found)}, not {_shown(self.wanted)}"


def differences(
    wanted: StreamConfig | ConsumerConfig, found: StreamConfig | ConsumerConfig
) -> tuple[ConfigDifference, ...]:
    """Every value that provisioning sets and that is different on the server.

    Values that it leaves to the server are not compared, except limits; nor is metadata.
    """
    differing = []
    for field in dataclasses.fields(wanted):
        want = getattr(wanted, field.name)
        if want is None:
            want = _UNBOUNDED.get(field.name)
        elif field.name == "duplicate_window" and not want:
            want = None  # the client's default, which stands for the server's
        have = getattr(found, field.name)
        if want is not None and field.name != "metadata" and have != want:
            differing.append(ConfigDifference(name=field.name, found=have, wanted=want))
    return tuple(differing)


def _shown(value: Any) -> str:
    """Enumerations by their value, as the server spells them."""
    return str(getattr(value, "value", value))
