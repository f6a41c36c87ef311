"""Which projector has which partition: shared evenly, and taken over from those that are gone.

    join ─▶ renew every RENEW_S ─▶ take what nobody has, up to a fair share ─▶ leave
                └─▶ give back what is more than that

A projector has a partition as long as its row has not expired by Postgres' clock and the connection
that it writes with is open: a killed process is noticed by its connection, a frozen one by the
clock. The projector that takes over ends that connection first, because a transaction that was left
open would block it, and raises the lease's epoch, which the fence of each batch compares.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.projections.views.database.engine import Driver, driver_of
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of

RENEW_S = 0.5

EXPIRES_S = 3.0
"""A projector that did not renew for this long has lost its partitions. Another one projects them
after RENEW_S and the opening of the consumers: within 6 s on a busy machine too."""

ENDED_S = 0.5
"""How long to wait until Postgres has ended such a projector's connection."""

FORGOTTEN_S = 3_600.0
"""The row of a projector that ended without leaving is deleted after this time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PartitionLease:
    """A partition's lease as it is stored. `is_held`: its holder is there."""

    partition: int
    holder: str | None
    epoch: int
    is_held: bool


@dataclass(frozen=True, kw_only=True)
class LeaseChanges:
    """The free partitions that a projector takes, and those of its own that it gives back."""

    take: Sequence[int] = ()
    give_back: Sequence[int] = ()


def changes_for(
    projector_id: str, running: Sequence[str], leases: Sequence[PartitionLease]
) -> LeaseChanges:
    """The next step to a fair share. Pure. `running`: all projectors, in the order they joined.

    The first ones have one partition more than the others if the number does not divide.
    """
    each, more = divmod(len(leases), len(running))
    fair = each + (running.index(projector_id) < more)
    own = [lease.partition for lease in leases if lease.is_held and lease.holder == projector_id]
    free = [lease.partition for lease in leases if not lease.is_held]
    return LeaseChanges(take=tuple(free[: max(0, fair - len(own))]), give_back=tuple(own[fair:]))


class Leases:
    """The leases of one projector. `held` has the epoch of each partition that is its own."""

    def __init__(self, engine: AsyncEngine, name: str) -> None:
        self.held: Mapping[int, int] = {}
        self.surplus: Sequence[int] = ()
        """Partitions to give back, once nothing is being done with them."""
        self._engine = engine
        self._name = name
        self._id = uuid4().hex
        self._changed = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def joined(self, writing: Driver, changed: asyncio.Event) -> AsyncIterator[None]:
        """Renew in the background; `changed` is set when `held` or `surplus` is another.

        `writing` is the connection that the batches are written with. After a fault the leases stay
        until they expire: see `leave`.
        """
        self._changed = changed
        found = await writing.fetchrow(
            "select pid, backend_start from pg_stat_activity where pid = pg_backend_pid()"
        )
        assert found is not None
        async with self._engine.connect() as connection:
            driver = await driver_of(connection)
            await self._renew(driver, *found)
            self._renewing = asyncio.create_task(self._keep_renewing(driver, *found))
            try:
                yield
            finally:
                self._renewing.cancel()
                await asyncio.gather(self._renewing, return_exceptions=True)
                self._renewing = None
                self._hold({}, ())
                await connection.invalidate()

    def check(self) -> None:
        """Raise what ended the renewals, if anything did."""
        if self._renewing is not None and self._renewing.done():
            self._renewing.result()

    async def give_back(self, driver: Driver, partition: int) -> None:
        """Let another projector take it."""
        await driver.execute(
            "update projector_leases set holder = null"
            " where name = $1 and partition = $2 and holder = $3",
            *(self._name, partition, self._id),
        )
        self._hold({key: at for key, at in self.held.items() if key != partition}, ())

    async def leave(self) -> None:
        """Let the others take over at once."""
        with contextlib.suppress(*DATABASE_ERRORS):
            async with self._engine.connect() as connection:
                driver = await driver_of(connection)
                await driver.execute(
                    "delete from projectors where name = $1 and projector_id = $2",
                    *(self._name, self._id),
                )

    async def add(self, driver: Driver, partitions: Sequence[int]) -> None:
        """Create the missing leases, one for each partition."""
        await driver.execute(
            "insert into projector_leases (name, partition, epoch)"
            " select $1, partition, 0 from unnest($2::int[]) as each (partition)"
            " on conflict do nothing",
            *(self._name, list(partitions)),
        )

    async def _keep_renewing(self, driver: Driver, pid: int, started_at: Any) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._renew(driver, pid, started_at)
            except DATABASE_ERRORS as error:
                _log.warning("leases are not renewed", extra={"error": reason_of(error)})
                if driver.is_closed():
                    self._changed.set()
                    raise

    async def _renew(self, driver: Driver, pid: int, started_at: Any) -> None:
        own = (self._name, self._id)
        await driver.execute(_RENEW, *own, pid, started_at, EXPIRES_S)
        running = [row["projector_id"] for row in await driver.fetch(_RUNNING, self._name)]
        leases = [PartitionLease(**row) for row in await driver.fetch(_LEASES, self._name)]
        if self._id not in running:
            return self._hold({}, ())  # the connection to write with is gone
        changes = changes_for(self._id, running, leases)
        held = {each.partition: each.epoch for each in leases if each.holder == self._id}
        if changes.take:
            await _end_connections(driver, self._name)
            taken = await driver.fetch(_TAKE, *own, list(changes.take))
            held |= {row["partition"]: row["epoch"] for row in taken}
        self._hold(held, changes.give_back)
        return None

    def _hold(self, held: Mapping[int, int], surplus: Sequence[int]) -> None:
        if (held, surplus) != (self.held, self.surplus):
            self.held, self.surplus = held, surplus
            self._changed.set()


