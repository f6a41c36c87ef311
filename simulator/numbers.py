"""What a called number does: the magic numbers.

All lie in the range that is reserved for fiction (+1 202 555 01xx), so none of them ever rings
anybody. A SIP URI counts by its user part (`sip:+12025550186@example.com` is busy).

    number         the far end, when the number is dialled or transferred to
    +12025550180   answers, and hangs up after 5 s of talk (normal_clearing, callee, 200)
    +12025550183   rejects (call_rejected, 603)
    +12025550184   does not exist (not_found, 404)
    +12025550186   is busy (user_busy, 486)
    +12025550188   rings and never answers (timeout after timeout_secs)
    any other      answers after 1 s and stays until it is hung up

    number         the carrier's HTTP answer, when a command concerns the number
    +12025550150   500 to the first try of each command, which is not performed; then all is well
    +12025550151   500 to the first try of each command, although it *is* performed
    +12025550152   performs, but answers later than a client with a 2 s timeout waits
    +12025550153   503 to every try: nothing is ever performed
    +12025550159   429 to the first try, with x-ratelimit-reset; then all is well
    any other      answers at once

A dial concerns the number it calls; any other command concerns the called number of its leg, so an
*inbound* call to +12025550151 makes its answer, transfer and hangup fail once each.
Seconds are seconds of the call: the exchange divides them by its speed.
"""

import enum
import re
from dataclasses import dataclass

from simulator.legs import Ending

ANSWER_AFTER_S = 1.0
REFUSE_AFTER_S = 0.5
TALK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Takes the call; hangs up by itself only if `talk_s` is given."""

    after_s: float = ANSWER_AFTER_S
    talk_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Refuses:
    """Never takes the call, and says so."""

    ending: Ending
    after_s: float = REFUSE_AFTER_S


@dataclass(frozen=True, kw_only=True)
class StaysSilent:
    """Rings until the caller's timeout."""


FarEnd = Answers | Refuses | StaysSilent


class Trouble(enum.Enum):
    """What goes wrong between the client and the carrier."""

    NONE = "none"
    FAILS_BEFORE = "500 once, not performed"
    FAILS_AFTER = "500 once, performed"
    SLOW = "performed, answered late"
    UNAVAILABLE = "503 always"
    LIMITED = "429 once"


_FAR_ENDS: dict[str, FarEnd] = {
    "+12025550180": Answers(talk_s=TALK_S),
    "+12025550183": Refuses(ending=Ending(cause="call_rejected", source="callee", sip="603")),
    "+12025550184": Refuses(ending=Ending(cause="not_found", source="callee", sip="404")),
    "+12025550186": Refuses(ending=Ending(cause="user_busy", source="callee", sip="486")),
    "+12025550188": StaysSilent(),
}
_TROUBLES = {
    "+12025550150": Trouble.FAILS_BEFORE,
    "+12025550151": Trouble.FAILS_AFTER,
    "+12025550152": Trouble.SLOW,
    "+12025550153": Trouble.UNAVAILABLE,
    "+12025550159": Trouble.LIMITED,
}


def far_end_of(called: str) -> FarEnd:
    """How the party at a number or SIP URI behaves."""
    return _FAR_ENDS.get(_number_in(called), Answers())


def trouble_of(called: str) -> Trouble:
    """What the carrier's HTTP interface does to commands that concern a number or SIP URI."""
    return _TROUBLES.get(_number_in(called), Trouble.NONE)


_SIP_USER = re.compile(r"^sips?:(?P<user>[^@;:]+)@")


def _number_in(called: str) -> str:
    match = _SIP_USER.match(called)
    return match["user"] if match else called
