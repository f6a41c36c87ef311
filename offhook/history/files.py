"""Files of lines: plain or zstd, local or on anything that fsspec reaches; read as a stream.

A file gets its name when it is complete. Until then it is `NAME.<random>.part` beside it, which is
removed if writing fails; after kill -9 it stays behind, and can be deleted. `-` is standard output
or input, where nothing can be made whole at the end.
"""

import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, NoReturn

import fsspec  # type: ignore[import-untyped]
import zstandard
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from offhook.errors import HistoryUnreadable, OperatorFault, shown_url, words_of
from offhook.history.lines import HistoryRecord, record_from

STDIO = "-"
COMPRESSED = ".zst"
"""How the name of a compressed file ends. When reading, the content decides."""

LEVEL = 3
"""zstd's own default."""

LINE_BYTES_MAX = 64 * 1024 * 1024
"""The largest body is 6 MiB; in JSON each of its bytes may take 6. A longer line is no history."""

_STANDARD_OUTPUT = "standard output"

_READ_BYTES = 256 * 1024
_FED_BYTES = 16 * 1024
"""Compressed, they may be a hundred times as many and more, all at once in memory."""

_WRITE_BYTES = 1024 * 1024
_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1


class NamedFile:
    """A file to write. Its methods raise OperatorFault, which names it."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name

    def write(self, content: bytes) -> None:
        with _named(self._name, "written"):
            self._file.write(content)

    def flush(self) -> None:
        """Hand what is written to the system."""
        with _named(self._name, "written"):
            self._file.flush()

    def sync(self) -> None:
        """Have the system store it."""
        with _named(self._name, "written"):
            self._file.flush()
            os.fsync(self._file.fileno())


class LineWriter:
    """What `writing` hands out. `lines`, `bytes` and `sha256` are of the file as it is stored."""

    def __init__(self, file: NamedFile, *, compressed: bool) -> None:
        self.lines = 0
        self.bytes = 0
        self._sha256 = hashlib.sha256()
        self._file = file
        self._held = bytearray()
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._zstd = compressor.compressobj() if compressed else None

    @property
    def sha256(self) -> str:
        """Of what has been stored so far: of the whole file once `writing` has ended."""
        return self._sha256.hexdigest()

    def write(self, line: bytes) -> None:
        """Append a line, which ends with its newline. Raises OperatorFault."""
        self.lines += 1
        self._held += line
        if len(self._held) >= _WRITE_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write what is left. `writing` does it."""
        self._flush()
        if self._zstd is not None:
            self._store(self._zstd.flush())
        self._file.flush()

    def _flush(self) -> None:
        held = bytes(self._held)
        self._held.clear()
        self._store(held if self._zstd is None else self._zstd.compress(held))

    def _store(self, content: bytes) -> None:
        self._file.write(content)
        self._sha256.update(content)
        self.bytes += len(content)


@contextmanager
def writing(target: str) -> Iterator[LineWriter]:
    """Write lines to `target`, a path or URL, compressed if it ends in `.zst`; or to `-`.

    Whatever was at `target` is replaced at the end, at once. Raises OperatorFault if it cannot be
    written.
    """
    if target == STDIO:
        writer = LineWriter(standard_output(), compressed=False)
        yield writer
        writer.finish()
        return
    with replacing(target) as file:
        writer = LineWriter(file, compressed=target.endswith(COMPRESSED))
        yield writer
        writer.finish()


def standard_output() -> NamedFile:
    """Where `-` writes. It raises BrokenPipeError too: whoever reads it has seen enough."""
    return NamedFile(sys.stdout.buffer, _STANDARD_OUTPUT)


@contextmanager
def replacing(target: str) -> Iterator[NamedFile]:
    """A file to write, which gets the name `target`, a path or URL, at the end, at once.

    A device or a pipe is written to as it is.

    Raises OperatorFault if it cannot be written.
    """
    filesystem, path = _located(target)
    if isinstance(filesystem, LocalFileSystem):
        if os.path.exists(path) and not os.path.isfile(path):
            # A device, a pipe, or a folder, which cannot be opened. It must not be replaced.
            with _written(filesystem, path, target) as file:
                yield NamedFile(file, target)
            return
        path = os.path.realpath(path)  # /dev/stdout is a link, which must stay
    part = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with _written(filesystem, part, target) as file:
            named = NamedFile(file, target)
            yield named
            if isinstance(filesystem, LocalFileSystem):
                named.sync()
        with _named(target, "written"):
            _put_in_place(filesystem, part, path)
    except BaseException:
        with suppress(Exception):
            filesystem.rm_file(part)
        raise


def require_supported(name: str) -> None:
    """Raise OperatorFault if it is a URL that fsspec does not support here."""
    _located(name)


def stored_bytes(source: str, offset: int = 0, length: int | None = None) -> bytes:
    """The bytes of a file, all or `length` of them. Raises OperatorFault."""
    filesystem, path = _located(source)
    with _open(filesystem, path, "rb", source) as file, _named(source, "read"):
        file.seek(offset)
        return file.read(-1 if length is None else length)


def sha256_of(source: str) -> str:
    """The SHA-256 of a file as it is stored, in hexadecimal. Raises OperatorFault."""
    filesystem, path = _located(source)
    digest = hashlib.sha256()
    with _open(filesystem, path, "rb", source) as file:
        while content := _read(file, source):
            digest.update(content)
    return digest.hexdigest()


def make_folder(folder: str) -> None:
    """Create the folder, and those above it, unless it exists. Raises OperatorFault."""
    filesystem, path = _located(folder)
    with _named(folder, "created"):
        filesystem.makedirs(path, exist_ok=True)


