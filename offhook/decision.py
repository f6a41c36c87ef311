"""What a flow said → what its `Decided` stores: plain values, with the ids they keep. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from offhook.commands import Command
from offhook.events import Event, IssuedCommand, TimerOrder
from offhook.flow import Order, addressed, command_id_for
from offhook.session import Session
from offhook.telnyx.catalog import parameters_of
from offhook.timers import orders_from


class Stored(NamedTuple):
    """Two fields of `Decided`."""

    commands: tuple[IssuedCommand, ...]
    timers: tuple[TimerOrder, ...]


NOTHING = Stored(commands=(), timers=())


def stored(orders: Sequence[Order], event: Event, session: Session, cause_seq: int) -> Stored:
    """The orders on the event at `cause_seq`; the same whoever stores them. Raises TypeError."""
    for order in orders:
        if not isinstance(order, Order):
            raise TypeError(f"{order!r} is no command and no timer")
    said = [addressed(order, event) for order in orders]
    commands = [order for order in said if isinstance(order, Command)]
    return Stored(
        commands=tuple(
            IssuedCommand(
                command_id=command_id_for(session.session_id, cause_seq, ordinal),
                operation=command.operation,
                call_control_id=getattr(command, "call_control_id", None),
                parameters=parameters_of(command),
            )
            for ordinal, command in enumerate(commands)
        ),
        timers=orders_from(
            [order for order in said if not isinstance(order, Command)],
            session.timers,
            cause_seq=cause_seq,
            call_control_id=event.call_control_id,
        ),
    )
