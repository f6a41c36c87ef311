"""What goes wrong between client and carrier: the trouble that a command's number makes."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from offhook.commands import Command, Dial
from offhook.simulator.call.legs import Leg
from offhook.simulator.call.numbers import Trouble, trouble_of
from offhook.simulator.errors import service_errors
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.ledger import DIALS

FAILED_ONCE_MAX = 10_000
RATE_LIMIT_RESET_S = 1

_ALWAYS: Mapping[Trouble, Callable[[], CarrierError]] = {
    Trouble.UNAVAILABLE: service_errors.unavailable,
    Trouble.FORBIDDEN: service_errors.not_authorized,
    Trouble.INACTIVE: service_errors.account_inactive,
    Trouble.NO_CHANNEL: service_errors.channels_exhausted,
}
_OF_DIALS_ONLY = (Trouble.NO_CHANNEL, Trouble.TOO_MANY_DIALS)


class Troubles:
    """Remembers which commands have failed once, as far back as FAILED_ONCE_MAX of them.

    Tries of one command have its command_id, or without one the same parameters.
    """

    def __init__(self) -> None:
        self._failed_once: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def of(self, command: Command, leg: Leg | None, command_id: str | None) -> Trouble:
        """The trouble this try is in; `leg` is None for a dial.

        Raises CarrierError if nothing is to be performed.
        """
        if leg is not None and leg.ended:
            return Trouble.NONE
        called = _called(command, leg)
        trouble = trouble_of(called)
        if leg is not None and trouble in _OF_DIALS_ONLY:
            return Trouble.NONE
        if (always := _ALWAYS.get(trouble)) is not None:
            raise always()
        if trouble in (Trouble.NONE, Trouble.SLOW):
            return trouble
        scope = DIALS if leg is None else leg.call_control_id
        of_command = _digest(command) if command_id is None else f"id {command_id}"
        if not self._is_first((scope, called, command.operation, of_command)):
            return Trouble.NONE
        match trouble:
            case Trouble.FAILS_BEFORE:
                raise service_errors.unexpected_error()
            case Trouble.LIMITED:
                raise service_errors.too_many_requests(RATE_LIMIT_RESET_S)
            case Trouble.TOO_MANY_DIALS:
                raise service_errors.dials_exceeded()
            case _:
                return trouble

    def _is_first(self, key: tuple[str, ...]) -> bool:
        """Whether a command has not failed yet; after its second try it may fail again."""
        if key in self._failed_once:
            del self._failed_once[key]
            return False
        self._failed_once[key] = None
        while len(self._failed_once) > FAILED_ONCE_MAX:
            self._failed_once.popitem(last=False)
        return True


def _called(command: Command, leg: Leg | None) -> str:
    """The number that a command concerns."""
    if leg is not None:
        return leg.to
    assert isinstance(command, Dial)
    return command.to if isinstance(command.to, str) else command.to[0]


def _digest(command: Command) -> str:
    return hashlib.sha256(msgspec.json.encode(command, order="sorted")).hexdigest()
