"""Calls of the official SDK with every parameter set, made from the SDK's own type definitions.

A method is called in several turns. Each turn takes the next value of an enum, the other of true
and false, the next of several types, and a list of another length, so that one turn has what the
other has not. What types do not say (a number must be E.164) is in TEXTS, NUMBERS and KEYS by name;
what the documents do not allow together is in RULES.
"""

import base64
import collections.abc
import inspect
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from telnyx import omit
from typing_extensions import get_type_hints, is_typeddict

TURNS_MIN = 4

NOT_PARAMETERS = frozenset({"self", "extra_headers", "extra_query", "extra_body", "timeout"})

TEXTS: Mapping[str, Sequence[str]] = {
    "audio_url": ("https://example.com/a.mp3?b=c&d=%20",),
    "billing_group_id": ("f5586561-8ff0-4291-a0ac-84fe544797bd",),
    "body": ('{"a": "\\u00e9 \\n"}', ""),
    "client_state": (base64.b64encode("hällo ☎".encode()).decode(), ""),
    "call_control_id_to_bridge_with": ("v3:another-leg",),
    "content_type": ("application/json", "text/plain; charset=utf-8"),
    "conversation_relay_url": ("wss://example.com/relay",),
    "custom_file_name": ("my-file",),
    "digits": ("1www2WABCD*#",),
    "from_": ("+12025550102",),
    "from_display_name": ("Front Desk-_~!.+ 1",),
    "hold_audio_url": ("https://example.com/hold.mp3",),
    "invalid_audio_url": ("https://example.com/invalid.mp3",),
    "link_to": ("v3:another-leg",),
    "loop": ("infinity",),
    "park_after_unbridge": ("self",),
    "playback_content": ("SUQzBA==",),
    "postal_code": ("20500", " 20500 "),
    "queue": ("support",),
    "queue_name": ("support",),
    "reason": ("Späti, 100% sure",),
    "record_custom_file_name": ("my-file",),
    "send_digits_on_answer": ("1w2W#", ""),
    "sip_address": ("sip:friend@example.com;transport=tls",),
    "stop": ("current", "all"),
    "stream_url": ("wss://example.com/media",),
    "target_leg_client_state": ("aGVsbG8=", ""),
    "target_legs": ("self", "both"),
    "terminating_digit": ("#", ""),
    "to": ("+12025550110", "sip:friend@example.com"),
    "track": ("inbound", "outbound"),
    "transcription_tracks": ("inbound", "both"),
    "url": ("wss://example.com/relay",),
    "webhook_url": ("https://example.com/hooks?a=b",),
    "webhook_urls": ("https://example.com/hangups", "https://example.com/too"),
    "video_room_id": ("0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",),
}
"""By parameter, or entry of an object; any other text is everything at once, or empty."""

NUMBERS: Mapping[str, Sequence[float]] = {
    "amount": (0.1, 12.34, 5, 1.0),
    "attenuation_limit": (0, 100),
    "beep_spectral_min_purity": (0.0, 1, 0.75),
    "duration_millis": (100, 500),
    "enhancement_level": (0.0, 1, 0.8),
    "max_size": (1, 300),
    "octaves": (-1, 0.0, 0.5),
    "record_max_length": (0, 43200),
    "record_timeout_secs": (0, 5),
    "semitone": (-14, 0.0, 2.5),
    "session_timeout_secs": (0, 90),
    "time_limit_secs": (30, 14400),
}
"""By parameter, or entry of an object; any other number is one of INTEGERS or FLOATS."""

INTEGERS: Sequence[int] = (10, 20)
FLOATS: Sequence[float] = (0.5, 1, 1.0, 2.25)

KEYS: Mapping[str, str] = {
    "webhook_retries_policies": "call.hangup",
    "webhook_urls": "call.hangup",
}
"""The key in a map, by parameter or entry; any other key is as odd as a text."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What the documents allow in a turn: without some parameters (or entries: `object.entry`), or
    with others as given.
    """

    without: frozenset[str] = frozenset()
    given: Mapping[str, Any] = field(default_factory=dict)


def _apart(*names: str) -> tuple[Rule, ...]:
    """Only one of the names at a time: each in its turn."""
    return tuple(Rule(without=frozenset(names) - {name}) for name in names)


# "When using `basic`, only the `en-US` language and payload type `text` are allowed."
_SPOKEN = (
    Rule(given={"service_level": "basic", "language": "en-US", "payload_type": "text"}),
    Rule(given={"service_level": "premium"}),
)

# The carrier takes GET as well, but ingress does not.
_POST = {"webhook_url_method": "POST", "webhook_urls_method": "POST"}

