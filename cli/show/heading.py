"""What stands above a session's records: why it ended or failed, and the sessions linked to it."""

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from offhook.cli.printable import printable
from offhook.cli.show.fold import detail_of_call, links_of, parked_entries
from offhook.cli.show.hanging import hanging
from offhook.events import Record
from offhook.wording.why import tone_of, why

STYLES = {"good": "green", "info": "cyan", "warn": "yellow", "bad": "red"}
"""By tone, as on the console's page of a session."""


def heading_lines(
    session_id: str, records: Sequence[Record], now: datetime, width: int | None
) -> list[Text]:
    """The sentences of the console's page of a session, and a line for each linked session."""
    detail = detail_of_call(session_id, records, now)
    parked = parked_entries(records)
    style = STYLES[tone_of(detail, parked)]
    lines: list[Text] = []
    for sentence in why(detail, parked):
        said = " ".join(sentence.split())  # an error may have several lines
        lines += hanging("", Text(printable(said), style), width)
    for link in links_of(session_id, detail, records):
        match link["how"]:
            case "requested":
                text = f"dialled by request {link['session_id']}"
            case "dialled_by":
                text = f"dialled by session {link['session_id']}"
            case _:
                text = f"dialled {link['to'] or 'a leg'} in session {link['session_id']}"
        lines += hanging("", Text(printable(text)), width)
    return lines
