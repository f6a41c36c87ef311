"""What an answer of the carrier means. Pure; the worker decides about retries.

    answer                              outcome    what a worker does
    2xx, whatever the body              Accepted   record the success
    422 with 90018, for a hangup        Accepted   record it: the leg had ended already
    any other 4xx (also 3xx)            Refused    record the failure, with its group
    a 4xx that rejects a duplicate      Accepted   record it: see `_accepted_before`
    429, 90103                          Busy       wait `retry_after_s`, send the same again
    408, 5xx, 10008, 10037              NoAnswer   back off, send the same again

Status and code identify an error (`offhook.telnyx.error_codes`).
Source: developers.telnyx.com `sending-commands`, `command-retries`, `rate-limiting`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from offhook.codec.lenient_json import NotJson, read_json
from offhook.events import FailureReason
from offhook.telnyx.error_codes import (
    DIALS_PER_SECOND,
    Group,
    group_of,
    is_of_the_command,
    is_own_doing,
)

# An answer is kept in the log.
ANSWER_BYTES_MAX = 128 * 1024
ERRORS_MAX = 10
RETRY_AFTER_DEFAULT_S = 1.0
RETRY_AFTER_MIN_S = 0.1
RETRY_AFTER_MAX_S = 60.0
RESET_MAX_S = 3600.0

LEG_GONE: frozenset[Group] = frozenset({"call_ended", "leg_unknown", "not_found"})
"""The leg of the command has ended, or does not exist."""


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """The carrier's limit on requests for the whole account, as an answer states it."""

    limit: int
    remaining: int
    reset_s: float  # until the count starts again


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The carrier accepted the command, or it was not needed; `note` says why if it is not obvious.

    `answer` is the whole body, empty if it could not be read: the ids then come from webhooks only.
    """

    status: int
    answer: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    rate: RateLimit | None = None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The carrier refused the command, and would refuse it again.

    `maybe_taken`: an earlier attempt may have been accepted, before the reason of this refusal
    existed.
    """

    status: int
    group: Group
    detail: str
    errors: tuple[dict[str, Any], ...] = ()  # the carrier's own
    rate: RateLimit | None = None
    maybe_taken: bool = False

    @property
    def reason(self) -> FailureReason:
        """The reason as the log records it."""
        return self.group if self.group in ("unauthorized", "call_ended") else "refused"


@dataclass(frozen=True, kw_only=True)
class Busy:
    """Over a limit, and not performed: the same command may be sent again after `retry_after_s`."""

    retry_after_s: float
    detail: str
    dials_only: bool = False  # too many dials: other commands may be sent


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """The outcome is not known; the same command may be sent again.

    `maybe_taken` is False if this attempt certainly had no effect (no connection was made, or the
    status was a refusal whose body got lost). After the first True, attempts are `repeated`.
    """

    detail: str
    maybe_taken: bool = True


Outcome = Accepted | Refused | Busy | NoAnswer


def outcome_of(
    operation: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    repeated: bool = False,
) -> Outcome:
    """What an answer means. `headers` have lower-case names, or ignore case as httpx's do.

    `repeated` says that the carrier may have accepted this `command_id` before: an earlier attempt
    ended in `NoAnswer(maybe_taken=True)`, or a worker that did not report back may have sent it.
    The documents say that a repeated `command_id` is ignored for 60 s, not how it is answered:

    - the first answer again: a 2xx with the ids, as any other;
    - a 2xx without ids: accepted; the ids come from the webhooks;
    - a 4xx: it may reject the duplicate, or refuse the command (`_accepted_before`).
    """
    rate = rate_limit_of(headers)
    if 200 <= status < 300:
        return _accepted(status, body, rate)
    errors = _errors_of(body)
    detail = _detail_of(status, errors)
    codes = frozenset(str(error.get("code")) for error in errors)
    group = group_of(status, codes)
    if group == "rate":
        dials_only = DIALS_PER_SECOND in codes
        return Busy(retry_after_s=_retry_after_s(headers), detail=detail, dials_only=dials_only)
    if group == "no_answer":
        return NoAnswer(detail=detail)
    refused = Refused(status=status, group=group, detail=detail, errors=errors, rate=rate)
    return _outcome_of_refusal(operation, refused, repeated=repeated)


def _outcome_of_refusal(operation: str, refused: Refused, *, repeated: bool) -> Accepted | Refused:
    """The refusal, or acceptance where it is due to an earlier attempt or to the leg's end.

    `maybe_taken` stays False for the refusal of a repeated command only if the first attempt met it
    too. Otherwise its reason may be newer: the leg has ended, the key was revoked.
    """
    status, group, errors = refused.status, refused.group, refused.errors
    if operation == "hangup" and group == "call_ended":
        return Accepted(status=status, note="already ended", rate=refused.rate)
    if not repeated:
        return refused
    if note := _accepted_before(operation, status, group, errors):
        return Accepted(status=status, note=f"{note} ({refused.detail})", rate=refused.rate)
    met_by_first = is_of_the_command(group) or _is_of_a_value(group, errors)
    return replace(refused, maybe_taken=not met_by_first)


