"""An erasure beside others at work on the tables: a rebuild, and transactions that stay open."""

from pathlib import Path

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.rebuild.control import cancel
from offhook.projections.retention.erase import Eraser, SegmentsLeftOver
from tests.projections.rebuild.versions import built, schemas_aside
from tests.projections.retention.erasing import NAMES, Killed, calls, kill_at, target_of
from tests.projections.retention.settled_calls import archive, late, project
from tests.projections.story import publish


@pytest.mark.parametrize("step", ["noted", "a segment was left", "a segment was replaced"])
async def test_no_rebuild_begins_before_an_interrupted_erasure_has_erased_its_rows(
    step: str, client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    """It would not have them: from where would it fold them?"""
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)
    target = await target_of(engine, NAMES[:1])
    if step == "a segment was left":
        root.rename(tmp_path / "unmounted")
    with pytest.raises(Killed):
        await Eraser(client, engine, at_step=kill_at(step)).erase(target)
    with pytest.raises(OperatorFault, match=r"^erasure 1 was interrupted .* --resume` first$"):
        await built(engine)
    assert await schemas_aside(engine) == 0
    if step == "a segment was left":
        with pytest.raises(SegmentsLeftOver):
            await Eraser(client, engine).finish()
        (tmp_path / "unmounted").rename(root)
    else:
        await Eraser(client, engine).finish()
    await _is_identical(engine)


async def test_a_rebuild_waits_for_no_erasure_of_what_arrived_late(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await calls(client, log, engine)
    await Eraser(client, engine).erase(await target_of(engine, NAMES[:1]))
    await publish(log, [late(NAMES[0])])
    await project(client, engine)
    await _is_identical(engine)


async def _is_identical(engine: AsyncEngine) -> None:
    found = await built(engine)
    assert (found.identical, found.unrecorded) == (True, 0)
    await cancel(engine)
