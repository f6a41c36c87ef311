"""What other processes may ask of a rebuild: how far it is, to pause, to be dropped."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault
from offhook.projections.rebuild.build import (
    UNFINISHED,
    Build,
    Wanted,
    fingerprint,
    live_positions,
    read_build,
    write_build,
)
from offhook.projections.rebuild.claim import ANOTHER, CLAIM_TIMEOUT_S, claimed, is_at_work
from offhook.projections.rebuild.cutover import drop_versions
from offhook.projections.views.schema.versions import aside_of, live_schema


@dataclass(frozen=True, kw_only=True)
class RebuildStatus:
    """What there is aside; `build` is None if there is nothing."""

    build: Build | None
    is_at_work: bool  # a process is building it
    is_of_this_code: bool
    behind: int  # positions between the version aside and the live one


async def read_status(engine: AsyncEngine) -> RebuildStatus:
    """What there is aside, and whether it is being worked on."""
    async with engine.connect() as connection:
        live = await live_schema(connection)
        build = await read_build(connection, aside_of(live))
        reached = await live_positions(connection, live)
        at_work = await is_at_work(connection)
    positions = build.positions if build is not None else {}
    behind = sum(max(0, seq - positions.get(key, seq)) for key, seq in reached.items())
    return RebuildStatus(
        build=build,
        is_at_work=at_work,
        is_of_this_code=build is not None and build.fingerprint == fingerprint(),
        behind=behind,
    )


async def pause(engine: AsyncEngine) -> Build:
    """Have the build stop where it is, and wait for that. Raises OperatorFault."""
    async with engine.begin() as connection:
        aside = aside_of(await live_schema(connection))
        build = await read_build(connection, aside)
        if build is None or build.state not in UNFINISHED:
            raise OperatorFault("no rebuild is at work")
        await write_build(connection, aside, wanted="pause")
    async with claimed(engine, _noted("pause")), engine.connect() as connection:
        build = await read_build(connection, aside)
    if build is None:
        raise OperatorFault("the rebuild was cancelled")
    return build


async def cancel(engine: AsyncEngine) -> bool:
    """Drop an unfinished version, or end a grace period; whether there was anything."""
    refusal = ANOTHER
    async with engine.begin() as connection:
        aside = aside_of(await live_schema(connection))
        if await read_build(connection, aside) is not None:
            await write_build(connection, aside, wanted="cancel")
            refusal = _noted("cancel")
    async with claimed(engine, refusal):
        return await drop_versions(engine)


def _noted(wish: Wanted) -> str:
    return (
        f"the {wish} is noted, but after {CLAIM_TIMEOUT_S:g} s the rebuild is still in a step that"
        " it ends first, such as indexing or comparing: see `offhook rebuild status`"
    )
