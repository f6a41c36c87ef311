"""The carrier's error codes in groups, by what a worker and a flow can do about them. Data.

    group            meaning                                        its answer counts as
    unauthorized     the key is wrong                               refused, readiness red
    account          the account is stopped: no funds, blocked      refused, readiness red
    not_permitted    this account may not do this                   refused
    rate             too many requests; nothing was done            wait, the same again
    no_answer        not known                                      back off, the same again
    call_ended       the leg is over                                done for a hangup, else refused
    leg_unknown      no such leg (any more)                         refused
    not_found        something that the command names is not there  refused
    already_so       the state that the command asks for, or left   refused; done if repeated
    duplicate        the same thing is there, or under way          refused; done if repeated
    capacity         channels, queues, conferences are full         refused; done if repeated
    wrong_state      not possible in this state                     refused
    media_failed     the carrier could not fetch or start media     refused
    wrong_value      a parameter, or the request's form             refused
    unexplained      no code, an unknown or an unspecific one       refused; done if repeated

"Done if repeated": the first try of the same command may have been taken, and then this refusal is
what the retry meets (`offhook.telnyx.outcomes`). An error is identified by status *and* code,
because the carrier uses 10007 and 10011 with several statuses.

Capacity is not retried: the carrier may remember a refused command_id for 60 s, and a dial that
succeeds late rings for somebody who is gone. The flow receives the failure and can dial again.

Source: developers.telnyx.com `api-errors`, as copied in team-telnyx/knowledge-base 96101f56; error
examples of team-telnyx/openapi `spec3.yml` 12de4dd0; `dials-per-second-limit`; for codes with a D
`sip-response-codes` (the carrier's own skills say that a forbidden dial is answered with them).
"""

import re
from collections.abc import Collection
from typing import Literal

from offhook.errors import ParameterInvalid

Group = Literal[
    "unauthorized",
    "account",
    "not_permitted",
    "rate",
    "no_answer",
    "call_ended",
    "leg_unknown",
    "not_found",
    "already_so",
    "duplicate",
    "capacity",
    "wrong_state",
    "media_failed",
    "wrong_value",
    "unexplained",
]

DIALS_PER_SECOND = "90103"
"""The one rate limit that concerns dials alone."""


def group_of(status: int, codes: Collection[str]) -> Group:
    """The group of an answer that is not a 2xx, by its status and all codes in it."""
    if status >= 500 or status == 408:
        return "no_answer"
    if status == 429:
        return "rate"
    found = {_GROUPS[code] for code in codes if code in _GROUPS}
    if status in (401, 403):
        # Nothing else is believed: without access the carrier says nothing about a leg.
        return _first(found & _OF_THE_DOOR) or "unauthorized"
    if status == 422 and CALL_ENDED in codes:
        return "call_ended"
    if status == 404 and not found & _OF_THE_DOOR:
        return "not_found"
    if status == 405:
        return "wrong_value"
    return _first(found) or "unexplained"


def is_own_doing(group: Group) -> bool:
    """Whether a command may meet this refusal just because its first try was taken."""
    return group in ("already_so", "duplicate", "capacity", "unexplained")


def is_of_the_command(group: Group) -> bool:
    """Whether the refusal is about the command as such, so that every try of it meets the same.

    Any other depends on what may have changed since the first try: the leg, the account, the room.
    """
    return group in ("wrong_value", "not_permitted")


def stops_everything(group: str) -> bool:
    """Whether other commands will be refused as well, until somebody does something."""
    return group in ("unauthorized", "account")


def code_of_parameter(error: ParameterInvalid) -> str:
    """The code that the carrier documents for a wrong parameter.

    A missing one is 10004, whatever its name. Otherwise the error page has codes "Invalid value for
    …" for some names; they come before those for a kind of fault (10026, 10032, 10033 …).
    """
    name, rule = error.field, error.rule
    if error.value is None or (error.value == "" and name in _NEVER_BLANK):
        return "10004"
    if rule.startswith(_NO_SUCH_PARAMETER):
        return "10015"
    if not error.inside and (code := _CODE_BY_PARAMETER.get(name)) is not None:
        return code
    if name == "webhook_urls" and rule == _NO_SUCH_EVENT:
        return "90057"
    return next(code for pattern, code in _CODE_BY_RULE if re.search(pattern, rule))


