"""The development key that `offhook up` keeps with its data."""

import base64
import os
from pathlib import Path

import pytest

from offhook.cli.embedded.development_keys import signing_keys
from offhook.errors import OperatorFault
from offhook.telnyx.signature import signing_key_from

GIVEN = base64.b64encode(bytes(32)).decode()


def test_a_directory_keeps_its_key_and_nobody_else_reads_it(tmp_path: Path) -> None:
    [made] = signing_keys(tmp_path, "")
    signing_key_from(made)
    assert signing_keys(tmp_path, "") == (made,)
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_a_start_that_was_killed_while_it_wrote_the_key_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "signing-key.part").write_text("half")
    assert signing_keys(tmp_path, "") == signing_keys(tmp_path, "") != ("half",)


def test_a_key_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        is_folder = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        synced.append((is_folder, (tmp_path / "signing-key").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    signing_keys(tmp_path, "")
    assert synced == [(False, False), (True, True)]


def test_the_kept_key_stays_known_once_another_one_signs(tmp_path: Path) -> None:
    assert signing_keys(tmp_path, GIVEN) == (GIVEN,)
    assert list(tmp_path.iterdir()) == []
    [kept] = signing_keys(tmp_path, "")
    assert signing_keys(tmp_path, GIVEN) == (GIVEN, kept)
    assert signing_keys(tmp_path, kept) == (kept,)


@pytest.mark.parametrize("content", [b"", b"AAAA", b"\xff\x00", b"no key"])
@pytest.mark.parametrize("given", ["", GIVEN])
def test_a_broken_file_is_named_with_what_to_do(tmp_path: Path, content: bytes, given: str) -> None:
    path = tmp_path / "signing-key"
    path.write_bytes(content)
    with pytest.raises(OperatorFault) as raised:
        signing_keys(tmp_path, given)
    assert str(raised.value).startswith(f"{path} has ")
    assert "Restore it from a backup. Or delete it" in str(raised.value)
    assert path.read_bytes() == content
