"""Files of lines: what is written is read back, and half a file never looks like a whole one."""

import hashlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.history.files import lines_in, records_in, replacing, writing
from offhook.history.lines import line_of
from tests.offhook.history.test_lines import RECORD

LINES = [b'{"a": %d}' % number for number in range(5)]


WRITTEN = b"".join(line + b"\n" for line in LINES)


def write(target: str, lines: list[bytes]) -> None:
    with writing(target) as file:
        for line in lines:
            file.write(line + b"\n")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.jsonl.zst"])
def test_what_is_written_is_read(folder: str, name: str) -> None:
    write(f"{folder}/{name}", LINES)
    assert [line for _, line in lines_in(f"{folder}/{name}")] == LINES
    assert os.listdir(folder) == [name]


def test_a_remote_store_is_as_good(folder: str) -> None:
    write("memory://history/calls.jsonl.zst", LINES)
    assert [line for _, line in lines_in("memory://history/calls.jsonl.zst")] == LINES
    assert [Path(each).name for each in fsspec.filesystem("memory").ls("/history", False)] == [
        "calls.jsonl.zst"
    ]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=400_000).map(lambda line: line.replace(b"\n", b"n"))),
    st.sampled_from(["", ".zst"]),
)
def test_lines_of_any_length_come_back(lines: list[bytes], ending: str) -> None:
    name = f"memory://history/any{ending}"
    assume(not lines or not lines[0].startswith(b"\x28\xb5\x2f\xfd"))  # the content decides
    write(name, lines)
    wanted = [line for line in lines if line.strip()]
    assert [line for _, line in lines_in(name)] == wanted


def test_the_writer_says_what_is_stored(folder: str) -> None:
    path = Path(folder, "calls.jsonl.zst")
    with writing(str(path)) as file:
        for line in LINES:
            file.write(line + b"\n")
    assert file.lines == len(LINES)
    assert file.bytes == path.stat().st_size
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_several_compressed_files_in_one_are_read_as_one(folder: str) -> None:
    path = Path(folder, "both.zst")
    for name in ("a.zst", "b.zst"):
        write(f"{folder}/{name}", LINES)
    path.write_bytes(Path(folder, "a.zst").read_bytes() + Path(folder, "b.zst").read_bytes())
    assert [line for _, line in lines_in(str(path))] == LINES * 2


def test_an_error_leaves_the_earlier_file_as_it_was(folder: str) -> None:
    path = Path(folder, "calls.jsonl")
    path.write_bytes(b"earlier\n")
    with pytest.raises(OperatorFault), writing(str(path)) as file:
        write(f"{folder}/none/calls.jsonl", LINES)
    assert file.lines == 0
    assert path.read_bytes() == b"earlier\n"
    assert os.listdir(folder) == ["calls.jsonl"]


