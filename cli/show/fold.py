"""A session's rows as the views have them, folded from its records. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import msgspec

from offhook.codec.facts import fields_of
from offhook.events import CommandRequested, Record, SessionParked
from offhook.position import referred
from offhook.projections.views.commands import COMMANDS, command_rows
from offhook.projections.views.fold import Folded, advanced
from offhook.projections.views.legs import LEGS, leg_rows
from offhook.projections.views.sessions import SESSIONS, detail_at, detail_of, session_view
from offhook.projections.views.view import columns_of
from offhook.redact import hidden
from offhook.session import Session

Rows = Mapping[str, Any]
"""`session`, `legs` and `commands` as the API has them."""


def folded_call(session_id: str, records: Sequence[Record]) -> Folded:
    """The fold of a call's records, those of the dials that placed it among them."""
    folded = Folded(session=Session(session_id=session_id))
    for record in records:
        folded = advanced_call(folded, record)
    return folded


def advanced_call(folded: Folded, record: Record) -> Folded:
    """The fold after the next record."""
    # A dial of another partition has positions that say nothing here.
    return advanced(replace(folded, last_seq=0), record)


def rows_of(folded: Folded) -> Rows:
    """As they are stored, secrets included."""
    return {
        "session": columns_of(SESSIONS.table, session_view(folded)),
        "legs": [columns_of(LEGS.table, row) for row in LEGS.rows_of(folded, 0)],
        "commands": [columns_of(COMMANDS.table, row) for row in COMMANDS.rows_of(folded, 0)],
    }


def detail_of_call(session_id: str, records: Sequence[Record], now: datetime) -> Rows:
    """As GET /sessions/{session_id} has it at `now`, secrets hidden."""
    folded = folded_call(session_id, records)
    detail = detail_of(session_view(folded), leg_rows(folded), command_rows(folded))
    # `asdict`, because a field that was not set when a row was made is only in its class.
    plain: Rows = hidden(msgspec.to_builtins(asdict(detail_at(detail, now))))
    return plain


def parked_entries(records: Sequence[Record]) -> list[Mapping[str, Any]]:
    """The last time the session was parked and what it was parked on, as in its timeline."""
    parked = [record for record in records if isinstance(record.fact, SessionParked)][-1:]
    entries: list[Mapping[str, Any]] = []
    for record in parked:
        assert isinstance(record.fact, SessionParked)
        cause_seq = referred(record.fact.cause_seq, record.seq)
        cause = [each for each in records if each.seq == cause_seq]
        for each in (*cause, record):
            fields = {**fields_of(each.fact)}
            if each is record:
                fields["cause_seq"] = cause_seq
            entries.append({"seq": each.seq, "type": type(each.fact).__name__, "fields": fields})
    return entries


def links_of(session_id: str, detail: Rows, records: Sequence[Record]) -> list[Mapping[str, Any]]:
    """The sessions that dialled this one, then those that it dialled.

    `how` is `requested` (a dial requested through the API, whose id leads to this call too),
    `dialled_by` or `dialled`. `to` is the dialled number.
    """
    requests = {each.session_id for each in records if isinstance(each.fact, CommandRequested)}
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for record in records:
        if record.session_id != session_id:
            how = "requested" if record.session_id in requests else "dialled_by"
            link = {"how": how, "session_id": record.session_id, "to": None}
            found.setdefault((how, record.session_id), link)
    for command in detail["commands"]:
        other = command["answer_session_id"]
        if other not in (None, session_id):
            to = (command["parameters"] or {}).get("to")
            link = {"how": "dialled", "session_id": other, "to": to}
            found.setdefault(("dialled", other), link)
    return list(found.values())
