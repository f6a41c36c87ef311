"""Values as cells of a CSV file that no spreadsheet runs as a formula. Pure.

A caller chooses their name, and a spreadsheet that opens the file runs a name that begins with =,
+, - or @. A text that begins so, or with a tab or a line break, gets an apostrophe in front. The
same goes for a formula after a semicolon, tab or line break within the text, which begins a cell
where those separate cells. A plain number such as +12025550101 stays as it is: no formula runs.
Source: OWASP, "CSV Injection".
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec


def cell_of(value: Any) -> str:
    """The value as text: null is empty, times are in RFC 3339, lists and objects in JSON."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return harmless(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Mapping() | Sequence():
            return harmless(msgspec.json.encode(value).decode())
        case _:
            return str(value)


def harmless(text: str) -> str:
    """The text with an apostrophe wherever a formula could begin."""
    return text if _PLAIN_NUMBER.fullmatch(text) else _FORMULA.sub(r"\g<0>'", text)


# Full-width signs too: spreadsheets in some languages read them as the plain ones. A space or a
# control character in front of the sign may be dropped.
_SIGN = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(
    rf"\A(?=[\t\r\n]|[\s\x00-\x1f]*{_SIGN})|[;\t\r\n\v\f][\s\x00-\x1f]*(?={_SIGN})"
)
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
