"""What a flow returned → what its `Decided` stores: plain values, with their ids. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from offhook.commands import Answer, Command, Hangup, Reject
from offhook.commands.catalog import parameters_of
from offhook.errors import shown
from offhook.events import CommandFailed, Event, IssuedCommand, TimerFired, TimerOrder
from offhook.flow.flow import Order, addressed, command_id_for
from offhook.session import CommandState, Leg, Session
from offhook.session.inserted import reason_of_hangup
from offhook.session.timers import orders_from
from offhook.session.unwanted import dial_of_unwanted


class Stored(NamedTuple):
    """Three fields of `Decided`."""

    commands: tuple[IssuedCommand, ...] = ()
    timers: tuple[TimerOrder, ...] = ()
    warnings: tuple[str, ...] = ()


NOTHING = Stored()


def stored(orders: Sequence[Order], event: Event, session: Session, cause_seq: int) -> Stored:
    """The orders on the event at `cause_seq`, the same on every worker. Raises TypeError.

    A leg that nobody wants any more is hung up first, unless the flow does so.
    """
    orders = listed(orders)
    said = [addressed(order, event) for order in orders]
    commands = [order for order in said if isinstance(order, Command)]
    warnings = []
    if (dialled := _unwanted(commands, event, session)) is not None:
        commands.insert(0, Hangup(call_control_id=event.call_control_id))
        warnings.append(reason_of_hangup(dialled.command_id))
    for command in commands:
        leg = _leg(command)
        if not isinstance(leg, str | None):  # the record could never be read again
            raise TypeError(f"{command.operation}: call_control_id is {shown(leg)}; expected text")
    return Stored(
        commands=tuple(
            IssuedCommand(
                command_id=command_id_for(session.session_id, cause_seq, ordinal),
                operation=command.operation,
                call_control_id=_leg(command),
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
        warnings=(*warnings, *_unanswered(commands, session)),
    )


def listed(returned: object) -> tuple[Order, ...]:
    """What a flow returned; a generator can be read only once. Raises TypeError."""
    if not isinstance(returned, Iterable):
        if returned is None:
            raise TypeError("decide returned None; expected a list of orders, [] for none")
        raise TypeError(f"decide returned one {type(returned).__name__}; expected a list of orders")
    orders = tuple(returned)
    for order in orders:
        if not isinstance(order, Order):
            raise TypeError(f"{order!r} is no command and no timer")
    return orders


def _unwanted(commands: Sequence[Command], event: Event, session: Session) -> CommandState | None:
    """The dial of the event's leg, if that leg is to be hung up and nobody does so."""
    leg = session.leg(event.call_control_id)
    if leg is None or isinstance(event, CommandFailed | TimerFired):
        return None
    if any(isinstance(order, Hangup) and _leg(order) == leg.call_control_id for order in commands):
        return None
    return dial_of_unwanted(leg, session)


def _leg(command: Command) -> str | None:
    leg: str | None = getattr(command, "call_control_id", None)
    return leg


def _unanswered(commands: Sequence[Command], session: Session) -> Iterator[str]:
    """A warning for each command to an incoming leg that no command has answered.

    "You must issue this command [answer] before executing subsequent commands on an incoming call"
    (SDK 4.189.0); the carrier refuses the rest with 90034. It is sent anyway: webhooks may be
    late, and the carrier knows better.
    """
    answered: set[str | None] = set()
    for command in commands:
        leg = session.leg(_leg(command))
        if isinstance(command, Answer):
            answered.add(command.call_control_id)
        elif (
            leg is not None
            and leg.direction == "incoming"
            and leg.state == "initiated"
            and not isinstance(command, Reject | Hangup)
            and leg.call_control_id not in answered
            and not _was_answer_asked(session, leg)
        ):
            yield f"{command.operation}: the incoming call was not answered yet (90034)"


def _was_answer_asked(session: Session, leg: Leg) -> bool:
    """Reads all commands, so it is called only for legs that are not answered, which are few."""
    return session.was_asked(Answer.operation) and any(
        state.issued is not None
        and state.issued.operation == Answer.operation
        and state.issued.call_control_id == leg.call_control_id
        for state in session.commands.values()
    )
