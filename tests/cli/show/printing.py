"""Sessions of example records, and `offhook show` of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console

from offhook.cli.show.text import session_text
from offhook.codec.facts import decode, fact_id_of
from offhook.events import Decided, IssuedCommand, Record
from tests.projections.story import NOON, Entry


def printed(
    entries: Sequence[Entry],
    *,
    width: int | None = None,
    last: int | None = None,
    now: datetime = NOON,
) -> str:
    """Session s as it is printed; without a width, no line is broken."""
    return shown(records_of(entries), width=width, last=last, now=now)


def shown(
    records: Sequence[Record],
    *,
    session_id: str = "s",
    width: int | None = None,
    last: int | None = None,
    now: datetime = NOON,
) -> str:
    """The same of records."""
    console = Console(width=width or 80)
    with console.capture() as captured:
        console.print(session_text(session_id, records, last, now=now, width=width), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def records_of(entries: Sequence[Entry]) -> list[Record]:
    """Of session s, one a second."""
    facts = [decode(each.encoded.type, each.encoded.version, each.encoded.body) for each in entries]
    return [
        Record(
            seq=seq,
            stored_at=NOON + timedelta(seconds=seq),
            session_id="s",
            fact=fact,
            fact_id=fact_id_of(fact, "s"),
        )
        for seq, fact in enumerate(facts, start=1)
    ]


def decision(*commands: IssuedCommand, cause_seq: int = 1, **more: Any) -> Decided:
    """By frontdesk 7."""
    return Decided(
        cause_seq=cause_seq,
        cause_id="e",
        flow="frontdesk",
        flow_version="7",
        worker="w",
        lease_s=3.0,
        commands=commands,
        **more,
    )
