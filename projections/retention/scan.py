"""The proof of an erasure: every place where the target could still be, read byte by byte."""

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import zstandard
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import OperatorFault, shown_url
from offhook.history.files import names_in, stored_bytes
from offhook.history.segments import files_of
from offhook.projections.retention.targets import Target, number_pattern
from offhook.projections.views.stored.archive import archive_segments

CHUNK_BYTES = 8 * 1024 * 1024
OVERLAP_BYTES = 512
"""A needle may lie across two chunks."""


STREAMS_WAIT_S = 180.0
"""nats-server 2.15.1 writes `index.db`, which has the ids of a stream's sessions, about every two
minutes if anything changed, and as often removes what was deleted without being overwritten."""


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """A place that was read. `found` counts occurrences, or rows in a table, or snapshots."""

    where: str
    bytes: int  # 0 for tables and snapshots: the servers read those
    found: int


@dataclass(kw_only=True)
class Proof:
    """What was read and what could not be."""

    scanned: list[Scanned] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Occurrences in all places."""
        return sum(each.found for each in self.scanned)


def pattern_of(target: Target) -> str:
    """What is looked for, as a regular expression of Python and of Postgres."""
    names = ("".join(map(_written, name)) for name in target.names)
    ids = map(re.escape, (*target.session_ids, *target.ids))
    return "|".join([*map(number_pattern, target.numbers), *ids, *names])


def _written(character: str) -> str:
    """As it is, as any JSON may have it, or as Postgres escapes it in a `bytea`.

    `é` may be `\\u00e9`, `\\u00E9` or `\\303\\251`, and `/` may be `\\/`; Postgres doubles a `\\`.
    """
    if character.isascii() and character.isalnum():
        return character
    units = character.encode("utf-16-be").hex()
    ways = [
        re.escape(character),
        "".join(rf"\\+u{_hex(units[at : at + 4])}" for at in range(0, len(units), 4)),
    ]
    if character in _SHORT:
        ways.append(rf"\\+{_SHORT[character]}")
    if not character.isascii():
        ways.append("".join(rf"\\{byte:03o}" for byte in character.encode()))
    return f"(?:{'|'.join(ways)})"


def _hex(digits: str) -> str:
    return "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in digits)


# What JSON has behind a `\`.
_SHORT = {'"': '"', "/": "/", "\\": "", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


def held_back(done: Mapping[int, Target], waiting: Sequence[Target]) -> set[int]:
    """Which of the erasures that are done wait for their proofs, as the others do.

    A proof would find the terms of one that waits.
    """
    held: dict[int, Target] = {}
    others = [*waiting]
    for other in others:
        found = {
            each: target
            for each, target in done.items()
            if each not in held and looks_for(target, other)
        }
        held |= found
        others += found.values()
    return {*held}


def looks_for(one: Target, other: Target) -> bool:
    """Whether a proof about the one would find what is kept of the other to look for it."""
    terms = [each for field in asdict(other).values() for each in field]
    return re.search(pattern_of(one), "\n".join(terms)) is not None


async def scan(
    connection: AsyncConnection,
    target: Target,
    *,
    stores: Sequence[Path],
    roots: Sequence[str],
    doing: Callable[[str], None] = lambda what: None,
) -> Proof:
    """Look everywhere: in the files below `stores` and `roots`, and in every table.

    `doing` is told how far it is, from another thread too.
    """
    pattern = pattern_of(target)
    searched = re.compile(pattern.encode())
    proof = Proof()
    if not stores:
        proof.unreachable.append("the stream files: no server says where they are; use --store")
    for store in stores:
        await asyncio.to_thread(_scan_store, store, searched, doing, proof)
    for root in roots:
        expected, given_up = await _segments_of(connection, root)
        await asyncio.to_thread(_scan_segments, root, expected, given_up, searched, doing, proof)
    proof.scanned += await _scan_tables(connection, pattern, doing)
    return proof


async def wait_for_streams(
    target: Target,
    stores: Sequence[Path],
    *,
    wait_s: float = STREAMS_WAIT_S,
    pause_s: float = 2.0,
    doing: Callable[[str], None] = lambda what: None,
) -> None:
    """Wait until the target is in no file of the streams that has it now, at most `wait_s`."""
    searched = re.compile(pattern_of(target).encode())
    until = time.monotonic() + wait_s
    paths = await asyncio.to_thread(_paths_in, stores)
    doing(f"looking into {len(paths):,} stream files")
    while paths := await asyncio.to_thread(_with_any, paths, searched):
        if time.monotonic() >= until:
            return
        doing(
            f"waiting until the NATS server has removed what was erased from {len(paths):,} of its"
            f" files, at most {wait_s:.0f} s"
        )
        await asyncio.sleep(pause_s)


def _paths_in(stores: Sequence[Path]) -> list[Path]:
    return [
        Path(folder, name)
        for store in stores
        for folder, _, names in os.walk(store)
        for name in names
    ]


def _with_any(paths: Sequence[Path], searched: "re.Pattern[bytes]") -> list[Path]:
    """Those of the files that have any of it."""
    found: list[Path] = []
    for path in paths:
        # The server deletes it while we read, or the scan says that it cannot be read.
        with suppress(OSError):
            if path.is_file() and any(_count(part, searched) for part in _parts_of(path)):
                found.append(path)
    return found


def _scan_store(
    store: Path, searched: "re.Pattern[bytes]", doing: Callable[[str], None], proof: Proof
) -> None:
    size = found = 0
    failed: list[OSError] = []
    with suppress(OSError):  # which the walk meets too
        if not store.is_dir():
            proof.unreachable.append(f"the stream files in {store}: not on this machine")
            return
    for folder, _, names in os.walk(store, onerror=failed.append):
        for path in (Path(folder, name) for name in names):
            try:
                if path.is_file():
                    for part in _parts_of(path):
                        size += len(part)
                        doing(f"scanning the stream files in {store}: {size:,} bytes")
                        found += _count(part, searched)
            except OSError as error:
                failed.append(error)
    # The server deletes files while we read.
    failed = [each for each in failed if not isinstance(each, FileNotFoundError)]
    if failed:
        proof.unreachable.append(f"some of the stream files in {store}: {_first_of(failed)}")
    if size or not failed:
        proof.scanned.append(Scanned(where=f"stream files in {store}", bytes=size, found=found))


def _parts_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        rest = b""
        while content := file.read(CHUNK_BYTES):
            yield rest + content
            rest = content[-OVERLAP_BYTES:]


async def _segments_of(
    connection: AsyncConnection, root: str
) -> tuple[set[str], Mapping[str, datetime]]:
    """The names of the files that the archive has there, or that are to be removed.

    And which segments were given up, and when: their files are expected no more.
    """
    segments = archive_segments.c
    found = await connection.execute(
        select(segments.name, segments.given_up_at)
        .where(segments.root == root)
        .order_by(segments.name)
    )
    rows = found.all()
    given_up = {row.name: row.given_up_at for row in rows if row.given_up_at is not None}
    return {
        name for row in rows if row.given_up_at is None for name in files_of(row.name)
    }, given_up


def _scan_segments(
    root: str,
    expected: set[str],
    given_up: Mapping[str, datetime],
    searched: "re.Pattern[bytes]",
    doing: Callable[[str], None],
    proof: Proof,
) -> None:
    shown = shown_url(root)
    names: Sequence[str] = ()
    failed_to_list: OperatorFault | None = None
    try:
        names = names_in(root)
    except OperatorFault as error:
        failed_to_list = error
    for name, at in given_up.items():
        if not {*files_of(name)}.issubset(names):
            proof.unreachable.append(f"{name} in {shown}, which was given up on {at:%Y-%m-%d}")
    if failed_to_list is not None:
        proof.unreachable.append(f"the segments in {shown}: {failed_to_list}")
        return
    if given_up and not (expected or names):
        return
    size = found = 0
    failed = [f"{name} is not there" for name in sorted(expected.difference(names))]
    for name in names:
        try:
            content = stored_bytes(f"{root.rstrip('/')}/{name}")
        except OperatorFault as error:
            failed.append(str(error))
            continue
        size += len(content)
        found += _count(content, searched)
        if ".zst" in name:  # in that of one that is not complete, too
            try:
                found += _count(_decompressed(content), searched)
            except zstandard.ZstdError as error:
                failed.append(f"{name} cannot be decompressed: {error}")
        doing(f"scanning the segments in {shown}: {size:,} bytes")
    if failed:
        proof.unreachable.append(f"some of the segments in {shown}: {_first_of(failed)}")
    if size or not failed:
        proof.scanned.append(Scanned(where=f"segments in {shown}", bytes=size, found=found))


def _first_of(failed: Sequence[object]) -> str:
    more = f", and {len(failed) - 1:,} more" if len(failed) > 1 else ""
    return f"{failed[0]}{more}"


def _decompressed(content: bytes) -> bytes:
    parts: list[bytes] = []
    while content:
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts.append(frame.decompress(content))
        content = frame.unused_data
    return b"".join(parts)


def _count(content: bytes, searched: "re.Pattern[bytes]") -> int:
    return sum(1 for _ in searched.finditer(content))


async def _scan_tables(
    connection: AsyncConnection, pattern: str, doing: Callable[[str], None]
) -> list[Scanned]:
    """Every table of every schema that is not the server's own."""
    tables = await connection.execute(
        text(
            "select format('%I.%I', table_schema, table_name) as name,"
            " string_agg(case when data_type = 'bytea'"
            " then format('coalesce(encode(%I, ''escape''), '''')', column_name)"
            " else format('coalesce(cast(%I as text), '''')', column_name) end, ' || ''|'' || ')"
            " as whole from information_schema.columns join information_schema.tables"
            " using (table_schema, table_name) where table_type = 'BASE TABLE'"
            " and table_schema not in ('pg_catalog', 'information_schema') group by 1 order by 1"
        )
    )
    scanned: list[Scanned] = []
    found_tables = tables.all()
    for number, (name, whole) in enumerate(found_tables, start=1):
        doing(f"scanning table {name}, {number} of {len(found_tables)}")
        found = await connection.execute(
            text(f"select count(*) from {name} where ({whole}) ~ :pattern"), {"pattern": pattern}
        )
        scanned.append(Scanned(where=f"table {name}", bytes=0, found=found.scalar_one()))
    return scanned
