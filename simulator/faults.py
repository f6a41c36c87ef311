"""Which attempts of a command fail, by the number it concerns."""

import hashlib
from collections.abc import Callable, Mapping

import msgspec

from offhook.commands import Command, Dial, Transfer
from offhook.recent import RecentDict
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.numbers import CommandFault, fault_of
from offhook.simulator.errors import service_errors
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.ledger import DIALS

COMMANDS_MAX = 10_000
RATE_LIMIT_RESET_S = 1

_ALWAYS: Mapping[CommandFault, Callable[[], CarrierError]] = {
    CommandFault.UNAVAILABLE: service_errors.unavailable,
    CommandFault.FORBIDDEN: service_errors.not_authorized,
    CommandFault.INACTIVE: service_errors.account_inactive,
    CommandFault.NO_CHANNEL: service_errors.channels_exhausted,
}
_OF_DIALS_ONLY = (CommandFault.NO_CHANNEL, CommandFault.TOO_MANY_DIALS)


class FaultInjector:
    """Remembers the COMMANDS_MAX commands that failed last.

    Attempts are of one command if they have the same command_id, or none and the same parameters.
    """

    def __init__(self) -> None:
        self._failed = RecentDict[tuple[str, ...], None](COMMANDS_MAX)

    def fault_of_attempt(
        self, command: Command, leg: SimulatedLeg | None, command_id: str | None
    ) -> CommandFault:
        """The fault of this attempt: NONE, FAILS_AFTER or SLOW. `leg` is None for a dial.

        Raises CarrierError if the command is not to be performed.
        """
        if leg is not None and leg.ended:
            return CommandFault.NONE
        if isinstance(command, Transfer) and fault_of(command.to) is CommandFault.NO_CHANNEL:
            raise service_errors.channels_exhausted()
        called = _called(command, leg)
        fault = fault_of(called)
        if leg is not None and fault in _OF_DIALS_ONLY:
            return CommandFault.NONE
        if (always := _ALWAYS.get(fault)) is not None:
            raise always()
        if fault in (CommandFault.NONE, CommandFault.SLOW):
            return fault
        scope = DIALS if leg is None else leg.call_control_id
        of_command = _digest(command) if command_id is None else f"id {command_id}"
        if not self._is_first((scope, called, command.operation, of_command)):
            return CommandFault.NONE
        match fault:
            case CommandFault.FAILS_BEFORE:
                raise service_errors.unexpected_error()
            case CommandFault.LIMITED:
                raise service_errors.too_many_requests(RATE_LIMIT_RESET_S)
            case CommandFault.TOO_MANY_DIALS:
                raise service_errors.dials_exceeded()
            case _:
                return fault

    def _is_first(self, key: tuple[str, ...]) -> bool:
        """Whether this is the first attempt of a command; the third one counts as first again."""
        if key in self._failed:
            del self._failed[key]
            return False
        self._failed[key] = None
        return True


def _called(command: Command, leg: SimulatedLeg | None) -> str:
    """The called number that a command concerns."""
    if leg is not None:
        return leg.to
    assert isinstance(command, Dial)
    return command.to if isinstance(command.to, str) else command.to[0]


def _digest(command: Command) -> str:
    return hashlib.sha256(msgspec.json.encode(command, order="sorted")).hexdigest()
