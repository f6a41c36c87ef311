"""Segments: files of whole sessions, each a zstd frame of its own, and a manifest beside each.

    NAME.jsonl.zst    frame ─ frame ─ frame …    `zstdcat` gives every line of it
    NAME.json         positions, counts, the segment's hash, and where each session's frame is

A session is read by its frame alone. A segment is never changed: one without some of its sessions
is another segment, with another name, and the frames that stay are copied as they are.
"""

import hashlib
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import zstandard

from offhook.errors import HistoryUnreadable, shown_url
from offhook.history.files import (
    LEVEL,
    NamedFile,
    names_in,
    remove,
    replacing,
    sha256_of,
    stored_bytes,
)
from offhook.history.lines import HistoryRecord, line_of, record_from

SEGMENT = ".jsonl.zst"
MANIFEST = ".json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Block:
    """Where a session is in its segment. `repeated` are positions of repeated deliveries: they
    are kept, and change nothing in a session."""

    session_id: str
    offset: int  # bytes
    length: int  # bytes
    records: int
    first_position: int
    last_position: int
    repeated: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a segment holds. `sha256` is of the file as it is stored."""

    v: int
    name: str
    sha256: str
    bytes: int
    records: int
    first_position: int  # the lowest
    last_position: int  # the highest
    stored_from: datetime
    stored_until: datetime
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Archived:
    """A session to archive: its records in order of position."""

    session_id: str
    records: Sequence[HistoryRecord]
    repeated: tuple[int, ...] = ()


def segment_url(root: str, name: str) -> str:
    """The segment's file."""
    return f"{root.rstrip('/')}/{name}{SEGMENT}"


def manifest_url(root: str, name: str) -> str:
    """The segment's manifest."""
    return f"{root.rstrip('/')}/{name}{MANIFEST}"


def files_of(name: str) -> tuple[str, str]:
    """The names of its two files."""
    return f"{name}{SEGMENT}", f"{name}{MANIFEST}"


def write_segment(root: str, name: str, sessions: Sequence[Archived]) -> Manifest:
    """Write the segment, read it back, and write its manifest. Raises OperatorFault."""
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    blocks: list[Block] = []
    with replacing(segment_url(root, name)) as file:
        out = _Counted(file)
        for each in sessions:
            frame = compressor.compress(b"".join(map(line_of, each.records)))
            blocks.append(
                Block(
                    session_id=each.session_id,
                    offset=out.bytes,
                    length=len(frame),
                    records=len(each.records),
                    first_position=each.records[0].position,
                    last_position=each.records[-1].position,
                    repeated=each.repeated,
                )
            )
            out.write(frame)
    times = [record.stored_at for each in sessions for record in each.records]
    manifest = _manifest(name, out, blocks, min(times), max(times))
    _require_as_written(root, manifest, sessions)
    _write_manifest(root, manifest)
    return manifest


def without_sessions(
    root: str, old: Manifest, session_ids: AbstractSet[str], name: str
) -> Manifest | None:
    """The same segment without these sessions, under another name; None if nothing is left.

    The old one stays where it is, and has to be there. Raises OperatorFault, or HistoryUnreadable.
    """
    kept = [each for each in old.blocks if each.session_id not in session_ids]
    if not kept:
        stored_bytes(segment_url(root, old.name), length=1)
        return None
    times: list[datetime] = []
    blocks: list[Block] = []
    with replacing(segment_url(root, name)) as file:
        out = _Counted(file)
        for each in kept:
            frame = _frame(root, old.name, each)
            times += [record.stored_at for record in _records_in(frame, each, old.name)]
            blocks.append(replace(each, offset=out.bytes))
            out.write(frame)
    manifest = _manifest(name, out, blocks, min(times), max(times))
    require_hash(root, manifest.name, manifest.sha256)
    _write_manifest(root, manifest)
    return manifest


def read_block(root: str, name: str, block: Block) -> list[HistoryRecord]:
    """A session's records, in order of position. Raises OperatorFault, or HistoryUnreadable."""
    return _records_in(_frame(root, name, block), block, name)


def require_hash(root: str, name: str, sha256: str) -> None:
    """Raise HistoryUnreadable unless the segment's file, as it is stored, has this SHA-256.

    Raises OperatorFault if it cannot be read.
    """
    url = segment_url(root, name)
    found = sha256_of(url)
    if found != sha256:
        raise HistoryUnreadable(f"{shown_url(url)} has SHA-256 {found}; expected {sha256}")


def read_manifest(root: str, name: str) -> Manifest:
    """The manifest of a segment. Raises OperatorFault, or HistoryUnreadable."""
    content = stored_bytes(manifest_url(root, name))
    try:
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HistoryUnreadable(
            f"{shown_url(manifest_url(root, name))} is not a manifest of a segment: {error}"
        ) from error


def remove_segment(root: str, name: str) -> bool:
    """Delete the segment, its manifest, and what was written of them before a kill -9.

    Returns whether there was any of it. Raises OperatorFault.
    """
    names = [each for each in names_in(root) if each.startswith(f"{name}.json")]
    for each in names:
        remove(f"{root.rstrip('/')}/{each}")
    return bool(names)


class _Counted:
    """A file that is written, with its length and hash."""

    def __init__(self, file: NamedFile) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._sha256.update(content)
        self.bytes += len(content)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


def _manifest(
    name: str, out: _Counted, blocks: Iterable[Block], stored_from: datetime, stored_until: datetime
) -> Manifest:
    blocks = tuple(blocks)
    return Manifest(
        v=FORMAT,
        name=name,
        sha256=out.sha256,
        bytes=out.bytes,
        records=sum(each.records for each in blocks),
        first_position=min(each.first_position for each in blocks),
        last_position=max(each.last_position for each in blocks),
        stored_from=stored_from,
        stored_until=stored_until,
        blocks=blocks,
    )


def _write_manifest(root: str, manifest: Manifest) -> None:
    with replacing(manifest_url(root, manifest.name)) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def _require_as_written(root: str, manifest: Manifest, sessions: Sequence[Archived]) -> None:
    """Raise HistoryUnreadable unless what is stored is what was to be written."""
    require_hash(root, manifest.name, manifest.sha256)
    for block, each in zip(manifest.blocks, sessions, strict=True):
        if read_block(root, manifest.name, block) != list(each.records):
            raise HistoryUnreadable(
                f"{shown_url(segment_url(root, manifest.name))}: session {each.session_id} reads"
                " back differently from what was written; nothing was removed"
            )


def _frame(root: str, name: str, block: Block) -> bytes:
    frame = stored_bytes(segment_url(root, name), block.offset, block.length)
    if len(frame) < block.length:
        raise HistoryUnreadable(
            f"segment {name} is cut off: {len(frame):,} of the {block.length:,} bytes of session"
            f" {block.session_id} are there, from byte {block.offset:,} of the file on"
        )
    return frame


def _records_in(frame: bytes, block: Block, name: str) -> list[HistoryRecord]:
    where = f"segment {name}, session {block.session_id}"
    try:
        content = zstandard.ZstdDecompressor().decompress(frame)
    except zstandard.ZstdError as error:
        raise HistoryUnreadable(f"{where}: {error}") from error
    records = [record_from(line) for line in content.split(b"\n") if line]
    if len(records) != block.records or any(
        each.session_id != block.session_id for each in records
    ):
        raise HistoryUnreadable(
            f"{where}: {len(records)} records; expected {block.records} of this session"
        )
    return records
