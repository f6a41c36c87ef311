"""What several of our own resources have in common: query parameters and the `meta` of pages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Query

from offhook.api.freshness import ListMeta, Meta
from offhook.api.query_parameters import Number, WholeNumber, moment_in

PAGE_DEFAULT = 50
WAIT_MAX_S = 10.0
WAIT_DEFAULT_S = 2.0
SEQ_MAX = 2**63 - 1  # Postgres has no larger integer

MinSeq = Annotated[
    WholeNumber,
    Query(
        ge=0,
        le=SEQ_MAX,
        description="Wait until the views have the record at this position: the header "
        "Offhook-Position of a command or a webhook, `seq` of a record",
    ),
]
WaitS = Annotated[
    Number,
    Query(ge=0, le=WAIT_MAX_S, description="How long to wait for min_seq; 504 after that"),
]
Moment = Annotated[str | None, Query(description="A time in RFC 3339 with its offset from UTC")]
BeforeSeq = Annotated[
    WholeNumber | None,
    Query(ge=0, le=SEQ_MAX, description="meta.next of the previous page"),
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
