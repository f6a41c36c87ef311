"""Which names stand for secrets, and JSON without their values. Pure.

Commands' parameters are stored in the log as they were sent, passwords included: what is shown of
them, in an error, an API reply or a terminal, goes through here first.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

HIDDEN = "(hidden)"

LEVELS_MAX = 100
TOO_DEEP = "(nested too deep)"
"""Replaces what is below: a webhook may be nested deeper than JSON can be written."""

SECRET_IN_URL = r"pass|pwd|secret|token|jwt|key|sig|hmac|cred|auth"
"""Part of the name of a query parameter whose value is hidden. Broader than `is_secret_name`: the
names in a URL are anybody's, and hiding a harmless value costs nothing."""

NAMES_KNOWN_MAX = 1_000
"""Names of which it is remembered whether they are of a secret: most come again and again."""

RECORDINGS = frozenset({"recording_urls", "public_recording_urls"})
"""Fields of the carrier with links by format: their reader wants them, signature and all.

They hold for ten minutes."""


@lru_cache(maxsize=NAMES_KNOWN_MAX)
def is_secret_name(name: str) -> bool:
    """Whether a field, parameter or header of this name holds a secret: `sip_auth_password`."""
    return _SECRET_NAME.search(name) is not None


def hidden(value: Any, levels: int = LEVELS_MAX) -> Any:
    """A copy of the JSON value with HIDDEN for texts and numbers that have a secret's name.

    A header, `{"name": "X-Api-Key", "value": …}`, has the name that it gives itself. In URLs the
    user and password are hidden, and the values of secret parameters.
    """
    if isinstance(value, _PLAIN):  # most are: comparing them with Mapping costs more than the rest
        return _hidden_in_url(value) if isinstance(value, str) and "://" in value else value
    match value:
        case Mapping() | list() | tuple() if not levels:
            return TOO_DEEP
        case {"name": str(header), "value": str() | int() | float()} if is_secret_name(header):
            return {**hidden({**value, "value": None}, levels), "value": HIDDEN}
        case Mapping():
            return {
                name: item
                if name in RECORDINGS and _is_links(item)
                else HIDDEN
                if _may_be_secret(item) and is_secret_name(name)
                else hidden(item, levels - 1)
                for name, item in value.items()
            }
        case list() | tuple():
            return [hidden(item, levels - 1) for item in value]
        case _:
            return value


_PLAIN = (str, int, float, type(None))


def _hidden_in_url(text: str) -> str:
    def seen(parameter: "re.Match[str]") -> str:
        is_secret = _SECRET_IN_URL.search(parameter["name"]) is not None
        return f"{parameter['name']}={HIDDEN}" if is_secret else parameter[0]

    return _PARAMETER.sub(seen, _USER.sub(f"{HIDDEN}@", text))


# Anybody's texts come here, and they may be long: neither reads a character again and again.
_USER = re.compile(r"(?<=://)[^/?#\s@]{1,300}@")
_PARAMETER = re.compile(r"(?P<name>[?&#][^?&#=\s]{1,100})=[^&#\s\"'<>]+")
_SECRET_IN_URL = re.compile(SECRET_IN_URL, re.IGNORECASE)


def _is_links(item: Any) -> bool:
    return isinstance(item, Mapping) and all(isinstance(each, str) for each in item.values())


def _may_be_secret(item: Any) -> bool:
    return isinstance(item, _TEXT_OR_NUMBER) and not isinstance(item, bool)


_TEXT_OR_NUMBER = (str, int, float)


# Parameters, and headers that providers of SIP and of HTTP know: X-Api-Key, Proxy-Authorization.
_SECRET_NAME = re.compile(
    r"(password|passwd|token|secret|(api|secret|access|private)[-_]?key|authorization)$",
    re.IGNORECASE,
)