async def _end_connections(driver: Driver, name: str) -> None:
    """End what projectors that are gone have left open, as far as Postgres lets this user.

    Waits until they have ended: a lease that one of them still locks would not be taken now.
    """
    with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
        await driver.execute(
            "select pg_terminate_backend(a.pid, $2::bigint)"
            " from projectors as p join pg_stat_activity as a"
            " on a.pid = p.backend_pid and a.backend_start = p.backend_started_at"
            " where p.name = $1 and p.expires_at <= clock_timestamp()",
            *(name, int(ENDED_S * 1000)),
        )
    await driver.execute(
        "delete from projectors where name = $1"
        " and expires_at <= clock_timestamp() - make_interval(secs => $2)",
        *(name, FORGOTTEN_S),
    )


_RENEW = """
insert into projectors
    (name, projector_id, joined_at, expires_at, backend_pid, backend_started_at)
values ($1, $2, clock_timestamp(), clock_timestamp() + make_interval(secs => $5), $3, $4)
on conflict (name, projector_id) do update set expires_at = excluded.expires_at,
    backend_pid = excluded.backend_pid, backend_started_at = excluded.backend_started_at
"""

_IS_RUNNING = """
p.expires_at > clock_timestamp() and exists (
    select from pg_stat_activity as a
    where a.pid = p.backend_pid and a.backend_start = p.backend_started_at
)
"""

_RUNNING = f"""
select p.projector_id from projectors as p where p.name = $1 and {_IS_RUNNING}
order by p.joined_at, p.projector_id
"""

_LEASES = f"""
select l.partition, l.holder, l.epoch, exists (
    select from projectors as p
    where p.name = l.name and p.projector_id = l.holder and {_IS_RUNNING}
) as is_held
from projector_leases as l where l.name = $1 order by l.partition
"""

# A lease that is locked is in a batch that has not ended yet: tried again at the next renewal,
# because waiting for it would let the own row expire.
_TAKE = f"""
update projector_leases set holder = $2, epoch = epoch + 1, taken_at = clock_timestamp()
where name = $1 and partition in (
    select l.partition from projector_leases as l
    where l.name = $1 and l.partition = any($3::int[]) and not exists (
        select from projectors as p
        where p.name = l.name and p.projector_id = l.holder and {_IS_RUNNING}
    )
    for update skip locked
)
returning partition, epoch
"""
