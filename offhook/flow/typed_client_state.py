"""Typed `client_state`: a dataclass in, a dataclass out. Pure.

    @dataclass(frozen=True, kw_only=True)
    class Order:
        number: int

    Dial(…, client_state=client_state(Order(number=7)))
    state_of(Order, event)  # Order(number=7), on every later event of that leg

The carrier takes base64, gives it back with every webhook of the leg until another one is set, and
reads nothing in it. Ours is JSON with the class's name, so that a state of another flow, or of
another program, is not taken for one of this.
"""

import base64
import binascii
import dataclasses
from typing import TypeVar

import msgspec

CLIENT_STATE_CHARS_MAX = 4096
"""Of base64. The carrier documents no limit; all of it travels with every webhook of the leg."""


State = TypeVar("State")


def client_state(value: object) -> str:
    """The value for `client_state` of a command. Raises ValueError if it is too large.

    `value` is an instance of a dataclass whose fields are plain (numbers, text, times, lists …).
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise ValueError(f"client_state is {value!r}; expected an instance of a dataclass")
    document = {type(value).__name__: value}
    text = base64.b64encode(msgspec.json.encode(document)).decode()
    if len(text) > CLIENT_STATE_CHARS_MAX:
        raise ValueError(
            f"client_state of {type(value).__name__} takes {len(text)} characters of base64; "
            f"at most {CLIENT_STATE_CHARS_MAX}"
        )
    return text


def state_of(kind: type[State], event_or_leg: object) -> State | None:
    """The state in an event or a leg of a session; None without one, or if it is of another class.

    Never raises: the state may be of another flow, of an older version of this one, or no state of
    ours at all. An event that is not the carrier's has none.
    """
    text = getattr(event_or_leg, "client_state", None)
    if not isinstance(text, str):
        return None
    try:
        document = msgspec.json.decode(
            base64.b64decode(text, validate=True), type=dict[str, msgspec.Raw]
        )
        if list(document) != [kind.__name__]:
            return None
        return msgspec.json.decode(document[kind.__name__], type=kind)
    except (binascii.Error, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