RULES: Mapping[str, Sequence[Rule]] = {
    "answer": (Rule(given=_POST),),
    # "media_name and audio_url cannot be used together in one request.", of hold_… too.
    "dial": (
        Rule(without=frozenset({"media_name", "conference_config.hold_media_name"}), given=_POST),
        Rule(without=frozenset({"audio_url", "conference_config.hold_audio_url"}), given=_POST),
    ),
    "transfer": (
        Rule(without=frozenset({"audio_url"}), given=_POST),
        Rule(without=frozenset({"media_name"}), given=_POST),
    ),
    # Of queue and video_room_id: "This parameter cannot be used together with …" the other one or
    # call_control_id, which the SDK requires all the same, and leaves out if told so.
    "bridge": (
        Rule(without=frozenset({"queue", "video_room_id", "video_room_context"})),
        Rule(
            without=frozenset({"video_room_id", "video_room_context"}),
            given={"call_control_id_to_bridge_with": omit},
        ),
        Rule(without=frozenset({"queue"}), given={"call_control_id_to_bridge_with": omit}),
    ),
    "gather_using_audio": (
        Rule(without=frozenset({"media_name", "invalid_media_name"})),
        Rule(without=frozenset({"audio_url", "invalid_audio_url"})),
    ),
    "gather_using_speak": _SPOKEN,
    "speak": _SPOKEN,
    # "Cannot be used together with `payment_token`."
    "pay": _apart("payment_token", "valid_card_types"),
    # As with dial. "When `overlay` is enabled, `target_legs` is limited to `self`."
    "start_playback": (
        Rule(without=frozenset({"media_name"}), given={"overlay": True, "target_legs": "self"}),
        Rule(without=frozenset({"audio_url"}), given={"overlay": False}),
    ),
}
"""Method -> its rules, in turn. Where nothing is said every parameter is set in every turn."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a method: its arguments by name, with those of the path."""

    method: str
    turn: int
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method}, turn {self.turn}"


def methods_of(resource: type) -> Mapping[str, Any]:
    """The public methods of a resource of the SDK that ask the carrier something."""
    return {
        name: method
        for name, method in inspect.getmembers(resource, inspect.isfunction)
        if not name.startswith("_")
    }


def calls_of(resource: type, method: str) -> Iterator[Call]:
    """The turns of a method: as many as a parameter has types, so that each is seen."""
    function = methods_of(resource)[method]
    hints = get_type_hints(function, include_extras=True)
    names = [name for name in inspect.signature(function).parameters if name not in NOT_PARAMETERS]
    rules = RULES.get(method, (Rule(),))
    for turn in range(max(TURNS_MIN, *(len(_kinds(hints[name])) for name in names))):
        rule = rules[turn % len(rules)]
        arguments = {name: value_of(hints[name], name, turn) for name in names}
        for place in rule.without:
            name, _, entry = place.partition(".")
            del (arguments[name] if entry else arguments)[entry or name]
        yield Call(method=method, turn=turn, arguments=arguments | dict(rule.given))


def _kinds(kind: Any) -> Sequence[Any]:
    """The types that a value may have, without the sign for "left out"."""
    if get_origin(kind) not in (Union, types.UnionType):
        return (kind,)
    return [each for each in get_args(kind) if getattr(each, "__name__", "") != "Omit"]


def value_of(kind: Any, name: str, turn: int, within: tuple[Any, ...] = ()) -> Any:
    """A value of this type, another one each turn. `name` is the parameter's or the entry's."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Required, NotRequired, Annotated):
        return value_of(inner[0], name, turn, within)
    if origin is Literal:
        return inner[turn % len(inner)]
    if origin in (Union, types.UnionType):
        kinds = _kinds(kind)
        return value_of(kinds[turn % len(kinds)], name, turn, within)
    if origin in (list, collections.abc.Iterable, collections.abc.Sequence):
        return [value_of(inner[0], name, turn + place, within) for place in range(1 + turn % 2)]
    if origin in (dict, collections.abc.Mapping):
        return {KEYS.get(name, f"a {name}"): value_of(inner[1], name, turn, within)}
    if is_typeddict(kind):
        entries = get_type_hints(kind, include_extras=True)
        return {
            entry: value_of(inner_kind, entry, turn, (*within, kind))
            for entry, inner_kind in entries.items()
            if kind not in within
        }
    return _plain(kind, name, turn)


def _plain(kind: Any, name: str, turn: int) -> Any:
    if kind is bool:
        return turn % 2 == 0
    if kind is str:
        texts = TEXTS.get(name, (f'ä "{name}" \\ ☎ {turn}', ""))
        return texts[turn % len(texts)]
    if kind in (int, float):
        numbers = NUMBERS.get(name, INTEGERS if kind is int else FLOATS)
        return numbers[turn % len(numbers)]
    if kind is type(None):
        return None
    assert kind is object, f"{name}: no value is known for {kind!r}"
    return ANYTHING[turn % len(ANYTHING)]


ANYTHING: Sequence[Any] = (
    {"none": None, "false": False, "zero": 0, "float": 1.0, "ä": [[], {}], "": ""},
    "",
    0.5,
    [None, -0.0, 10**15],
)
