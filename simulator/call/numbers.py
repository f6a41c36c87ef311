"""What a called number does: the magic numbers.

All are in the range reserved for fiction (+1 202 555 01xx), so nobody has them. A SIP URI
counts by its user part (`sip:+12025550186@example.com` is busy); the plus may be missing, and
hyphens, dots, spaces and parentheses are ignored.

    number         the far end, when the number is dialled or transferred to
    +1202555016N   answers, and enters the key N at every prompt for keys (N from 0 to 9)
    +12025550171   a machine answers: a greeting of 3 s, then a beep
    +12025550172   a machine answers: a greeting of 3 s, and no beep
    +12025550173   answers, and detection cannot tell what it is (not_sure)
    +12025550174   a fax machine answers
    +12025550175   answers and says nothing (silence)
    +12025550178   answers; its recordings fail (call.recording.error)
    +12025550180   answers, and hangs up after 5 s of talk (normal_clearing, callee, 200)
    +12025550181   cannot be reached now (unspecified, 480)
    +12025550182   cannot be reached: the network fails (unspecified, 503)
    +12025550183   rejects (call_rejected, 603)
    +12025550184   does not exist (not_found, 404)
    +12025550185   is forbidden by the carrier (call_rejected, 403)
    +12025550186   is busy (user_busy, 486)
    +12025550187   answers after 10 s
    +12025550188   rings and never answers (timeout after timeout_secs)
    any other      answers after 1 s and stays until it is hung up; detection finds a person

    number         the carrier's HTTP answer, when a command concerns the number
    +12025550150   500 to the first attempt of each command, which is not performed
    +12025550151   500 to the first attempt of each command, although it *is* performed
    +12025550152   performs, but answers later than a client with a 2 s timeout waits
    +12025550153   503 to every attempt: nothing is ever performed
    +12025550154   403 with 10010 to every attempt
    +12025550155   422 with 90041 to every dial and transfer to it: the channels are used up
    +12025550156   429 with 90103 to the first attempt of a dial: too many dials
    +12025550157   403 with 20012 to every attempt: the account is inactive
    +12025550159   429 to the first attempt of each command, with x-ratelimit-reset
    any other      answers at once

A dial concerns the number it calls, any other command the called number of its leg: for an
*inbound* call to +12025550151, answer, transfer and hangup fail once each. A transfer to
+12025550155 is refused whatever the number of its leg. The keys of an inbound call are its
caller's: a call *from* +12025550161 enters 1.
Seconds are seconds of the call: the exchange divides them by its speed.
"""

import enum
import re
from dataclasses import dataclass

from offhook.simulator.call.legs import Ending

ANSWER_AFTER_S = 1.0
SLOW_ANSWER_AFTER_S = 10.0
REFUSE_AFTER_S = 0.5
TALK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers after `after_s`; hangs up after `talk_s` of talk, if it is given."""

    after_s: float = ANSWER_AFTER_S
    talk_s: float | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refuses:
    """Refuses the call after `after_s`."""

    ending: Ending
    after_s: float = REFUSE_AFTER_S


@dataclass(frozen=True, kw_only=True)
class StaysSilent:
    """Rings until the timeout of the caller."""


FarEnd = Answers | Refuses | StaysSilent


@dataclass(frozen=True, kw_only=True)
class DetectionResult:
    """What answering machine detection finds; `beeps` is whether the greeting ends in a beep."""

    result: str = "human"
    premium_result: str = "human_residence"
    beeps: bool = False


class CommandFault(enum.Enum):
    """How the carrier fails to answer a command as it should."""

    NONE = "none"
    FAILS_BEFORE = "500 once, not performed"
    FAILS_AFTER = "500 once, performed"
    SLOW = "performed, answered late"
    UNAVAILABLE = "503 always"
    FORBIDDEN = "403 always"
    NO_CHANNEL = "422 with 90041 to a dial or transfer"
    TOO_MANY_DIALS = "429 with 90103 once to a dial"
    INACTIVE = "403 with 20012 always"
    LIMITED = "429 once"


_FAR_ENDS: dict[str, FarEnd] = {
    "+12025550180": Answers(talk_s=TALK_S),
    "+12025550181": Refuses(ending=Ending(cause="unspecified", source="callee", sip="480")),
    "+12025550182": Refuses(ending=Ending(cause="unspecified", source="unknown", sip="503")),
    "+12025550183": Refuses(ending=Ending(cause="call_rejected", source="callee", sip="603")),
    "+12025550184": Refuses(ending=Ending(cause="not_found", source="callee", sip="404")),
    "+12025550185": Refuses(ending=Ending(cause="call_rejected", source="unknown", sip="403")),
    "+12025550186": Refuses(ending=Ending(cause="user_busy", source="callee", sip="486")),
    "+12025550187": Answers(after_s=SLOW_ANSWER_AFTER_S),
    "+12025550188": StaysSilent(),
    **{f"+1202555016{key}": Answers(keys=(str(key),)) for key in range(10)},
}
_FAULTS = {
    "+12025550150": CommandFault.FAILS_BEFORE,
    "+12025550151": CommandFault.FAILS_AFTER,
    "+12025550152": CommandFault.SLOW,
    "+12025550153": CommandFault.UNAVAILABLE,
    "+12025550154": CommandFault.FORBIDDEN,
    "+12025550155": CommandFault.NO_CHANNEL,
    "+12025550156": CommandFault.TOO_MANY_DIALS,
    "+12025550157": CommandFault.INACTIVE,
    "+12025550159": CommandFault.LIMITED,
}
_DETECTION_RESULTS = {
    "+12025550171": DetectionResult(result="machine", premium_result="machine", beeps=True),
    "+12025550172": DetectionResult(result="machine", premium_result="machine"),
    "+12025550173": DetectionResult(result="not_sure", premium_result="not_sure"),
    "+12025550174": DetectionResult(result="not_sure", premium_result="fax_detected"),
    "+12025550175": DetectionResult(result="not_sure", premium_result="silence"),
}
_RECORDINGS_FAIL = "+12025550178"


def far_end_of(called: str) -> FarEnd:
    """How the party at a number or SIP URI behaves."""
    return _FAR_ENDS.get(_number_in(called), Answers())


def keys_of(party: str) -> tuple[str, ...]:
    """The keys that the party at a number enters at a prompt; empty for none."""
    far_end = far_end_of(party)
    return far_end.keys if isinstance(far_end, Answers) else ()


def detection_result_of(called: str) -> DetectionResult:
    """What detection finds at a number."""
    return _DETECTION_RESULTS.get(_number_in(called), DetectionResult())


def recordings_fail(party: str) -> bool:
    """Whether recordings of legs with this party end in call.recording.error."""
    return _number_in(party) == _RECORDINGS_FAIL


def fault_of(called: str) -> CommandFault:
    """The fault of commands that concern a number or SIP URI."""
    return _FAULTS.get(_number_in(called), CommandFault.NONE)


_SIP_USER = re.compile(r"^sips?:(?P<user>[^@;:]+)@")


def _number_in(called: str) -> str:
    match = _SIP_USER.match(called)
    user = match["user"] if match else called.partition(",")[0]
    digits = _SEPARATORS.sub("", user).removeprefix("+")
    return f"+{digits}" if digits.isdecimal() else user


_SEPARATORS = re.compile(r"[\s().-]")
