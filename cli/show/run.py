"""What `offhook show` does: read a call's records from the log, and print them.

It reads the log, so it works without Postgres and shows what the views should contain. Only what
is not there is looked up elsewhere: an archived session through Postgres, the start of an id
through the API. To follow a session it needs the API too, which says when there is something new.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import typer
from rich.console import Console

from offhook.cli.remote.exchange import ErrorResponse, Unanswered, open_api
from offhook.cli.remote.short_ids import session_starting
from offhook.cli.show.archived import LogAndArchive
from offhook.cli.show.call_records import Moment, read_call
from offhook.cli.show.columns import elapsed_from
from offhook.cli.show.diff import changes_between, diff_text
from offhook.cli.show.fold import (
    advanced_call,
    detail_of_call,
    folded_call,
    links_of,
    parked_entries,
    rows_of,
)
from offhook.cli.show.follow import follow_session, width_of
from offhook.cli.show.text import session_text
from offhook.codec.facts import fields_of
from offhook.errors import OperatorFault, RecordUnreadable, SelectionInvalid, SettingInvalid
from offhook.events import Record, session_id_from
from offhook.history.selection import moment_from
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.lookup import StreamLookup
from offhook.position import position_from, position_text
from offhook.projections.views.stored.erasures import ERASED
from offhook.redact import hidden
from offhook.settings import Settings
from offhook.wording.why import why

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def run_show(
    console: Console,
    settings: Settings,
    session: str,
    *,
    last: int | None,
    as_of: str | None,
    diff: tuple[str, str] | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Print the session's records, or what changed between two moments.

    Raises OperatorFault if there are none.
    """
    texts = [text for text in (diff or (as_of,)) if text is not None]
    asked = _Asked(
        session=session, last=last, moments=[_moment_in(text) for text in texts], as_json=as_json
    )
    show = partial(_show, console, settings, is_diff=diff is not None, follow=follow)
    try:
        try:
            asyncio.run(show(asked))
        except _NoRecord as error:
            whole = _whole(settings, session, error)
            asyncio.run(show(replace(asked, session=whole)))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _whole(settings: Settings, start: str, no_record: "_NoRecord") -> str:
    """The id of the one session that starts so. Raises OperatorFault."""
    try:
        with open_api(settings) as api:
            whole = session_starting(api, start)
    except (ErrorResponse, SettingInvalid, Unanswered) as error:
        raise OperatorFault(
            f"{no_record}. If this is the start of an id, the API is needed to look it up: {error}"
        ) from None
    if whole is None or whole == start:
        raise no_record
    return whole


class _NoRecord(OperatorFault):
    """No session has this id, or it is the start of one."""


