"""The keys that sign the webhooks of `offhook up`; one is made, and kept with the data."""

import base64
import os
from pathlib import Path

from nacl.signing import SigningKey

from offhook.errors import OperatorFault, SettingInvalid
from offhook.telnyx.signature import signing_key_from

FILE = "signing-key"


def signing_keys(directory: Path, given: str) -> tuple[str, ...]:
    """The given key, if there is one, and the directory's, which is made if there is no other.

    The first one signs. With a new one at each start, or without the directory's once one is given,
    webhooks of earlier starts would look altered to `offhook verify`. Raises OperatorFault if the
    directory's file is broken.
    """
    path = directory / FILE
    if not path.exists():
        if given:
            return (given,)
        _write(path, base64.b64encode(bytes(SigningKey.generate())))
    return tuple(dict.fromkeys((given, _read(path)) if given else (_read(path),)))


def _read(path: Path) -> str:
    text = path.read_bytes().decode(errors="replace").strip()
    try:
        signing_key_from(text)
    except SettingInvalid:
        raise OperatorFault(
            f"{path} has {len(text)} characters that are no signing key; expected base64 of 32"
            " bytes. Restore it from a backup. Or delete it: a new key is made, and to `offhook"
            " verify` the webhooks that the lost one signed look altered"
        ) from None
    return text


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and readable by its owner alone."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(part, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # so that the name survives a power failure too
    finally:
        os.close(folder)
