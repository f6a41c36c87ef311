"""The development key that `offhook up` keeps with its data."""

from pathlib import Path

from offhook.cli.embedded.stack import kept_signing_key
from offhook.telnyx.signature import signing_key_from


def test_a_directory_keeps_its_key_and_nobody_else_reads_it(tmp_path: Path) -> None:
    made = kept_signing_key(tmp_path)
    signing_key_from(made)
    assert kept_signing_key(tmp_path) == made
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_a_start_that_was_killed_while_it_wrote_the_key_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "signing-key.part").write_text("half")
    assert kept_signing_key(tmp_path) == kept_signing_key(tmp_path) != "half"
