"""What an operator has done to the views: all of them rebuilt, or one session folded again.

The command's way to the projector's code; nobody else outside of this room has one.
"""

from collections.abc import Callable

from offhook.jetstream.connection import close, connect
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.rebuild import RebuildProgress, Rebuilt, rebuild
from offhook.projections.projector.repair import Compared
from offhook.projections.views.checkpoint import read_checkpoint
from offhook.projections.views.database import Engine, open_database
from offhook.projections.views.schema import hold_off_projectors, require_migrated

__all__ = ["Compared", "RebuildProgress", "Rebuilt", "fold_again", "rebuild_views"]


async def rebuild_views(
    *, nats_url: str, postgres_url: str, on_progress: Callable[[RebuildProgress], None]
) -> Rebuilt:
    """Rebuild all views from the log. Raises OffhookError, or what Postgres says."""
    await require_migrated(postgres_url)
    # The comparison takes as long as the tables are large.
    engine = open_database(postgres_url, "offhook-rebuild", statement_timeout_s=None)
    try:
        client = await connect(nats_url, "rebuild")
        try:
            return await rebuild(client, engine, on_progress=on_progress)
        finally:
            await close(client)
    finally:
        await engine.dispose()


async def fold_again(engine: Engine, session_id: str) -> str:
    """Fold a parked session from its first record, as a projector does at startup.

    Returns the error if its views still cannot follow the log, else an empty text.
    """
    async with engine.begin() as connection:
        await hold_off_projectors(connection)
        position = await read_checkpoint(connection, PROJECTOR)
        assert position is not None, "a session is parked, so records were projected"
        tried = await Projection(PROJECTOR).retry_parked(connection, position.seq, session_id)
    return tried.parked.get(session_id, "")
