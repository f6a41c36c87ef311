"""Options by which the commands of history choose records."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from offhook.cli.options import UsageWrong, keyword_options
from offhook.errors import SelectionInvalid, shown
from offhook.history.selection import Selection, moment_from
from offhook.position import position_from


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The options; None for one that was not given."""

    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Records stored at this time or later: RFC 3339, or how long ago (15m, 2h, 7d).",
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Records stored before this time."),
    ] = None
    from_position: Annotated[
        str | None,
        typer.Option(
            metavar="POSITION",
            help="First position, inclusive: a number, or partition:sequence, as 2:1234.",
        ),
    ] = None
    to_position: Annotated[
        str | None, typer.Option(metavar="POSITION", help="Last position, inclusive.")
    ] = None
    session: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Records of this session. May be repeated."),
    ] = None
    number: Annotated[
        list[str] | None,
        typer.Option(
            metavar="E164",
            help="All records of the sessions with this number as caller or called party of any "
            "leg or failed dial. May be repeated.",
        ),
    ] = None
    type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE",
            help="Records of this event type (call.hangup) or record type (Decided)."
            " May be repeated.",
        ),
    ] = None


SELECTION = keyword_options(_Chosen)
"""For `with_options`."""


def selection_of(**options: Any) -> Selection:
    """What the options mean. Raises UsageWrong."""
    try:
        return _selection(datetime.now(UTC), _Chosen(**options))
    except SelectionInvalid as error:
        raise UsageWrong(str(error)) from None


def _selection(now: datetime, chosen: _Chosen) -> Selection:
    return Selection(
        since=_moment("--since", chosen.since, now),
        until=_moment("--until", chosen.until, now),
        first_position=_position("--from-position", chosen.from_position),
        last_position=_position("--to-position", chosen.to_position),
        sessions=_each(chosen.session),
        numbers=_each(chosen.number),
        types=_each(chosen.type),
    )


def _moment(option: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        return moment_from(text, now)
    except SelectionInvalid as error:
        raise SelectionInvalid(f"{option}: {error}") from None


def _position(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if (position := position_from(text)) is None:
        raise SelectionInvalid(
            f"{option}: {shown(text)} is not a position; expected one of the log, such as "
            "281474976711890 or, the same as partition and sequence, 2:1234"
        )
    return position


def _each(values: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values or ()))
