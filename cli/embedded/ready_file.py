"""The ready file: what `offhook up` writes for other programs, and other commands read back.

in the file                  the setting it stands for
nats, nats_monitor           nats_url, nats_monitor_urls
postgres                     postgres_url
api, token                   api_url, api_token: of several the one that may do most
ingress                      webhook_url, with the path of webhooks
public_key, signing_key      the development key, and the key that `offhook send` signs with
public_keys                  public_keys: all that ingress knows, with commas between
simulator, simulator_key     carrier_url, carrier_key; left out where the carrier is real
carrier                      carrier_url; left out where the simulator is the carrier
carrier_key_sha256           the beginning of a hash of carrier_key, to compare with; left out too
projector, workers           none: where their health is, workers with commas between
connection_id                connection_id: the simulator's, or the one of the settings
"""

import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import msgspec

from offhook.errors import OperatorFault
from offhook.settings import PREFIX, Settings

VARIABLE = PREFIX + "READY_FILE"
SIMULATOR_KEY = "simulator"
_FINGERPRINT_DIGITS = 12


def write(path: Path, addresses: Mapping[str, str]) -> None:
    """A reader sees the whole file or none, and no other user sees it at all."""
    part = _part_of(path)
    with private_file(part) as file:
        file.write(json.dumps(addresses, indent=2) + "\n")
    part.replace(path)


@contextmanager
def private_file(path: Path) -> Iterator[TextIO]:
    """A new file to write secrets to, which nobody else may read, not even for an instant.

    What was there is removed first: its own permissions, or a link's target, would stay.
    """
    path.unlink(missing_ok=True)
    # O_EXCL follows no link that somebody puts there in between.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        yield file


def require_writable(path: Path) -> None:
    """Raise OperatorFault if `write` could not."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _part_of(path).touch()
        _part_of(path).unlink()
    except OSError as error:
        raise OperatorFault(f"{path} cannot be written: {error.strerror}") from error


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def read(path: Path) -> dict[str, str]:
    """What is in the file. Raises OperatorFault naming it."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        raise OperatorFault(
            f"{path} is not there: `offhook up --ready-file {path}` writes it once all is ready, "
            "and removes it at its end"
        ) from None
    except OSError as error:
        raise OperatorFault(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OperatorFault(f"{path} is no ready file of `offhook up`: {error}") from error
    return found


def attached(settings: Settings, path: Path) -> Settings:
    """The settings, with what the file says in their place. Raises OperatorFault naming the file.

    The file wins over variables: it was named for this very command, they may be of last week.
    """
    return dataclasses.replace(settings, **settings_in(read(path)))


def fingerprint(key: str) -> str:
    """What tells two keys apart and gives neither away; a whole key stays out of the file."""
    return hashlib.sha256(key.encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def settings_in(found: Mapping[str, str]) -> dict[str, Any]:
    names = {
        "nats": "nats_url",
        "postgres": "postgres_url",
        "api": "api_url",
        "token": "api_token",
        "signing_key": "signing_key",
        "connection_id": "connection_id",
    }
    values: dict[str, Any] = {names[key]: found[key] for key in names if key in found}
    if "nats_monitor" in found:
        values["nats_monitor_urls"] = (found["nats_monitor"],)
    if keys := found.get("public_keys", found.get("public_key")):
        values["public_keys"] = tuple(keys.split(","))
    if "ingress" in found:
        from offhook.ingress.webhook import (
            PATH,  # not at the top: it brings the whole NATS client along
        )

        values["webhook_url"] = found["ingress"] + PATH
    if "carrier" in found:
        values["carrier_url"] = found["carrier"]
    if "simulator" in found:
        values["carrier_url"] = f"{found['simulator']}/v2"
        values["carrier_key"] = found.get("simulator_key", SIMULATOR_KEY)
    return values
