"""Leases of partitions: how they are shared out, and what a batch without one may do."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import CheckpointMoved
from offhook.jetstream.stream import PROJECTOR
from offhook.jetstream.subjects import partition_for
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.projector.leases import LeaseChanges, Leases, PartitionLease, changes_for
from offhook.projections.views.database.engine import driver_of
from offhook.projections.views.stored.event_log import read_stored
from tests.projections.story import (
    NOON,
    call,
    stored_views,
)

PARTITIONS = 4


def test_partitions_are_shared_out_evenly_however_they_were_held() -> None:
    for count in range(1, 7):
        running = [f"p{number}" for number in range(count)]
        holders: dict[int, str | None] = {partition: "p0" for partition in range(PARTITIONS)}
        for _ in range(2):
            for each in running:
                leases = [
                    PartitionLease(
                        partition=key, holder=holder, epoch=1, is_held=holder is not None
                    )
                    for key, holder in holders.items()
                ]
                changes = changes_for(each, running, leases)
                holders |= dict.fromkeys(changes.give_back) | dict.fromkeys(changes.take, each)
        each_has = sorted(list(holders.values()).count(name) for name in running)
        assert sum(each_has) == PARTITIONS
        assert each_has[-1] - each_has[0] <= 1


def test_what_another_one_holds_is_not_taken() -> None:
    leases = [
        PartitionLease(partition=0, holder="old", epoch=1, is_held=True),
        PartitionLease(partition=1, holder="gone", epoch=1, is_held=False),
    ]
    assert changes_for("new", ["old", "new"], leases) == LeaseChanges(take=(1,))


async def test_leases_that_a_frozen_transaction_locks_are_taken_at_once(
    engine: AsyncEngine,
) -> None:
    everything = range(PARTITIONS)
    async with engine.connect() as frozen, engine.connect() as writing:
        driver = await driver_of(frozen)
        await Leases(engine, PROJECTOR).add(driver, everything)
        await driver.execute(
            "insert into projectors select $1, 'frozen', now(), now() - interval '1 s', pid,"
            " backend_start from pg_stat_activity where pid = pg_backend_pid()",
            PROJECTOR,
        )
        await driver.execute("update projector_leases set holder = 'frozen', epoch = 7")
        # As a batch does.
        await frozen.execute(text("select from projector_leases for share"))
        leases = Leases(engine, PROJECTOR)
        async with leases.joined(await driver_of(writing), asyncio.Event()):
            assert leases.held == dict.fromkeys(everything, 8)
        await frozen.invalidate()


async def test_a_batch_of_a_lease_that_changed_hands_is_refused_with_all_its_rows(
    engine: AsyncEngine,
) -> None:
    lost, kept = (
        next(name for name in map(str, range(99)) if partition_for(name, PARTITIONS) == partition)
        for partition in (1, 2)
    )
    async with engine.connect() as connection:
        for partition in (1, 2):
            await begin(connection, PROJECTOR, NOON, partition)
        await connection.commit()
        await Leases(engine, PROJECTOR).add(await driver_of(connection), (1, 2))
    records = [
        read_stored(
            seq=(partition << 47) + 1,
            session_id=name,
            side=call(name)[0].side,
            type=call(name)[0].encoded.type,
            version=1,
            stored_at=NOON,
            body=call(name)[0].encoded.body,
            headers={},
        )
        for partition, name in ((1, lost), (2, kept))
    ]
    fences = {partition: Fence(seq=partition << 47, epoch=0) for partition in (1, 2)}
    async with engine.begin() as connection:
        await connection.execute(
            text("update projector_leases set epoch = 1, holder = 'x' where partition = 1")
        )
    with pytest.raises(CheckpointMoved) as refused:
        async with engine.begin() as connection:
            await Projection(PROJECTOR).apply(connection, records, fences)
    assert refused.value.partitions == {1}
    assert not any((await stored_views(engine)).values())
    async with engine.begin() as connection:
        applied = await Projection(PROJECTOR).apply(connection, records[1:], fences)
    assert applied.positions == {2: (2 << 47) + 1}
