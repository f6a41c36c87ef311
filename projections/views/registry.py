"""Every view and every table, in the order in which a projector writes them.

    event_log        a copy of the log, each event id once: what views can be folded from again
    sessions         a row per session       ┐
    legs             a row per leg           │ the views: derived, a row says up to which seq
    commands         a row per command       │
    queue_visits     a row per queue visit   ┘
    webhook_sums     webhooks by time, counted as they are copied
    leg_sums, leg_classes, leg_costs, leg_repeats  sums over legs, which triggers keep
    hour_changes     how often the rows behind an hour's figures changed, which triggers count
    hours_made, load_hours, command_hours, visit_hours  figures of hours that are over
    command_days, visit_days  figures of days that are over
    parked_sessions  sessions whose records cannot be read or folded; their views are old
    checkpoint       how far the views have come in each partition; fences projectors off
    projectors       who is running, and        ┐ of the projectors alone: no view depends on them
    projector_leases who projects which partition ┘

    archive_segments, archived_sessions    where records are that left event_log
    erasures, erased_sessions              what was erased

No foreign keys: facts come in any order, and what a view refers to may not have come yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, Text

from offhook.projections.views import view
from offhook.projections.views.analytics.hourly.kept import HOURLY_TABLES
from offhook.projections.views.analytics.rollups.tables import ROLLUPS
from offhook.projections.views.analytics.subjects.webhooks import webhook_sums
from offhook.projections.views.commands import COMMANDS
from offhook.projections.views.fold import Folded
from offhook.projections.views.legs import LEGS
from offhook.projections.views.parked import parked_sessions
from offhook.projections.views.progress.checkpoint import checkpoint
from offhook.projections.views.progress.projectors import projector_leases, projectors
from offhook.projections.views.queues import QUEUES
from offhook.projections.views.sessions import SESSIONS
from offhook.projections.views.stored import archive, erasures
from offhook.projections.views.stored.event_log import event_log
from offhook.projections.views.view import View

VIEWS: tuple[View[Any], ...] = (SESSIONS, LEGS, COMMANDS, QUEUES)

DERIVED = (event_log, *(each.table for each in VIEWS), webhook_sums)
"""The tables that hold what the log says, and nothing else."""

TABLES = (*DERIVED, *ROLLUPS, *HOURLY_TABLES, parked_sessions, checkpoint)
"""What a rebuild makes aside."""

RUNNING = (projectors, projector_leases)
"""Of the projectors that are running: not made aside, and of no use once they have ended."""

KEPT = (
    archive.archive_segments,
    archive.archived_sessions,
    erasures.erasures,
    erasures.erased_sessions,
)
"""The tables that no log can give back: a rebuild leaves them as they are."""

metadata = view.metadata
"""With all tables in it, once this module is imported."""

Rows = Mapping[str, Sequence[Any]]
"""Rows by the name of their view."""


def rows_of(folded: Folded, after_seq: int = 0) -> Rows:
    """The session's rows in every view that changed after `after_seq`.

    Of a fold that was `written`, only what changed since then.
    """
    return {each.name: each.rows_of(folded, after_seq) for each in VIEWS}


INDEXED_CHARS_SURE = 200
"""A row whose indexed texts are no longer than that fits into every index."""


def fits_every_index(rows: Rows) -> bool:
    """Whether that is certain: if not, Postgres may refuse the rows."""
    for name, several in rows.items():
        columns = _INDEXED_TEXTS[name]
        for row in several:
            values = vars(row)
            for column in columns:
                text = values[column]
                if text is not None and len(text) > INDEXED_CHARS_SURE:
                    return False
    return True


LongTexts = frozenset[tuple[str, str, str, bool]]
"""View, column and text, and whether the row is of something that is up."""


def long_texts(rows: Rows) -> LongTexts:
    """The texts for which `fits_every_index` is not certain. The same ones are refused again.

    An index entry grows by its texts only. There are indexes of legs that are up alone, so a text
    may be refused until its leg ends.
    """
    return frozenset(
        (name, column, text, values.get("ended_at") is None)
        for name, several in rows.items()
        for values in map(vars, several)
        for column in _INDEXED_TEXTS[name]
        if (text := values[column]) is not None and len(text) > INDEXED_CHARS_SURE
    )


def _indexed_texts(table: Table) -> tuple[str, ...]:
    indexed = {*table.primary_key.columns}
    for index in table.indexes:
        indexed |= {*index.columns}
    return tuple(
        column.name
        for column in table.columns
        if column in indexed and isinstance(column.type, Text)
    )


_INDEXED_TEXTS: Mapping[str, tuple[str, ...]] = {
    view.name: _indexed_texts(view.table) for view in VIEWS
}