_NEVER_BLANK = ("to", "from", "connection_id")
_NO_SUCH_PARAMETER = "there is no such parameter"
_NO_SUCH_EVENT = "there is no such event type"
_CODE_BY_PARAMETER = {
    "format": "90000",
    "channels": "90001",
    "terminating_digit": "90007",
    "valid_digits": "90008",
    "loop": "90009",
    "payload": "90010",
    "payload_type": "90011",
    "voice": "90012",
    "language": "90013",
    "digits": "90014",
    "stop": "90016",
    "client_state": "90017",
    "target_leg_client_state": "90017",
    "minimum_digits": "90022",
    "maximum_digits": "90023",
    "maximum_tries": "90024",
    "timeout_millis": "90025",
    "inter_digit_timeout_millis": "90026",
    "duration_millis": "90027",
    "timeout_secs": "90028",
    "time_limit_secs": "90029",
    "service_level": "90030",
    "record_timeout_secs": "90049",
    "initial_timeout_millis": "90056",
    "recording_track": "90059",
}
# What a rule of the catalog's says, and the code for breaking it; the first match counts.
_CODE_BY_RULE = (
    (r"E\.164", "10016"),
    (r"^expected one of|^there is no such event type", "10032"),
    (r"^expected .* characters?$", "10025"),
    (r"^expected (at|more|less) |^expected 0, or |^it cannot be greater than", "10033"),
    (r"^expected .*, got ", "10026"),
    (r"^expected a (WebSocket )?URL", "10003"),
    (r"^expected a UUID", "10006"),
    (r"", "10015"),
)


CALL_ENDED = "90018"

# In the order in which they count where an answer has errors of several groups.
CODES: dict[Group, tuple[str, ...]] = {
    "unauthorized": ("10009", "10010", "20001", "20002", "20003", "20006", "20008"),
    "account": ("20012", "20013", "20100"),
    "not_permitted": (
        *("10038", "20014", "20015", "20016", "20017"),
        *(f"D{number}" for number in (*range(10, 18), *range(24, 32), 35, 36, 38, 41, 42, 49)),
        *(f"D{number}" for number in (51, 52, 53, 54, 57)),
    ),
    "rate": (DIALS_PER_SECOND,),
    "no_answer": ("10008", "10037"),
    "leg_unknown": ("90015",),
    "call_ended": (CALL_ENDED,),
    "not_found": ("10001", "10005", "10013", "10017", "90058"),
    "capacity": (
        *("10039", "90032", "90036", "90041", "90042", "90043"),
        *("D1", "D2", "D3", "D5", "D22", "D56"),
    ),
    "wrong_value": (
        # The request's form.
        *("10004", "10014", "10020", "10023", "10024", "10025", "10026", "10028", "10029", "10030"),
        *("10032", "10033", "10034"),
        # A value in it.
        "10011",  # media encryption is not possible; with 429 it means too many requests
        *("10002", "10003", "10006", "10016", "10022", "90017", "90028", "90029", "90057", "90059"),
        *(f"{code}" for code in range(90000, 90015)),
        *("90016", *(f"{code}" for code in range(90021, 90028)), "90030", "90049", "90056"),
        # Of the carrier's other products; no call command is documented to meet one.
        *("10018", "10019", "10031", "10700", "20000", "20004", "20005", "20007", "20009", "20010"),
        *("20011", *(f"{code}" for code in range(20200, 20210)), "90100", "90101"),
    ),
    "wrong_state": (
        *("10021", "90020", "90034", "90037", "90050", "90053", "90055", "90080", "90081", "90102"),
    ),
    "media_failed": ("90040", "90046"),
    "already_so": (
        *("90019", "90031", "90033", "90035", "90038", "90044", "90045", "90047", "90048", "90054"),
        "90061",
    ),
    "duplicate": ("10012", "10035", "10036"),
    "unexplained": ("10007", "10015", "10027"),
}

_GROUPS: dict[str, Group] = {code: group for group, codes in CODES.items() for code in codes}
_OF_THE_DOOR: frozenset[Group] = frozenset(
    {"unauthorized", "account", "not_permitted", "capacity", "rate"}
)


def _first(found: Collection[Group]) -> Group | None:
    return next((group for group in CODES if group in found), None)
