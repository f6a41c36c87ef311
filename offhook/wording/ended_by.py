"""Who ended a leg: a hangup of ours, where the carrier only names a side. Pure.

`hangup_source` is caller or callee, and a hangup command counts as one by the side that the carrier
connects: the callee of an incoming leg, the caller of an outgoing one. So what we sent is compared
with it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from offhook.session.inserted import UNWANTED_LEG

Leg = Mapping[str, Any]
Command = Mapping[str, Any]

TOGETHER_S = 1.0
"""Two connected legs that end within this time ended together."""


class Ender(NamedTuple):
    """A command of ours that ended a leg, and the leg that it hung up: itself, or the other one."""

    command: Command
    leg: Leg


def ender_of(leg: Leg, legs: Sequence[Leg], commands: Sequence[Command]) -> Ender | None:
    """What ended the leg, if that was a command of ours; None otherwise, or if it is not known."""
    if leg["ended_at"] is None:
        return None
    # If its own party hung up, the other leg ended because of that, whatever was sent to it then.
    partners = [
        each
        for each in legs
        if each is not leg and leg["hangup_source"] != _far_side(leg) and _ended_together(each, leg)
    ]
    for each in (leg, *partners):
        for command in commands:
            if _hangs_up(command, each) and _had_effect(command, each, partners):
                return Ender(command, each)
    return None


def who_sent(command: Command) -> str:
    """`the flow desk`, for the middle of a sentence."""
    flow = command["flow"]
    if not flow or flow == "api":
        return "an application"
    if flow == "parked-policy":
        return "the policy for parked sessions (OFFHOOK_PARKED)"
    if flow == UNWANTED_LEG:
        return "Offhook (its dial had failed, and nobody wanted the leg any more)"
    return f"the flow {flow}"


def _hangs_up(command: Command, leg: Leg) -> bool:
    return (
        command["operation"] in ("hangup", "reject")
        and command["call_control_id"] == leg["call_control_id"]
        and command["status"] == "succeeded"
    )


def _had_effect(command: Command, leg: Leg, partners: Sequence[Leg]) -> bool:
    """Whether it was accepted; or the leg was gone when it was sent again, and nobody else left."""
    if not command["detail"]:
        return True  # of one that found the leg ended, this says so
    sends_before = (command["attempts"] or 0) - (0 if command["http_status"] is None else 1)
    return (
        sends_before > 0
        and leg["hangup_source"] != _far_side(leg)
        and all(each["hangup_source"] != _far_side(each) for each in partners)
    )


def _far_side(leg: Leg) -> str:
    """The party of the leg, as the carrier calls it: the other side is ours."""
    return "callee" if leg["direction"] == "outgoing" else "caller"


def _ended_together(one: Leg, other: Leg) -> bool:
    if not (one["bridged_at"] and other["bridged_at"] and one["ended_at"] and other["ended_at"]):
        return False
    apart = datetime.fromisoformat(one["ended_at"]) - datetime.fromisoformat(other["ended_at"])
    return abs(apart.total_seconds()) <= TOGETHER_S
