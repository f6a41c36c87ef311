"""The tables aside: created like the live ones, indexed after the load, swapped, mirrored.

A swap gives the live tables another identity. Indexes, constraints, owners and grants come along;
what refers to a table by its identity (a view, a foreign key, a trigger of somebody else's) would
not, so a rebuild refuses to start while there is such a thing.
"""

import asyncio
from collections.abc import Sequence

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import OperatorFault
from offhook.projections.views.analytics.hourly.kept import HOURLY_TABLES
from offhook.projections.views.analytics.rollups.tables import ROLLUPS
from offhook.projections.views.analytics.rollups.triggers import TRIGGER
from offhook.projections.views.database.engine import driver_in
from offhook.projections.views.parked import parked_sessions
from offhook.projections.views.registry import VIEWS
from offhook.projections.views.schema.versions import MARK

MIRRORED: Sequence[Table] = (*(view.table for view in VIEWS), parked_sessions)
"""The tables of a version that are written to, in the order in which a projector does so."""

SWAPPED: Sequence[Table] = (*MIRRORED, *ROLLUPS, *HOURLY_TABLES)
"""All tables of a version. Each version has triggers that keep its own roll-ups."""

INDEX_MEMORY = "128MB"
INDEXES_AT_ONCE = 2

_NAMES = [table.name for table in SWAPPED]


async def create_aside(connection: AsyncConnection, live: str, aside: str) -> None:
    """Create the schema with empty tables, without indexes. Raises OperatorFault."""
    await _require_no_dependents(connection, live)
    # A schema of that name without our mark is not ours to drop: creating one fails then.
    await connection.execute(text(f"create schema {aside}"))
    await connection.execute(text(f"comment on schema {aside} is '{MARK}'"))
    for name in _NAMES:
        await connection.execute(
            text(
                f"create table {aside}.{name} (like {live}.{name} including defaults"
                " including constraints including storage including comments)"
            )
        )
    for statement in await _grants(connection, live, aside):
        await connection.execute(text(statement))


async def create_indexes(engine: AsyncEngine, live: str, aside: str) -> None:
    """Create the keys and indexes that the live tables have and those aside lack; analyze.

    Their storage parameters come with them: a fill factor would make the load larger.
    """
    async with engine.connect() as connection:
        missing = await _missing_indexes(connection, live, aside)
        for name, statement in await _storage_parameters(connection, live, aside):
            missing[name].append(statement)
    slots = asyncio.Semaphore(INDEXES_AT_ONCE)

    async def complete(name: str, statements: Sequence[str]) -> None:
        async with slots, engine.begin() as connection:
            await connection.execute(text(f"set local maintenance_work_mem to '{INDEX_MEMORY}'"))
            for statement in statements:
                await connection.execute(text(statement))
            await connection.execute(text(f"analyze {aside}.{name}"))

    async with asyncio.TaskGroup() as group:
        for name, statements in missing.items():
            group.create_task(complete(name, statements))


async def require_same_columns(connection: AsyncConnection, live: str, aside: str) -> None:
    """Raise OperatorFault if a migration has changed the live tables and not those aside."""
    found = await connection.execute(
        text(
            "select relname, array_agg(format('%s %s', attname, format_type(atttypid, atttypmod))"
            " order by attname) from pg_class join pg_attribute on attrelid = pg_class.oid"
            " where relname = any(:names) and attnum > 0 and not attisdropped"
            " and relnamespace in (to_regnamespace(:live), to_regnamespace(:aside))"
            " group by relname, relnamespace"
        ),
        {"names": _NAMES, "live": live, "aside": aside},
    )
    columns: dict[str, list[str]] = {}
    for name, described in found:
        if columns.setdefault(name, described) != described:
            raise OperatorFault(
                f"the columns of {name} were changed since the other version was built:"
                " run `offhook rebuild cancel`, then `offhook rebuild`"
            )


async def lock_versions(connection: AsyncConnection, live: str, aside: str) -> None:
    """Wait for those who read or write the tables, then keep everybody out."""
    # The checkpoint too: a reader's transaction that has read it goes on to the views.
    tables = [f"{live}.checkpoint"]
    tables += [f"{schema}.{name}" for schema in (live, aside) for name in _NAMES]
    await connection.execute(text(f"lock table {', '.join(tables)} in access exclusive mode"))


async def swap(connection: AsyncConnection, live: str, aside: str) -> None:
    """Exchange the tables of the two schemas."""
    between = f'{aside[:-1]}_swap"' if aside.endswith('"') else f"{aside}_swap"
    statements = [f"create schema {between}"]
    for name in _NAMES:
        for table, schema in (
            (f"{live}.{name}", between),
            (f"{aside}.{name}", live),
            (f"{between}.{name}", aside),
        ):
            statements.append(f"alter table {table} set schema {schema}")
    await _run(connection, [*statements, f"drop schema {between}"])


async def begin_mirror(connection: AsyncConnection, live: str, aside: str) -> None:
    """From now on, repeat each write to a live table, and each deletion, in the table aside."""
    await _run(connection, [each for table in MIRRORED for each in _mirror(table, live, aside)])


async def end_mirror(connection: AsyncConnection, live: str, aside: str) -> None:
    """Undo `begin_mirror`."""
    await _run(
        connection, [f"drop function if exists {aside}.mirror_{name} cascade" for name in _NAMES]
    )


async def _run(connection: AsyncConnection, statements: Sequence[str]) -> None:
    """In one round trip: everybody waits, and on a busy machine a round trip takes 50 ms."""
    driver = await driver_in(connection)
    await driver.execute("; ".join(statements))


