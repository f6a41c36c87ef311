"""Erase: all records of sessions or of a number, wherever Offhook keeps them.

    note whom ─▶ segments: write without ─▶ Postgres: one   ─▶ streams: delete    ─▶ vacuum
    (a row, and   them, swap, remove the     transaction        message by message    and prove
    a digest of   old ones
    each session)

Killed anywhere, `finish` goes on: the row says whom, until the proof is there, and each step can be
repeated. From the first step on the projector drops what arrives of these sessions. Until the
transaction the streams are still to come, which have it; after it the projector notes another
erasure of that session.

A segment that cannot be rewritten does not stop the rest: it is noted beside whom, and `finish`
rewrites it once that is possible.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from nats.aio.client import Client
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.jetstream.archived import ArchivedMarks
from offhook.jetstream.retention import Retention
from offhook.projections.retention.alone import alone
from offhook.projections.retention.archive import Archiver
from offhook.projections.retention.erase_segments import SegmentEraser
from offhook.projections.retention.give_up import give_segments_up, listed
from offhook.projections.retention.rows import erase_rows
from offhook.projections.retention.scan import (
    Proof,
    Scanned,
    held_back,
    looks_for,
    scan,
    wait_for_streams,
)
from offhook.projections.retention.segment_rows import remove_unused
from offhook.projections.retention.targets import Target
from offhook.projections.retention.vacuum import Vacuum, named
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.database.transactions import OpenTransaction
from offhook.projections.views.progress.checkpoint import CHANNEL, ERASED_NOTICE
from offhook.projections.views.registry import DERIVED
from offhook.projections.views.schema.migrate import hold_off_projectors
from offhook.projections.views.stored.archive import archive_segments
from offhook.projections.views.stored.erasures import (
    IS_PENDING,
    add_counts,
    digest_of,
    erasures,
    read_unfinished,
)

READS_MAX = 5
"""How often a session is read until nothing of it is left in the log."""


@dataclass(frozen=True, kw_only=True)
class Erased:
    """What an erasure did. `proof` is what was found afterwards."""

    erasure_id: int
    sessions: int
    records: int  # in event_log and in segments
    messages: int  # in the streams
    segments: int  # written again
    given_up: Sequence[str]  # segments that are lost, and that it ended without
    unfinished: int  # erasures that are still to be finished, such as of what arrived meanwhile
    proof: Proof


@dataclass(frozen=True, kw_only=True)
class _Pending:
    erasure_id: int
    target: Target
    roots: Sequence[str]


class SegmentsLeftOver(OperatorFault):
    """Everything is erased except in segments that could not be rewritten, which `why` names."""

    def __init__(
        self, why: Mapping[str, Exception], kept_for: Sequence[OpenTransaction] = ()
    ) -> None:
        """`kept_for` are transactions because of which the tables are not rewritten."""
        self.why = why
        full, in_use = "", ""
        if kept_for:
            full = " --full-vacuum"
            in_use = f". Also, the tables are not rewritten: in use by {named(kept_for)}"
        super().__init__(
            f"everything is erased except in {listed(why)}: {next(iter(why.values()))}; once that"
            f" is mended, run `offhook erase --resume{full}`, with `--give-up SEGMENT` if a segment"
            f" is lost for good{in_use}"
        )


class Eraser:
    """`stores` are the servers' store directories. `at_step` is called after each step, and `doing`
    with what is being done, often. `at_proof` is called with the proofs before it is forgotten
    whom they are about: later there is no way to another."""

    def __init__(
        self,
        client: Client,
        engine: AsyncEngine,
        *,
        stores: Sequence[Path] = (),
        at_step: Callable[[str], None] = lambda step: None,
        doing: Callable[[str], None] = lambda what: None,
        at_proof: Callable[[Sequence[Erased]], None] = lambda proved: None,
        full_vacuum: bool = False,
    ) -> None:
        self._retention = Retention(client)
        self._marks = ArchivedMarks(client)
        self._archiver = Archiver(client, engine, "")
        self._segments = SegmentEraser(engine, at_step, doing)
        self._engine = engine
        self._stores = stores
        self._at_step = at_step
        self._doing = doing
        self._at_proof = at_proof
        self._vacuum = Vacuum(engine, doing, is_full=full_vacuum)
        self._full_vacuum = full_vacuum
        self._kept_for: Sequence[OpenTransaction] = ()

    async def erase(self, target: Target) -> Erased:
        """Erase the target. Raises OperatorFault, or PassingFault: `finish` goes on.

        Raises SegmentsLeftOver once everything else is erased.
        """
        async with alone(self._engine):
            await self._require_one_version()
            await self._finish_archive()
            roots = await self._roots()
            others = await self._pending()
            async with self._engine.begin() as connection:
                found = await connection.execute(
                    insert(erasures)
                    .values(
                        begun_at=text("clock_timestamp()"),
                        pending={**asdict(target), "roots": roots},
                        sessions=len(target.session_ids), records=0, messages=0, segments=0,
                    )
                    .returning(erasures.c.erasure_id)
                )  # fmt: skip
                erasure_id = found.scalar_one()
                await _keep_digests(connection, erasure_id, target)
            self._at_step("noted")
            left_over = await self._go_on(erasure_id, target)
            await self._vacuum_all(left_over)
            if left_over:
                raise SegmentsLeftOver(left_over)
            self._at_step("done")
            for each in others:
                if looks_for(target, each.target):
                    raise OperatorFault(
                        f"everything is erased; the proof waits for erasure {each.erasure_id},"
                        " which looks for the same: run `offhook erase --resume`"
                    )
            [erased] = await self._proved({erasure_id: (target, roots)})
            return erased

    async def finish(self, give_up: Sequence[str] = ()) -> list[Erased]:
        """Finish what was begun before, and erase what arrived for erased sessions since.

        `give_up` are segments that are lost: see `give_segments_up`. Raises SegmentsLeftOver
        once all is done that can be.
        """
        async with alone(self._engine):
            await give_segments_up(self._engine, give_up)
            left_over = {**await self._segments.take_back()}
            roots = await self._roots()
            pending = await self._pending()
            if not pending:
                await remove_unused(self._engine, lambda: self._at_step("a segment was removed"))
                if left_over:
                    raise SegmentsLeftOver(left_over)
                return []
            await self._require_one_version()
            await self._finish_archive()
            # All are carried out before one of them waits for the server's files.
            done: dict[int, tuple[Target, Sequence[str]]] = {}
            waiting: list[Target] = []
            for each in pending:
                if left := await self._go_on(each.erasure_id, each.target):
                    left_over |= left
                    waiting.append(each.target)
                    continue
                # The run that began it may have removed the last segment there was.
                done[each.erasure_id] = each.target, sorted({*roots, *each.roots})
            await self._vacuum_all(left_over)
            if done:
                self._at_step("done")
            targets = {one: of[0] for one, of in done.items()}
            for held in held_back(targets, waiting):
                del done[held]
            proved = await self._proved(done) if done else []
            if left_over:
                raise SegmentsLeftOver(left_over)
            return proved

    async def _finish_archive(self) -> None:
        """Finish an archive run that was interrupted; if that fails, the next archive run does."""
        with suppress(OperatorFault, HistoryUnreadable):
            await self._archiver.finish()

    async def _pending(self) -> list[_Pending]:
        """The erasures that are not proved, in their order."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(erasures.c.erasure_id, erasures.c.pending)
                .where(IS_PENDING)
                .order_by(erasures.c.erasure_id)
            )
            return [
                _Pending(
                    erasure_id=row.erasure_id,
                    target=msgspec.convert(row.pending, Target),
                    roots=row.pending.get("roots", ()),
                )
                for row in found
            ]

    async def _roots(self) -> list[str]:
        """Of all segments. Asked for before one goes, which may be the last one there."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(archive_segments.c.root).distinct())
            return [*found.scalars()]

    async def _go_on(self, erasure_id: int, target: Target) -> Mapping[str, Exception]:
        """Erase the target; returns where it is left, as `SegmentEraser.leave` does."""
        await self._marks.add(target.session_ids)
        left_over = await self._segments.leave(erasure_id, frozenset(target.session_ids))
        await self._leave_tables(erasure_id, target)
        await self._leave_streams(erasure_id, target)
        return left_over

    async def _vacuum_all(self, left_over: Mapping[str, Exception]) -> None:
        """Raises OperatorFault if a full vacuum would have to wait; it says what else is left."""
        tables = [table.name for table in DERIVED]
        self._kept_for = await self._vacuum.run([*tables, "parked_sessions", "erasures"])
        if self._full_vacuum and self._kept_for:
            if left_over:
                raise SegmentsLeftOver(left_over, self._kept_for)
            raise OperatorFault(
                "all rows are erased, but the tables are not rewritten: in use by"
                f" {named(self._kept_for)}. Once it has ended, run"
                " `offhook erase --resume --full-vacuum`"
            )

    async def _proved(self, done: Mapping[int, tuple[Target, Sequence[str]]]) -> list[Erased]:
        """Prove them, and forget whom once all proofs are there: a failure loses none of them."""
        forget = update(erasures).where(erasures.c.erasure_id.in_(done)).values(pending=None)
        proved: list[Erased] = []
        for erasure_id, (target, roots) in done.items():
            await wait_for_streams(target, self._stores, doing=self._doing)
            async with self._engine.connect() as connection:
                # Not to be found by the scan, and rolled back after it.
                await connection.execute(forget)
                proved.append(await self._prove(connection, erasure_id, target, roots))
        self._at_proof(proved)
        async with self._engine.begin() as connection:
            await connection.execute(forget)
        await self._vacuum_erasures()
        return proved

    async def _vacuum_erasures(self) -> None:
        """Raises OperatorFault if that does not remove whom the erasures were about."""
        try:
            left = await self._vacuum.run(["erasures"])
        except DATABASE_ERRORS as error:
            why = f"until that is vacuumed: {reason_of(error)}"
        else:
            # The proof names those that were there before.
            known = {each.pid for each in self._kept_for}
            left = [each for each in left if each.pid not in known]
            if not left:
                return
            why = f"for {named(left)}: once it has ended, run `{self._vacuum} erasures`"
        raise OperatorFault(
            "the erasure is proved, but whom it was about stays in the files of table erasures "
            f"{why}"
        )

    async def _prove(
        self, connection: AsyncConnection, erasure_id: int, target: Target, roots: Sequence[str]
    ) -> Erased:
        proof = await scan(connection, target, stores=self._stores, roots=roots, doing=self._doing)
        left = await self._retention.count_snapshots(target.session_ids)
        proof.scanned.append(Scanned(where="snapshots in NATS' memory", bytes=0, found=left))
        proof.unreachable += [
            f"deleted rows, which stay in Postgres' files for {each}: once it has ended, vacuum"
            " the database"
            for each in self._kept_for
        ]
        row = (
            await connection.execute(select(erasures).where(erasures.c.erasure_id == erasure_id))
        ).one()
        return Erased(
            erasure_id=erasure_id,
            sessions=row.sessions,
            records=row.records,
            messages=row.messages,
            segments=row.segments,
            given_up=row.given_up,
            unfinished=(await read_unfinished(connection)).count,
            proof=proof,
        )

    async def _require_one_version(self) -> None:
        async with self._engine.connect() as connection:
            found = await connection.execute(
                text("select nspname from pg_namespace where nspname like '%\\_rebuild'")
            )
            if names := found.scalars().all():
                raise OperatorFault(
                    f"another version of the views is in schema {names[0]}, with rows of its own:"
                    " run `offhook rebuild cancel` first; nothing was erased"
                )

    async def _leave_streams(self, erasure_id: int, target: Target) -> None:
        count = len(target.session_ids)
        for number, session_id in enumerate(target.session_ids, start=1):
            self._doing(f"deleting session {number:,} of {count:,} from the streams")
            for _ in range(READS_MAX):  # something may arrive in between
                messages = await self._retention.read(session_id)
                deleted = await self._retention.delete(each.seq for each in messages)
                deleted += await self._retention.delete_alarms(session_id)
                await self._count(erasure_id, messages=deleted)
                if not messages:
                    break
            # A worker with the session in memory may try to store another one: that is refused.
            await self._retention.delete_snapshot(session_id)
            self._at_step("a session left the streams")

    async def _leave_tables(self, erasure_id: int, target: Target) -> None:
        self._doing("erasing the rows")
        async with self._engine.begin() as connection:
            # A batch that is being projected may have folded these sessions.
            await hold_off_projectors(connection)
            records = await erase_rows(connection, target.session_ids)
            await add_counts(connection, erasure_id, records=records)
            await connection.execute(
                update(erasures)
                .where(erasures.c.erasure_id == erasure_id)
                .values(erased_at=text("clock_timestamp()"))
            )
            await connection.execute(
                text("select pg_notify(:channel, :notice)"),
                {"channel": CHANNEL, "notice": ERASED_NOTICE},
            )
        self._at_step("the rows were erased")

    async def _count(self, erasure_id: int, **counts: int) -> None:
        async with self._engine.begin() as connection:
            await add_counts(connection, erasure_id, **counts)


async def _keep_digests(connection: AsyncConnection, erasure_id: int, target: Target) -> None:
    for session_id in target.session_ids:
        await connection.execute(
            text(
                "insert into erased_sessions (digest, erasure_id) values (:digest, :erasure_id)"
                " on conflict do nothing"
            ),
            {"digest": digest_of(session_id), "erasure_id": erasure_id},
        )
