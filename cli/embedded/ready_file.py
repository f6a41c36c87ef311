"""The ready file: `offhook up` writes addresses and keys to it, and other commands read them.

in the file                  the setting it stands for
nats, nats_monitor           nats_url, nats_monitor_urls
postgres                     postgres_url
api, token                   api_url, api_token: the token with the widest scope
ingress                      webhook_url, without the path of webhooks
public_key, signing_key      the development key, and the key that `offhook send` signs with
public_keys                  public_keys: all that ingress accepts, separated by commas
simulator, simulator_key     carrier_url, carrier_key; missing if the carrier is real
carrier                      carrier_url; missing if the carrier is the simulator
carrier_key_sha256           the first digits of a hash of carrier_key, to compare; missing as well
projector, workers           none: the addresses of their health; workers separated by commas
connection_id                connection_id: the simulator's, or the one in the settings
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

import httpx
import msgspec

from offhook.errors import OperatorFault
from offhook.settings import PREFIX, Settings
from offhook.telnyx.webhook_path import WEBHOOK_PATH

VARIABLE = PREFIX + "READY_FILE"
SIMULATOR_KEY = "simulator"
_FINGERPRINT_DIGITS = 12

RUNNING_TIMEOUT_S = 2.0


def write(path: Path, addresses: Mapping[str, str]) -> None:
    """Write the file as a whole, readable by its owner only. A reader never sees half of it."""
    part = _part_of(path)
    with private_file(part) as file:
        file.write(json.dumps(addresses, indent=2) + "\n")
    part.replace(path)


@contextmanager
def private_file(path: Path) -> Iterator[TextIO]:
    """A new file for secrets, which no other user can read, not even for an instant.

    A file or link that exists is removed first, as its permissions or its target would remain.
    """
    path.unlink(missing_ok=True)
    # O_EXCL follows no link that another user creates in the meantime.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        yield file


def require_writable(path: Path) -> None:
    """Raise OperatorFault if `write` would fail."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _part_of(path).touch()
        _part_of(path).unlink()
    except OSError as error:
        raise OperatorFault(f"{path} cannot be written: {error.strerror}") from error


def require_unused(path: Path) -> None:
    """Raise OperatorFault if the file is that of an `offhook up` that is running.

    One that was killed leaves its file, which is written over.
    """
    try:
        found = read(path)
    except OperatorFault:
        return
    api = found.get("api", "")
    headers = {"authorization": f"Bearer {found.get('token', '')}"}
    try:
        # Its token, because another program may have got the port since.
        answer = httpx.get(
            f"{api}/whoami", headers=headers, timeout=RUNNING_TIMEOUT_S, trust_env=False
        )
    except (httpx.HTTPError, httpx.InvalidURL):
        return
    if answer.status_code == httpx.codes.OK:
        raise OperatorFault(
            f"{path} is in use by an `offhook up` that is running, with its API at {api}; stop that"
            " first, or give another file"
        )


def remove(path: Path, addresses: Mapping[str, str]) -> None:
    """Remove the file, unless another `offhook up` has written its own in its place."""
    try:
        if read(path) == addresses:
            path.unlink(missing_ok=True)
    except OperatorFault:
        return


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def read(path: Path) -> dict[str, str]:
    """The content of the file. Raises OperatorFault, naming the file."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        raise OperatorFault(
            f"{path} does not exist: `offhook up --ready-file {path}` writes it once everything is "
            "ready, and removes it when it ends"
        ) from None
    except OSError as error:
        raise OperatorFault(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OperatorFault(f"{path} is not a ready file of `offhook up`: {error}") from error
    return found


def attached(settings: Settings, path: Path) -> Settings:
    """The settings, overridden by the file. Raises OperatorFault, naming the file.

    The file has precedence over variables because it was named for this command.
    """
    return dataclasses.replace(settings, **settings_in(read(path)))


def fingerprint(key: str) -> str:
    """A short hash that distinguishes two keys without revealing them."""
    return hashlib.sha256(key.encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def settings_in(found: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the content of a ready file stands for, by name."""
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
        values["webhook_url"] = found["ingress"] + WEBHOOK_PATH
    if "carrier" in found:
        values["carrier_url"] = found["carrier"]
    if "simulator" in found:
        values["carrier_url"] = f"{found['simulator']}/v2"
        values["carrier_key"] = found.get("simulator_key", SIMULATOR_KEY)
    return values
