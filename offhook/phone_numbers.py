"""Whether two texts are the same number. Pure.

The carrier spells a called number in several ways; these are all the same:

    +12025550101   12025550101   +1 (202) 555-0101   tel:+12025550101
    sip:+12025550101@acme.sip.telnyx.com;transport=tls   +12025550101@203.0.113.7:5060

A country code is never guessed: 2025550101 is another number. A SIP user that is not a number is
compared with its host; the host's case does not matter, the user's does (RFC 3261, 19.1.4).
"""

import re
from urllib.parse import unquote


def number_key(text: str) -> str:
    """A key that is the same for every spelling of one number or SIP address, and of no other."""
    text = text.strip()
    scheme = _SCHEME.match(text)
    address = text[scheme.end() :] if scheme else text
    user, at, host = address.partition("@")
    if not at:
        # Digits to play after the answer may follow a dialled number.
        user = user.partition(",")[0]
    user = unquote(user.partition(";")[0].partition(":")[0])
    digits = _SEPARATORS.sub("", user).removeprefix("+")
    if _DIGITS.fullmatch(digits):
        return digits
    if at:
        return f"{user}@{re.split('[;:?]', host, maxsplit=1)[0].lower()}"
    return text


def spellings(text: str) -> set[str]:
    """The text, and how the carrier spells it if it is a number; without SIP addresses."""
    key = number_key(text)
    return {text, key, f"+{key}"} if _DIGITS.fullmatch(key) else {text}


_SCHEME = re.compile(r"(?:sips?|tel):", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s().-]")
# Fewer digits are an extension, which differs from host to host. E.164 has up to 15 digits.
_DIGITS = re.compile(r"[0-9]{7,15}")
