"""How a stream or consumer on the server differs from what provisioning would make of it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nats.js.api import ConsumerConfig, StreamConfig

# What provisioning leaves out, and a hand could have set: a bounded log refuses, or forgets.
_UNBOUNDED: Mapping[str, Any] = {"max_msgs": -1, "max_bytes": -1, "max_msgs_per_subject": -1}

# The server refuses to change these on what is there; provisioning again does not mend them.
_FIXED = frozenset({"storage", "retention", "deliver_policy", "ack_policy", "name", "durable_name"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value. `fixed`: only making the thing anew changes it."""

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
) -> tuple[Difference, ...]:
    """Every value that provisioning sets and that is another on the server.

    What it leaves to the server is the server's, but for bounds. Metadata only says who made it.
    """
    told = []
    for field in dataclasses.fields(wanted):
        want = getattr(wanted, field.name)
        if want is None:
            want = _UNBOUNDED.get(field.name)
        elif field.name == "duplicate_window" and not want:
            want = None  # the client's default, which stands for the server's
        have = getattr(found, field.name)
        if want is not None and field.name != "metadata" and have != want:
            told.append(Difference(name=field.name, found=have, wanted=want))
    return tuple(told)


def _shown(value: Any) -> str:
    """Enumerations by their word, as the server says them."""
    return str(getattr(value, "value", value))