def _mirror(table: Table, live: str, aside: str) -> list[str]:
    """Triggers for each statement, not for each row: a batch is one statement for a table."""
    name, names = table.name, [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key.columns]
    same = " and ".join(f"kept.{key} = gone.{key}" for key in keys)
    values = ", ".join(f"{each} = excluded.{each}" for each in names if each not in keys)
    newer = " where kept.last_seq <= excluded.last_seq" if "last_seq" in names else ""
    function = f"{aside}.mirror_{name}"
    listed = ", ".join(names)
    # As its owner: the projector's role need not have rights to the schema aside.
    statements = [
        f"create function {function}() returns trigger language plpgsql security definer"
        " set search_path to pg_catalog, pg_temp as $$ begin"
        f" if tg_op = 'DELETE' then delete from {aside}.{name} as kept using gone where {same};"
        f" else insert into {aside}.{name} as kept ({listed}) select {listed} from written"
        f" on conflict ({', '.join(keys)}) do update set {values}{newer}; end if;"
        " return null; end $$"
    ]
    for event, rows in (
        ("insert", "new table as written"),
        ("update", "new table as written"),
        ("delete", "old table as gone"),
    ):
        statements.append(
            f"create trigger offhook_mirror_{event} after {event} on {live}.{name}"
            f" referencing {rows} for each statement execute function {function}()"
        )
    return statements


async def _missing_indexes(
    connection: AsyncConnection, live: str, aside: str
) -> dict[str, list[str]]:
    """For each table the statements that create its keys and indexes."""
    found = await connection.execute(
        text(
            "select tables.relname, indexes.relname, indisunique,"
            " split_part(pg_get_indexdef(indexrelid), ' USING ', 2) as definition,"
            " quote_ident(conname) as conname, pg_get_constraintdef(pg_constraint.oid) as condef"
            " from pg_index join pg_class tables on tables.oid = indrelid"
            " join pg_class indexes on indexes.oid = indexrelid"
            " left join pg_constraint on conindid = indexrelid and contype in ('p', 'u', 'x')"
            " where tables.relnamespace = to_regnamespace(:live) and tables.relname = any(:names)"
            " and not exists (select from pg_class"
            " where relnamespace = to_regnamespace(:aside) and relname = indexes.relname)"
            " order by contype, indexes.relname"
        ),
        {"live": live, "aside": aside, "names": _NAMES},
    )
    statements: dict[str, list[str]] = {name: [] for name in _NAMES}
    for table, index, is_unique, definition, constraint, condition in found:
        if constraint is not None:
            statement = f"alter table {aside}.{table} add constraint {constraint} {condition}"
        else:
            unique = "unique " if is_unique else ""
            quoted = '"' + index.replace('"', '""') + '"'
            statement = f"create {unique}index {quoted} on {aside}.{table} using {definition}"
        # A colon would be a parameter's.
        statements[table].append(statement.replace(":", r"\:"))
    return statements


async def _storage_parameters(
    connection: AsyncConnection, live: str, aside: str
) -> list[tuple[str, str]]:
    """For each table that has some, its name and the statement that sets them aside."""
    found = await connection.execute(
        text(
            "select relname, array_to_string(reloptions, ', ') from pg_class"
            " where relnamespace = to_regnamespace(:live) and relname = any(:names)"
            " and reloptions is not null"
        ),
        {"live": live, "names": _NAMES},
    )
    return [(name, f"alter table {aside}.{name} set ({options})") for name, options in found]


async def _grants(connection: AsyncConnection, live: str, aside: str) -> list[str]:
    """Statements that give the tables aside the owner and the grants of the live ones."""
    found = await connection.execute(
        text(
            "select format('alter table %s.%I owner to %I', cast(:aside as text), relname,"
            " pg_get_userbyid(relowner)) from pg_class"
            " where relnamespace = to_regnamespace(:live) and relname = any(:names)"
            " and pg_get_userbyid(relowner) <> current_user"
            " union all"
            " select format('grant %s on %s.%I to %s%s', privilege_type, cast(:aside as text),"
            " relname, case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee))"
            " end, case when is_grantable then ' with grant option' else '' end)"
            " from pg_class, aclexplode(relacl)"
            " where relnamespace = to_regnamespace(:live) and relname = any(:names)"
            " and grantee <> relowner"
        ),
        {"live": live, "aside": aside, "names": _NAMES},
    )
    return [str(statement).replace(":", r"\:") for statement in found.scalars()]


async def _require_no_dependents(connection: AsyncConnection, live: str) -> None:
    found = await connection.execute(
        text(
            "with ours as (select oid from pg_class"
            " where relnamespace = to_regnamespace(:live) and relname = any(:names))"
            " select distinct format('the view %s', cast(cast(ev_class as regclass) as text))"
            " from pg_depend join pg_rewrite on pg_rewrite.oid = objid"
            " where classid = cast('pg_rewrite' as regclass) and refobjid in (select oid from ours)"
            " union all"
            " select format('the foreign key %s of %s', conname,"
            " cast(cast(conrelid as regclass) as text)) from pg_constraint"
            " where contype = 'f' and confrelid in (select oid from ours)"
            " union all"
            " select format('the trigger %s of %s', tgname,"
            " cast(cast(tgrelid as regclass) as text)) from pg_trigger"
            " where not tgisinternal and tgrelid in (select oid from ours)"
            f" and not starts_with(tgname, '{TRIGGER}')"
        ),
        {"live": live, "names": _NAMES},
    )
    if dependents := found.scalars().all():
        raise OperatorFault(
            f"{dependents[0]} depends on a table of the views, and would stay with the old one:"
            " drop it, rebuild, and create it again"
        )
