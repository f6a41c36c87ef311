"""Settings of Postgres for the statements of a search: a bound of time, and how to plan them."""

from collections.abc import Iterator
from contextlib import contextmanager

from offhook.errors import SenderFault
from offhook.projections.views.database.errors import StatementFailed, sqlstate_of

SEARCH_TIMEOUT_S = 10.0
"""A filter without an index reads sessions, newest first, until enough are found."""


class SearchTooLong(SenderFault):
    """A search would take longer than its bound."""

    def __init__(self) -> None:
        super().__init__(
            f"the search took more than {SEARCH_TIMEOUT_S:.0f} s; expected a filter that few "
            "sessions match: add a number, started_from and started_before, or a connection_id"
        )


@contextmanager
def bounded_search() -> Iterator[None]:
    try:
        yield
    except StatementFailed as error:
        if sqlstate_of(error) == _CANCELLED:
            raise SearchTooLong from error
        raise


_CANCELLED = "57014"


# A plan for any values could not use an index for LIKE.
FOR_SEARCHES = f"""
    select set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('statement_timeout', '{SEARCH_TIMEOUT_S * 1000:.0f}', true)
"""
# Whatever Postgres expects of a pattern: a whole table takes seconds, and what has the number has
# to fit into a hash table.
BY_INDEX = """
    select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config(
            'work_mem',
            greatest(pg_size_bytes(current_setting('work_mem')) / 1024, 8 * 1024) || 'kB', true
        )
"""
BY_BITMAPS_TOO = "select set_config('enable_bitmapscan', 'on', true)"