def names_in(folder: str) -> list[str]:
    """The names of the files in a folder, sorted; none if it does not exist."""
    filesystem, path = _located(folder)
    with _named(folder, "read"):
        filesystem.invalidate_cache()
        if not filesystem.exists(path):
            return []
        found = filesystem.ls(path, detail=True)
    return sorted(each["name"].rpartition("/")[2] for each in found if each["type"] == "file")


def remove(target: str) -> None:
    """Delete the file, if there is one. Raises OperatorFault."""
    filesystem, path = _located(target)
    with _named(target, "deleted"), suppress(FileNotFoundError):
        filesystem.rm_file(path)


def lines_in(source: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, each with its number, from 1; empty ones are left out.

    `source` is a path or URL, or `-`. Raises OperatorFault if it cannot be opened, and
    HistoryUnreadable if it is damaged: a compressed file that was cut off is.
    """
    number = 0
    rest = b""
    for content in _contents_of(source):
        *lines, rest = (rest + content).split(b"\n") if b"\n" in content else [rest + content]
        for line in lines:
            number += 1
            if line.strip():
                yield number, line
        if len(rest) > LINE_BYTES_MAX:
            raise HistoryUnreadable(
                f"{shown_url(source)}, line {number + 1}: longer than {LINE_BYTES_MAX:,} bytes;"
                " expected a record of history in each line"
            )
    if rest.strip():
        yield number + 1, rest


def content_of(source: str, bytes_max: int) -> bytes:
    """The whole content of a file, decompressed. Raises OperatorFault or HistoryUnreadable."""
    contents: list[bytes] = []
    size = 0
    for content in _contents_of(source):
        contents.append(content)
        size += len(content)
        if size > bytes_max:
            raise HistoryUnreadable(
                f"{shown_url(source)} has over {bytes_max:,} bytes and is not one JSON value a line"
            )
    return b"".join(contents)


def records_in(source: str) -> Iterator[HistoryRecord]:
    """The records in a file of history, in its order.

    Raises OperatorFault, and HistoryUnreadable, which names the file and the line.
    """
    for number, line in lines_in(source):
        yield record_at(source, number, line)


def record_at(source: str, number: int, line: bytes) -> HistoryRecord:
    """The record in a line of a file. Raises HistoryUnreadable, which names both."""
    try:
        return record_from(line)
    except HistoryUnreadable as error:
        raise HistoryUnreadable(f"{shown_url(source)}, line {number}: {error}") from error


def _contents_of(source: str) -> Iterator[bytes]:
    if source == STDIO:
        yield from _plain(sys.stdin.buffer, source)
        return
    filesystem, path = _located(source)
    with _open(filesystem, path, "rb", source) as file:
        yield from _plain(file, source)


def _plain(file: IO[bytes], source: str) -> Iterator[bytes]:
    """The content, decompressed if need be: one frame after another."""
    content = _read(file, source)
    if _MAGIC.startswith(content) and (content or source.endswith(COMPRESSED)):
        what = (
            "it ends within the first bytes of its compressed content" if content else "it is empty"
        )
        raise HistoryUnreadable(f"{shown_url(source)} is incomplete: {what}")
    if not content.startswith(_MAGIC):
        while content:
            yield content
            content = _read(file, source)
        return
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    while content:
        if frame.eof:
            frame = decompressor.decompressobj()
        piece, content = content[:_FED_BYTES], content[_FED_BYTES:]
        try:
            yield frame.decompress(piece)
        except zstandard.ZstdError as error:
            raise HistoryUnreadable(f"{shown_url(source)} is damaged: {error}") from error
        content = (frame.unused_data + content) or _read(file, source)
    if not frame.eof:
        raise HistoryUnreadable(
            f"{shown_url(source)} is incomplete: it ends within its compressed content"
        )


def _read(file: IO[bytes], source: str) -> bytes:
    with _named(source, "read"):
        return file.read(_READ_BYTES)


def _put_in_place(filesystem: Any, part: str, path: str) -> None:
    if not isinstance(filesystem, LocalFileSystem):
        filesystem.mv(part, path)
        return
    os.replace(part, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)  # so that the name survives a power failure too
    finally:
        os.close(folder)


def _located(name: str) -> tuple[Any, str]:
    try:
        filesystem, path = fsspec.url_to_fs(name)
    except (ValueError, ImportError) as error:  # an unknown protocol, or one without its package
        _cannot(name, "opened", error)
    return filesystem, str(path)


def _open(filesystem: Any, path: str, mode: str, name: str) -> IO[bytes]:
    with _named(name, "opened"):
        file: IO[bytes] = filesystem.open(path, mode)
        return file


@contextmanager
def _written(filesystem: Any, path: str, name: str) -> Iterator[IO[bytes]]:
    file = _open(filesystem, path, "wb", name)
    try:
        yield file
    except BaseException:
        with suppress(Exception):  # a full disk says so again; what was raised first counts
            file.close()
        raise
    with _named(name, "written"):
        file.close()


@contextmanager
def _named(name: str, what: str) -> Iterator[None]:
    """Raise OperatorFault, naming the file, for what the system or a remote store says."""
    try:
        yield
    except Exception as error:  # each store of fsspec has errors of its own
        if name == _STANDARD_OUTPUT and isinstance(error, BrokenPipeError):
            raise
        _cannot(name, what, error)


def _cannot(name: str, what: str, error: Exception) -> NoReturn:
    why = error.strerror if isinstance(error, OSError) and error.strerror else words_of(error)
    raise OperatorFault(f"{shown_url(name)} cannot be {what}: {why}") from error
