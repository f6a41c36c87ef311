"""What failed means, of a leg and of a command: every view, list and page decides it here. Pure.

a leg        ended unanswered, and neither side chose that: by its cause, or by its SIP code
a command    was refused, not accepted in time, not allowed or not authorized, or had failed
             attempts when its leg ended; one that only came after the end is a consequence
a session    its flow raised and it is parked, or a leg failed and none was answered later:
             `Session.has_failed`
"""

import re

CHOSEN_CAUSES = frozenset(
    {
        "call_rejected",
        "no_answer",
        "normal_clearing",
        "originator_cancel",
        "timeout",
        "user_busy",
    }
)
"""Causes of a hangup by which an unanswered call is not a failure: somebody chose so, or is away.

The carrier's others are not_found, time_limit and unspecified.
"""

CHOSEN_SIP_CODES = frozenset({"408", "480", "486", "487", "600", "603"})
"""SIP errors of the same kind: RFC 6076 section 4.7 counts 480, 486, 600 and 603 as delivered, 408
is no answer in time, and 487 follows a caller who gave up.

With any other a network refused the call. The carrier's own limits, profiles and routes answer 403,
404, 405, 488 and 5xx (its list of SIP response codes), and the cause may still be call_rejected.
"""


def is_failure(cause: str | None, sip_code: str | None) -> bool:
    """Whether an unanswered leg that ended so has failed; not if its cause is not known."""
    if cause is None:
        return False
    return cause not in CHOSEN_CAUSES or _is_refused(sip_code or "")


def is_command_failure(
    reason: str | None, *, attempts: int | None, http_status: int | None
) -> bool:
    """Whether a command that failed for this reason, after so many attempts, is a failure of its
    own; `http_status` is that of the refusal by the carrier, if that was the last attempt.

    A command whose leg has ended is one if an attempt before that failed: a transfer that got 503
    until the caller gave up may be why the caller gave up. If the end was all that was in its way,
    it only lost a race with the hangup.
    """
    if reason != "call_ended":
        return True
    met_the_end = 0 if http_status is None else 1
    return (attempts or 0) > met_the_end


def _is_refused(sip_code: str) -> bool:
    is_error = _SIP_ERROR.fullmatch(sip_code) is not None  # the carrier's need not be a number
    return is_error and sip_code not in CHOSEN_SIP_CODES


_SIP_ERROR = re.compile(r"[456][0-9]{2}")
