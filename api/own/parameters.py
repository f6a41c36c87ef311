"""What several of our own resources have in common: query parameters and the `meta` of pages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

from fastapi import Query

from offhook.api.errors import refusal
from offhook.api.freshness import ListMeta, Meta, Views
from offhook.api.query_parameters import Number, WholeNumber, moment_in
from offhook.position import BIGINT_MAX, PARTITIONS_MAX, SEQ_MAX, position_from, position_of
from offhook.projections.views.database.engine import Connection
from offhook.projections.views.past.lists_as_of import TooMuchToFold
from offhook.projections.views.past.positions import read_time_of

PAGE_DEFAULT = 50
WAIT_MAX_S = 10.0
WAIT_DEFAULT_S = 2.0
RANGE_DEFAULT = timedelta(days=1)

Row = TypeVar("Row")

MinSeq = Annotated[
    WholeNumber,
    Query(
        ge=0,
        le=BIGINT_MAX,
        description="Wait until the views have the record at this position: the header "
        "Offhook-Position of a command or a webhook, `seq` of a record",
    ),
]
WaitS = Annotated[
    Number,
    Query(ge=0, le=WAIT_MAX_S, description="How long to wait for min_seq; 504 after that"),
]
AsOf = Annotated[
    str | None,
    Query(
        description="A position, as one number or as partition:sequence, or a time by the log's "
        "clock in RFC 3339 with its offset"
    ),
]
Moment = Annotated[str | None, Query(description="A time in RFC 3339 with its offset from UTC")]
RangeFrom = Annotated[
    str | None,
    Query(
        alias="from",
        description="Start, included, in RFC 3339 with its offset; default: 24 h before `to`",
    ),
]
RangeTo = Annotated[
    str | None,
    Query(description="End, excluded, in RFC 3339 with its offset; default: now"),
]
BeforeSeq = Annotated[
    WholeNumber | None,
    Query(ge=0, le=BIGINT_MAX, description="meta.next of the previous page"),
]


@dataclass(frozen=True, kw_only=True)
class PageMeta(Meta):
    """`next` is the parameter for the following page; null on the last one."""

    next: int | None


@dataclass(frozen=True, kw_only=True)
class ListPageMeta(ListMeta):
    """`next` is the parameter for the following page; null on the last one."""

    next: int | None


def list_page_meta(meta: ListMeta, following: int | None) -> ListPageMeta:
    """The `meta` of a page after which `following` leads to the next one."""
    return ListPageMeta(**vars(meta), next=following)


def optional_moment(parameter: str, text: str | None) -> datetime | None:
    """The time, in UTC; None if it was left out. Raises ErrorAnswer 422."""
    return None if text is None else moment_in(parameter, text)


def optional_as_of(views: Views, text: str | None) -> int | datetime | None:
    """The position or the time, in UTC; None if it was left out. Raises ErrorAnswer 422."""
    if text is None:
        return None
    if (position := position_from(text)) is None:
        return moment_in("as_of", text, "a position or a time")
    views.require_in_log("as_of", position, f", or {_A_TIME}")
    return position


async def listed_as_of(
    connection: Connection,
    as_of: int | datetime,
    list_at: Callable[[datetime], Awaitable[list[Row]]],
) -> list[Row]:
    """What `list_at` returns for that time, or for the time of the record at that position.

    Raises ErrorAnswer 422 if too much has changed since.
    """
    at = as_of if isinstance(as_of, datetime) else await read_time_of(connection, as_of)
    if at is None:
        return []  # before the first record of its partition
    try:
        return await list_at(at)
    except TooMuchToFold as error:
        raise refusal(422, "10015", str(error), parameter="as_of") from None


def require_before_seq(views: Views, before_seq: int | None) -> None:
    """Raise ErrorAnswer 422 for a position of a partition that the log does not have.

    What is above every position means the first page.
    """
    if before_seq is not None and before_seq < _ABOVE_ALL:
        views.require_in_log("before_seq", before_seq)


def time_range(
    from_: str | None, to: str | None, now: datetime, *, longest: timedelta
) -> tuple[datetime, datetime]:
    """Start and end, in UTC; the 24 h before `to`, or before now. Raises ErrorAnswer 422."""
    end = now if to is None else moment_in("to", to)
    start = end - RANGE_DEFAULT if from_ is None else moment_in("from", from_)
    if start >= end or end - start > longest:
        detail = (
            f"from is {rfc3339(start)}, and to is {rfc3339(end)}; expected a from before to, by "
            f"at most {longest.days} days"
        )
        raise refusal(422, "10015", detail, parameter="from")
    return start, end


def rfc3339(at: datetime) -> str:
    """A time in UTC as the API writes it."""
    return at.isoformat().replace("+00:00", "Z")


_A_TIME = "a time in RFC 3339 with its offset from UTC (2026-11-22T10:00:00Z)"
_ABOVE_ALL = position_of(PARTITIONS_MAX - 1, SEQ_MAX)
