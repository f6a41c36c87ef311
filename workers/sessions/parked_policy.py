"""What becomes of a parked session's calls: a flow in place of the one that raised.

    OFFHOOK_PARKED       what it does
    hangup               hangs up every leg that is not in a conversation
    transfer:+1202…      answers the caller if need be and transfers the call there; hangs up the
                         other legs that are in no conversation, and the caller if that fails
    none                 there is no policy: the session waits for `offhook parked retry`

A leg that is bridged with a live leg, or in a conference, is left alone until that ends. The policy
decides only while a leg is up: what arrives after the call waits for `offhook parked retry`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from offhook.commands import Answer, Hangup, Transfer
from offhook.commands.catalog import check, parameters_of
from offhook.errors import OffhookError, SettingInvalid
from offhook.events import CommandFailed, Event, IssuedCommand, TimerFired
from offhook.flow import PARKED, Flow, Order
from offhook.flow.typed_client_state import client_state, state_of
from offhook.session import CommandState, Leg, Session
from offhook.session.timers import SetTimer

TRANSFERRED_WITHIN_S = 60.0
"""A transfer rings for 30 s by the carrier's default; then the caller is hung up."""

HANGUPS_MAX = 3
"""How often a leg is hung up if the carrier never answers within the command's deadline."""


@dataclass(frozen=True, kw_only=True)
class CalledByPolicy:
    """The `client_state` of a leg that the policy called. Its name is stored: keep it."""


def policy_from(text: str) -> Flow | None:
    """The policy that OFFHOOK_PARKED names; None for `none`. Raises SettingInvalid."""
    kind, _, to = text.partition(":")
    if text == "none":
        return None
    if text == "hangup":
        return replace(PARKED, decide=hang_up)
    if kind == "transfer":
        _require_destination(text, to)
        return replace(PARKED, decide=lambda event, session: transfer(event, session, to))
    raise SettingInvalid(f"OFFHOOK_PARKED is {text!r}; expected hangup, none or transfer:NUMBER")


def hang_up(event: Event, session: Session) -> list[Order]:
    """Hang up every leg that is not in a conversation."""
    return _hangups(session, session.legs.values())


def transfer(event: Event, session: Session, to: str) -> list[Order]:
    """Connect the caller with `to`; hang up the others that are in no conversation."""
    caller = session.caller
    if caller is None or caller.state == "ended":
        return hang_up(event, session)
    called = [leg for leg in session.legs.values() if state_of(CalledByPolicy, leg) is not None]
    others = [leg for leg in session.legs.values() if leg is not caller and leg not in called]
    orders = _hangups(session, others)
    given = [state for state in _asked(session, "transfer", caller) if state.flow == PARKED.name]
    if not given:
        return [*_connect(session, caller, to), *orders]
    if (
        all(state.status == "failed" for state in given)
        or (called and all(leg.state == "ended" for leg in called))
        or (isinstance(event, TimerFired) and event.name == PARKED.name)
    ):
        orders += _hangups(session, [caller])
    return orders


def _connect(session: Session, caller: Leg, to: str) -> list[Order]:
    leg = caller.call_control_id
    if not _waits(session, caller):
        return []
    if caller.state != "initiated":
        return [
            Transfer(
                call_control_id=leg, to=to, target_leg_client_state=client_state(CalledByPolicy())
            ),
            SetTimer(name=PARKED.name, after_s=TRANSFERRED_WITHIN_S),
        ]
    answers = _asked(session, "answer", caller)
    if not answers:
        return [Answer(call_control_id=leg)]
    if all(state.status == "failed" for state in answers):
        return _hangups(session, [caller])
    return []


def _hangups(session: Session, legs: Iterable[Leg]) -> list[Order]:
    return [
        Hangup(call_control_id=leg.call_control_id)
        for leg in legs
        if _waits(session, leg) and _may_hang_up(session, leg)
    ]


def _waits(session: Session, leg: Leg) -> bool:
    """Whether the leg is up and not in a conversation."""
    if leg.state == "ended" or leg.is_in_conference:
        return False
    if leg.state != "bridged":
        return True
    others = [other for other in session.legs.values() if other is not leg]
    # Without another leg here it is bridged with one of another session.
    return bool(others) and all(other.state != "bridged" for other in others)


def _may_hang_up(session: Session, leg: Leg) -> bool:
    """Whether no hangup was sent yet, or only to a carrier that did not answer."""
    tried = _asked(session, "hangup", leg) + _asked(session, "reject", leg)
    return len(tried) < HANGUPS_MAX and all(
        isinstance(state.outcome, CommandFailed) and state.outcome.reason == "deadline"
        for state in tried
    )


def _asked(session: Session, operation: str, leg: Leg) -> list[CommandState]:
    """The commands of this operation to this leg, whoever gave them."""
    return [
        state
        for state in session.commands.values()
        if state.issued is not None
        and state.issued.operation == operation
        and state.issued.call_control_id == leg.call_control_id
    ]


def _require_destination(text: str, to: str) -> None:
    command = Transfer(call_control_id="any", to=to)
    try:
        check(
            IssuedCommand(
                command_id="any",
                operation=command.operation,
                call_control_id="any",
                parameters=parameters_of(command),
            )
        )
    except OffhookError as error:
        raise SettingInvalid(f"OFFHOOK_PARKED is {text!r}: {error}") from None
