"""What happens to a leg when its bridge ends, as chosen by the command that bridges.

    command     the leg that is meant                by default, when the bridge ends
    Transfer    the one that is transferred          hung up
    Bridge      the one that is commanded            hung up
    Dial        the new one (`link_to` is needed)    hung up

A bridge ends when the other leg hangs up or is transferred away. No event reports it: a flow that
keeps a leg continues on the other leg's call.hangup. `hold_after_unbridge` of Bridge keeps the leg
too, on hold. Source: team-telnyx/openapi `spec3.yml` 12de4dd0.
"""

from dataclasses import replace
from typing import Any, TypeVar

from offhook.commands import Bridge, Dial, Transfer

Bridging = TypeVar("Bridging", Transfer, Bridge, Dial)


def kept_after_unbridge(command: Bridging) -> Bridging:
    """The command, so that its leg stays up, parked, and can be commanded further."""
    return replace(command, park_after_unbridge="self")


def hung_up_after_unbridge(command: Bridging) -> Bridging:
    """The command, so that its leg is hung up: the carrier's default, stated explicitly."""
    changes: dict[str, Any] = {"park_after_unbridge": None}
    if isinstance(command, Bridge):
        changes["hold_after_unbridge"] = None
    return replace(command, **changes)
