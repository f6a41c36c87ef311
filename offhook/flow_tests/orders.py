"""A stored decision → the orders that a flow returned. Pure."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from offhook.commands import COMMANDS, Command, LegCommand
from offhook.commands.catalog import check, wire_name
from offhook.errors import OffhookError
from offhook.events import Decided, IssuedCommand, TimerOrder
from offhook.flow import Order
from offhook.redact import hidden
from offhook.session.inserted import is_inserted
from offhook.session.timers import CancelTimer, SetTimer


def orders_of(decided: Decided, own_leg: str | None) -> list[Order] | None:
    """What the flow returned, as far as it was stored; None if that is not known.

    A timer that replaces another of its name is stored as a cancellation and a new one.
    """
    orders: list[Order] = []
    for issued in decided.commands[is_inserted(0, decided.warnings) :]:
        command = _command(without_secrets(issued), own_leg)
        if command is None:
            return None
        orders.append(command)
    set_again = {timer.name for timer in decided.timers if timer.after_s is not None}
    for timer in decided.timers:
        if timer.after_s is not None:
            orders.append(SetTimer(name=timer.name, after_s=timer.after_s))
        elif timer.name not in set_again:
            orders.append(CancelTimer(name=timer.name))
    return orders


def _command(issued: IssuedCommand, own_leg: str | None) -> Command | None:
    """The order; None for one that this version of Offhook cannot give."""
    kind = COMMANDS.get(issued.operation)
    if kind is None:
        return None
    names = {
        wire_name(item.name): item.name
        for item in dataclasses.fields(kind)
        if item.name != "call_control_id"
    }
    values: dict[str, Any] = {}
    for name, value in issued.parameters.items():
        if name not in names:
            return None
        values[names[name]] = value
    if issubclass(kind, LegCommand) and issued.call_control_id != own_leg:
        values["call_control_id"] = issued.call_control_id
    try:
        return kind(**values)
    except (TypeError, ValueError):
        return None


def refusal_of(commands: Sequence[IssuedCommand]) -> str:
    """Why the documents do not allow one of them; empty if they allow all."""
    for command in commands:
        try:
            check(command)
        except OffhookError as error:
            return str(error)
    return ""


def is_same(made: Decided, decided: Decided) -> bool:
    """Whether both have the same commands and timers, secrets and ids apart."""
    recorded = _bare(tuple(map(without_secrets, decided.commands)), decided.timers)
    return bool(_bare(made.commands, made.timers) == recorded)


def _bare(commands: Sequence[IssuedCommand], timers: Sequence[TimerOrder]) -> Any:
    """Without ids, as JSON."""
    return msgspec.json.decode(
        msgspec.json.encode(
            [
                [(each.operation, each.call_control_id, each.parameters) for each in commands],
                [(each.name, each.after_s) for each in timers],
            ]
        )
    )


def without_secrets(issued: IssuedCommand) -> IssuedCommand:
    """The command as a test may show it."""
    return replace(issued, parameters=hidden(issued.parameters))