def _accepted_before(
    operation: str, status: int, group: Group, errors: tuple[dict[str, Any], ...]
) -> str:
    """Why a refusal of a repeated command counts as accepted; empty if it does not.

    A 4xx may reject the duplicate, so that the first attempt was accepted, or refuse the command,
    so that the first attempt never arrived or was refused likewise. The refusal is believed if the
    first attempt would have met it too: its group is not one that the first attempt causes
    (`is_own_doing`), or an error points at a parameter other than `command_id`. Anything else
    counts as accepted. If that is wrong, the flow waits for a webhook that does not come, and its
    timer takes over; to believe a refusal wrongly would let the flow dial a second time. A repeated
    hangup or reject whose leg is gone (90018, 90015, 404) has had its effect.
    """
    if status < 400 or status == 401 or group in ("unauthorized", "account", "not_permitted"):
        return ""
    if operation in ("hangup", "reject") and group in LEG_GONE:
        return "already ended"
    if any(_is_about_command_id(error) for error in errors):
        return "taken before: the carrier rejects the repeated command_id"
    if not is_own_doing(group) or _points_elsewhere(errors):
        return ""
    return "probably taken before: webhooks show what happened"


def _points_elsewhere(errors: tuple[dict[str, Any], ...]) -> bool:
    """Whether the refusal is about a parameter other than command_id."""
    return any(place for error in errors if "command_id" not in (place := _place_of(error)))


def _is_of_a_value(group: Group, errors: tuple[dict[str, Any], ...]) -> bool:
    """Whether the refusal is about a value that no time changes: not about a leg it names."""
    if group not in ("unexplained", "not_found"):
        return False
    places = {_place_of(error) for error in errors} - {""}
    return any(not place.endswith(("call_control_id", "link_to")) for place in places)


def _is_about_command_id(error: Mapping[str, Any]) -> bool:
    if "command_id" in _place_of(error):
        return True
    words = f"{error.get('title', '')} {error.get('detail', '')}".lower()
    return "command_id" in words or "duplicate" in words


def _place_of(error: Mapping[str, Any]) -> str:
    """The place of the error in the request: `to`, `connection_id` …; empty if none is given."""
    source = error.get("source")
    if not isinstance(source, dict):
        return ""
    return str(source.get("pointer") or source.get("parameter") or "").strip("/")


def _accepted(status: int, body: bytes, rate: RateLimit | None) -> Accepted:
    if len(body) > ANSWER_BYTES_MAX:
        note = f"its answer of {len(body)} bytes was not kept"
        return Accepted(status=status, note=note, rate=rate)
    answer = _json_of(body)
    if not isinstance(answer, dict):
        # The status says that it was accepted; another attempt could only do harm.
        return Accepted(status=status, note="its answer could not be read", rate=rate)
    return Accepted(status=status, answer=answer, rate=rate)


def _json_of(body: bytes) -> Any:
    try:
        return read_json(body)[0]
    except NotJson:
        return None


def _errors_of(body: bytes) -> tuple[dict[str, Any], ...]:
    document = _json_of(body) if len(body) <= ANSWER_BYTES_MAX else None
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list):
        return ()
    return tuple(error for error in errors if isinstance(error, dict))[:ERRORS_MAX]


def _detail_of(status: int, errors: tuple[dict[str, Any], ...]) -> str:
    if not errors:
        return str(status)
    first = errors[0]
    words = [str(status), str(first.get("code", "")), str(first.get("title", ""))]
    detail = first.get("detail")
    return " ".join(word for word in words if word) + (f": {detail}" if detail else "")


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """The longer of the two headers' seconds, within bounds.

    A date, a word or a point in time is ignored: the whole fleet would wait for it, hangups too.
    """
    waits = [
        wait
        for name in ("x-ratelimit-reset", "retry-after")
        if (wait := _number(headers.get(name))) is not None and wait <= RESET_MAX_S
    ]
    wait_s = max(waits, default=RETRY_AFTER_DEFAULT_S)
    return min(max(wait_s, RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S)


def rate_limit_of(headers: Mapping[str, str]) -> RateLimit | None:
    """From the three rate headers; None unless all are there and make sense.

    The reset is documented as the seconds to go; a point in time, as others send, is no such thing.
    """
    limit, remaining, reset_s = (
        _number(headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining", "reset")
    )
    if limit is None or remaining is None or reset_s is None or reset_s > RESET_MAX_S:
        return None
    return RateLimit(limit=int(limit), remaining=int(remaining), reset_s=reset_s)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
