"""Many rows in one statement: each column goes over as one array.

A statement has at most 32767 bind parameters in asyncpg, which 500 rows of 20 columns would near;
arrays need one per column, and the statement's text is the same for any number of rows, so it is
prepared once.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Column, Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_new(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> set[Any]:
    """Insert the rows that break no key; returns the first primary key column of those."""
    if not rows:
        return set()
    key = table.primary_key.columns[0].name
    statement = text(f"{_insert(table)} on conflict do nothing returning {key}")
    result = await connection.execute(statement, _arrays(table, rows))
    return set(result.scalars())


async def upsert_newer(connection: AsyncConnection, table: Table, rows: Sequence[Any]) -> None:
    """Insert the view's rows, or replace those whose `last_seq` is lower."""
    if rows:
        await connection.execute(_upsert(table), _arrays(table, [vars(row) for row in rows]))


@cache
def _upsert(table: Table) -> TextClause:
    keys = [column.name for column in table.primary_key.columns]
    others = [column.name for column in table.columns if column.name not in keys]
    return text(
        f"{_insert(table)} on conflict ({', '.join(keys)}) do update set "
        + ", ".join(f"{name} = excluded.{name}" for name in others)
        + f" where {table.name}.last_seq < excluded.last_seq"
    )


@cache
def _insert(table: Table) -> str:
    names = [column.name for column in table.columns]
    arrays = ", ".join(_array(column) for column in table.columns)
    return f"insert into {table.name} ({', '.join(names)}) select * from unnest({arrays})"


def _array(column: "Column[Any]") -> str:
    if isinstance(column.type, JSONB):
        return f"cast(cast(:{column.name} as text[]) as jsonb[])"
    kind = column.type.compile(dialect=_DIALECT)
    return f"cast(:{column.name} as {kind}[])"


def _arrays(table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {
        column.name: [
            _json(row[column.name]) if isinstance(column.type, JSONB) else row[column.name]
            for row in rows
        ]
        for column in table.columns
    }


_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # as SQLAlchemy leaves it


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
