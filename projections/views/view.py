"""What a view is made of: a table, the type of its rows, and the rows of a folded session.

A column is a field of the row type, and nowhere else: its name, its type, and whether it may be
null. A field with a default is no column; readers fill it in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    Numeric,
    Result,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from offhook.projections.views.fold import Folded

Row = TypeVar("Row")
Values = ParamSpec("Values")

Seq = Annotated[int, BigInteger()]
"""The position of a record."""

PAGE_MAX = 250
"""Rows that a list returns at most."""

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_index",
    }
)


@dataclass(frozen=True, kw_only=True)
class View(Generic[Row]):
    """A table that can be folded from the log again at any time.

    `rows_of(folded, after_seq)` returns the rows that changed after that position. Each row has
    `last_seq`, the position of the last record that changed it: a newer row replaces an older one.
    A row that was written once is never taken back, so its key must not depend on the order of the
    records.

    When a session is erased, its rows get random ids and stay, because analytics count them. Every
    other column is named in one of the two sets: columns that may hold a number, an id, content or
    free text are cleared, which makes them null, or false.
    """

    table: Table
    rows_of: Callable[[Folded, int], Sequence[Row]]
    kept_when_erased: frozenset[str]
    cleared_when_erased: frozenset[str]

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name


FILL_FACTOR = 70
"""Percent of a page that inserts fill. A row is written again with most of its session's records:
in the same page, if there is room, and then no index of the table is touched."""


def table_of(name: str, row_type: type[Any], *indexes: Index, key: Sequence[str]) -> Table:
    """The table whose columns are the row type's fields, in their order."""
    hints = get_type_hints(row_type, include_extras=True)
    columns = [
        _column(each.name, hints[each.name], is_key=each.name in key)
        for each in fields(row_type)
        if each.default is MISSING
    ]
    filled = {"fillfactor": FILL_FACTOR}
    return Table(name, metadata, *columns, *indexes, postgresql_with=filled)


def column_names(listed: str) -> frozenset[str]:
    """The names in a text, which spaces or lines separate."""
    return frozenset(listed.split())


def columns_of(table: Table, row: Any) -> dict[str, Any]:
    """The row's value for each column of its table."""
    return {column.name: getattr(row, column.name) for column in table.columns}


def storable_row(
    row_type: Callable[Values, Row], *args: Values.args, **values: Values.kwargs
) -> Row:
    """`row_type(**values)`, with what Postgres cannot store replaced; event_log has the raw bytes.

    The type checker compares the values with the type's fields. The constructor is left out: it
    sets each of forty fields through `object.__setattr__`, for every row of every batch.
    """
    row = object.__new__(cast(type[Row], row_type))
    stored = row.__dict__
    stored.update(values)
    for name, value in values.items():
        kind = type(value)
        if kind is str:
            if "\0" in value:  # type: ignore[operator]
                stored[name] = storable(value)
        elif kind not in _ALWAYS_STORABLE:
            stored[name] = storable(value)
    return row


def rows_as(row_type: type[Row], found: "Result[Any]") -> list[Row]:
    """What was found as values of this type, each with its columns as fields.

    As for `storable_row` the constructor is left out.
    """
    defaults = {
        each.name: each.default
        for each in fields(cast(Any, row_type))
        if each.default is not MISSING
    }
    names = tuple(found.keys())
    rows = []
    for columns in found:
        row = object.__new__(row_type)
        row.__dict__.update(defaults)
        row.__dict__.update(zip(names, columns, strict=True))
        rows.append(row)
    return rows


def storable(value: Any) -> Any:
    """The value with each NUL replaced by U+FFFD: the carrier's text may hold some."""
    match value:
        case str():
            return value.replace("\0", "\ufffd") if "\0" in value else value
        case Mapping():
            return {storable(key): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
        case _:
            return value


def _column(name: str, hint: Any, *, is_key: bool) -> Column[Any]:
    nullable = False
    if get_origin(hint) in (Union, UnionType):
        [hint] = (each for each in get_args(hint) if each is not NoneType)
        nullable = True
    if get_origin(hint) is Annotated:
        kind = hint.__metadata__[0]
    else:
        kind = _KINDS[get_origin(hint) or hint]
    return Column(name, kind, primary_key=is_key, nullable=nullable)


_KINDS: Mapping[Any, TypeEngine[Any]] = {
    str: Text(),
    bool: Boolean(),
    int: Integer(),
    float: Double(),
    Decimal: Numeric(),
    datetime: DateTime(timezone=True),
    Mapping: JSONB(none_as_null=True),
    Sequence: JSONB(none_as_null=True),
}

# Most values are of these, and to ask whether they are a Mapping is slow.
_ALWAYS_STORABLE = frozenset({NoneType, bool, int, float, datetime, Decimal})