_Given = int | datetime | timedelta
"""A moment as it was given: a position, a time, or how long after the first record."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    session: str
    last: int | None
    moments: Sequence[_Given]
    as_json: bool


async def _show(
    console: Console, settings: Settings, asked: _Asked, *, is_diff: bool, follow: bool
) -> None:
    client = await connect(settings.nats_url, "show")
    try:
        log = LogAndArchive(client, settings.postgres_url)
        wanted = session_id_from(asked.session)
        stream = StreamLookup(client)
        moments = [await _moment(stream, log, wanted, each) for each in asked.moments]
        until: Sequence[Moment | None] = moments or [None]
        read = [await read_call(log, wanted, each) for each in until]
        session_id, records = max(read, key=lambda each: len(each[1]))
        if not records:
            if asked.session.startswith(ERASED):
                raise OperatorFault(f"session {asked.session} was erased: no record of it is kept")
            missing = f"there is no record of session {asked.session}"
            if moments and await log.read(wanted):
                raise OperatorFault(f"{missing} as of {_moment_text(asked.moments[-1])}")
            trouble = f", and the archive cannot be read: {log.trouble}" if log.trouble else ""
            raise _NoRecord(f"{missing} in the log{trouble}")
        if log.trouble:
            warning = f"only what is in the log, as the archive cannot be read: {log.trouble}"
            Console(stderr=True).print(
                f"warning: {warning}", markup=False, highlight=False, soft_wrap=True
            )
        if is_diff:
            # From the earlier one, whichever was given first: rows are never taken back.
            found = sorted((found for _, found in read), key=len)
            _print_diff(console, session_id, found, as_json=asked.as_json)
        elif asked.as_json:
            now = moments[0].at if moments else None
            shown = _as_json(session_id, records, asked.last, now or datetime.now(UTC))
            print(msgspec.json.encode(shown).decode())  # noqa: T201
        else:
            now = moments[0].at if moments else None
            text = session_text(
                session_id,
                records,
                asked.last,
                now=now or datetime.now(UTC),
                width=width_of(console),
            )
            console.print(text, crop=False)
            if follow:
                await follow_session(console, settings, log, session_id, records)
    except RecordUnreadable as error:
        raise RecordUnreadable(
            f"session {asked.session} has a record that this version cannot read: {error}"
        ) from error
    finally:
        await close(client)


def _moment_in(text: str) -> _Given:
    """The moment. Raises BadParameter."""
    if (position := position_from(text)) is not None:
        return position
    if (since_start := elapsed_from(text.strip())) is not None:
        return since_start
    with contextlib.suppress(SelectionInvalid):
        return moment_from(text, datetime.now(UTC))
    raise typer.BadParameter(
        f"{text!r} is not a moment; expected a position (the seq of a record), the time since the "
        "first record, such as +1.5s or +1:05.123, a time in RFC 3339 with its offset from UTC, "
        "such as 2026-11-22T10:00:00Z, or how long ago, such as 15m"
    )


def _moment_text(moment: _Given) -> str:
    return position_text(moment) if isinstance(moment, int) else str(moment)


async def _moment(
    stream: StreamLookup, log: LogAndArchive, session_id: str, given: _Given
) -> Moment:
    if isinstance(given, datetime):
        return Moment(at=given)
    if isinstance(given, timedelta):
        _, records = await read_call(log, session_id)
        return Moment(at=records[0].stored_at + given if records else None)
    try:
        await stream.require_in_log(given)
    except SelectionInvalid as error:
        raise SelectionInvalid(
            f"{error}; or a time such as 2026-11-22T10:30:00Z, or how long ago, such as 15m"
        ) from None
    return Moment(at=await log.time_of(given), position=given)


def _print_diff(
    console: Console, session_id: str, moments: Sequence[Sequence[Record]], *, as_json: bool
) -> None:
    before, after = (rows_of(folded_call(session_id, records)) for records in moments)
    changes = changes_between(before, after)
    if as_json:
        found = {"session_id": session_id, "changes": changes}
        print(msgspec.json.encode(found).decode())  # noqa: T201
        return
    first, second = (_place(records) for records in moments)
    console.print(f"session {session_id}", style="bold", soft_wrap=True, highlight=False)
    console.print(f"from {first} to {second}", style="dim", soft_wrap=True, highlight=False)
    # Not wrapped: an id that is broken over two lines cannot be copied.
    console.print(diff_text(changes), soft_wrap=True)


def _place(records: Sequence[Record]) -> str:
    if not records:
        return "before its first record"
    return (
        f"{position_text(records[-1].seq)} ({records[-1].stored_at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + ")"
    )


def _as_json(
    session_id: str, records: Sequence[Record], last: int | None, now: datetime
) -> Mapping[str, Any]:
    """Why it ended, linked sessions, and each record with the session after it.

    The session is in the form of the API's `/sessions/{id}?as_of=`.
    """
    shown = []
    folded = folded_call(session_id, [])
    unshown = len(records) - (last or len(records))
    for number, record in enumerate(records):
        folded = advanced_call(folded, record)
        if number < unshown:
            continue
        shown.append(
            {
                "seq": record.seq,
                "session_id": record.session_id,
                "stored_at": record.stored_at,
                "elapsed_s": (record.stored_at - records[0].stored_at).total_seconds(),
                "side": record.side,
                "type": type(record.fact).__name__,
                "fact_id": record.fact_id,
                "fields": hidden(fields_of(record.fact)),
                "after": hidden(rows_of(folded)),
            }
        )
    detail = detail_of_call(session_id, records, now)
    return {
        "session_id": session_id,
        "why": why(detail, parked_entries(records)),
        "links": links_of(session_id, detail, records),
        "records": shown,
    }