def test_a_killed_writer_leaves_no_file_of_that_name(folder: str) -> None:
    code = (
        "import sys, time\nfrom offhook.history.files import writing\n"
        "with writing(sys.argv[1]) as file:\n"
        "    file.write(b'x' * 3_000_000 + b'\\n')\n"
        "    print('half', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, f"{folder}/calls.jsonl"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"half\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    [left] = os.listdir(folder)
    assert left.startswith("calls.jsonl.")
    assert left.endswith(".part")
    assert Path(folder, left).stat().st_size > 0


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_compressed_file_that_was_cut_off_is_incomplete(folder: str, cut: int) -> None:
    path = Path(folder, "calls.zst")
    write(str(path), LINES)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(HistoryUnreadable, match=r"calls\.zst is incomplete"):
        list(lines_in(str(path)))


@pytest.mark.parametrize("kept", range(4))
def test_the_first_bytes_of_a_compressed_file_are_incomplete(folder: str, kept: int) -> None:
    path = Path(folder, "calls.zst")
    write(str(path), LINES)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(HistoryUnreadable, match=r"calls\.zst is incomplete"):
        list(lines_in(str(path)))


def test_an_empty_file_has_no_lines(folder: str) -> None:
    Path(folder, "calls.jsonl").write_bytes(b"")
    write(f"{folder}/none.zst", [])
    assert [*lines_in(f"{folder}/calls.jsonl"), *lines_in(f"{folder}/none.zst")] == []


def test_a_compressed_file_with_an_altered_byte_is_damaged(folder: str) -> None:
    path = Path(folder, "calls.zst")
    write(str(path), LINES)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of the checksum
    path.write_bytes(content)
    with pytest.raises(HistoryUnreadable, match=r"calls\.zst is damaged"):
        list(lines_in(str(path)))


def test_an_unreadable_line_is_named(folder: str) -> None:
    path = Path(folder, "calls.jsonl")
    path.write_bytes(line_of(RECORD) + b"\n" + line_of(RECORD)[:-1] + b"\nhello\n")
    found = records_in(str(path))
    assert [next(found), next(found)] == [RECORD, RECORD]
    with pytest.raises(HistoryUnreadable, match=r"calls\.jsonl, line 4: b'hello'"):
        next(found)


def test_standard_output_and_input_are_files_too(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("-", LINES)
    written = capfdbinary.readouterr().out
    assert written.split() == b"\n".join(LINES).split()
    compressed = zstandard.ZstdCompressor().compress(written)
    for content in (written, compressed):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert [line for _, line in lines_in("-")] == LINES


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("{folder}/none.jsonl", "No such file"),
        ("{folder}", "directory"),
        ("moon://none.jsonl", "moon"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named(folder: str, name: str, why: str) -> None:
    name = name.format(folder=folder)
    with pytest.raises(OperatorFault, match=why) as raised:
        list(lines_in(name))
    assert name in str(raised.value)


def test_a_file_that_cannot_be_written_is_named(folder: str) -> None:
    Path(folder, "file").write_bytes(b"")
    with pytest.raises(OperatorFault, match=r"calls\.jsonl cannot be opened"):
        write(f"{folder}/file/calls.jsonl", LINES)


def test_a_pipe_is_written_to_and_stays(folder: str) -> None:
    pipe = f"{folder}/pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe, LINES)
        assert os.read(reader, 1_000_000) == WRITTEN
    finally:
        os.close(reader)
    assert Path(pipe).is_fifo()
    assert os.listdir(folder) == ["pipe"]


def test_a_device_is_written_to_and_stays(folder: str) -> None:
    link = f"{folder}/calls.jsonl"
    os.symlink("/dev/full", link)
    with pytest.raises(OperatorFault, match=r"calls\.jsonl cannot be written: No space left"):
        write(link, LINES)
    assert Path(link).is_char_device()
    assert Path(link).is_symlink()


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_file_without_lines_names_the_full_disk_too(size: int) -> None:
    """Whether the system says so when it is written or at the end."""
    full = pytest.raises(OperatorFault, match=r"^/dev/full cannot be written: No space left")
    with full, replacing("/dev/full") as file:
        file.write(bytes(size))


def test_the_file_behind_a_link_is_replaced(folder: str) -> None:
    os.symlink("calls.jsonl", f"{folder}/latest.jsonl")
    Path(folder, "calls.jsonl").write_bytes(b"")
    write(f"{folder}/latest.jsonl", LINES)
    assert Path(folder, "latest.jsonl").is_symlink()
    assert Path(folder, "calls.jsonl").read_bytes() == WRITTEN


def test_a_full_disk_is_named() -> None:
    code = (
        "from offhook.history.files import writing\n"
        "with writing('-') as file:\n    file.write(b'x\\n')\n"
    )
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert "standard output cannot be written: No space left on device" in done.stderr


def test_who_reads_standard_output_may_have_seen_enough() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITE_MUCH, "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": ""},  # as the program has it
    )
    assert child.stdout is not None
    assert child.stdout.read(1) == b"x"
    child.stdout.close()
    assert child.stderr is not None
    said = child.stderr.read().decode()
    child.stderr.close()
    child.wait(timeout=60)
    assert "\nBrokenPipeError: " in said
    assert "OperatorFault" not in said


def test_a_pipe_with_a_name_that_nobody_reads_any_more_is_named(folder: str) -> None:
    os.mkfifo(f"{folder}/pipe")
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITE_MUCH, f"{folder}/pipe"], stderr=subprocess.PIPE, text=True
    )
    with open(f"{folder}/pipe", "rb", buffering=0) as read:
        assert read.read(1) == b"x"
    _, said = child.communicate(timeout=60)
    assert f"OperatorFault: {folder}/pipe cannot be written: Broken pipe" in said


_WRITE_MUCH = (
    "import sys\nfrom offhook.history.files import writing\n"
    "with writing(sys.argv[1]) as file:\n    file.write(b'x' * 3_000_000 + b'\\n')\n"
)
