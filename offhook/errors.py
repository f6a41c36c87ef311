"""Every error Offhook raises on purpose, in three families.

OffhookError
├── SenderFault                 what was sent is wrong: refuse it, never retry
│   ├── WebhookRefused
│   │   ├── SignatureMissing    no signature or timestamp header, or an empty one
│   │   ├── SignatureInvalid    signed by no known key, or the body was altered
│   │   ├── TimestampOutside    authentic, but older or newer than the tolerance
│   │   └── WebhookVersionOne   an API v1 webhook (HMAC header)
│   ├── ParameterInvalid        a command's parameter: names operation, field and value
│   ├── OperationUnknown        no such call control operation
│   ├── RecordUnreadable        bytes in the log that no known version decodes
│   ├── HistoryUnreadable       a file of history, or a line of it, that cannot be read
│   ├── SelectionInvalid        a choice of records that means nothing: names the value
│   └── SettingInvalid          an OFFHOOK_* variable: names it and what was expected
├── PassingFault                may work later: retry with backoff, do not acknowledge
│   ├── LogUnavailable          JetStream did not answer in time
│   │   └── LogUnreachable      no NATS server answers at the address in the settings
│   ├── PositionTaken           somebody else appended first: read again, decide again
│   ├── DeliveryDoubtful        a record may be missing or out of order: back to the checkpoint
│   └── CheckpointMoved         another projector was here: nothing of this batch may be committed
└── OperatorFault               the deployment is wrong: stop, and say what to change
    ├── LogUnsafe               the server would lose acknowledged writes
    ├── LogMissing              a stream or consumer was never provisioned
    ├── ArchiveUnreadable       a file with archived sessions is out of reach or damaged
    ├── LogReplaced             the stream is not the one that the views were built from
    ├── PostgresUnreachable     no PostgreSQL answers at the address in the settings
    ├── PartMissing             an embedded server's wheel is not installed
    └── AddressUnusable         a role cannot listen where its settings say

Our own mistakes are assertions; nothing catches them.
"""

import difflib
import re
from collections.abc import Iterable

from offhook.redact import SECRET_IN_URL, hidden, is_secret_name


class OffhookError(Exception):
    """The root: anything Offhook raises on purpose."""


class SenderFault(OffhookError):
    """What was sent is wrong. Sending it again gives the same answer."""


class WebhookRefused(SenderFault):
    """A webhook that is not kept."""


class SignatureMissing(WebhookRefused):
    """No signature or timestamp header, or an empty one."""


class SignatureInvalid(WebhookRefused):
    """Not signed by any known key, or changed in transit."""


class TimestampOutside(WebhookRefused):
    """Authentic, but signed longer ago (or further ahead) than the tolerance."""


class WebhookVersionOne(WebhookRefused):
    """An API v1 webhook: the application's webhook_api_version is "1"."""


class ParameterInvalid(SenderFault):
    """A parameter that the carrier's documents do not allow. `value` is None if there was none.

    `field` is the parameter, `inside` the place in it that is wrong (`.type`, `[1].name`), if any.
    The message never shows a secret: messages end in logs and in the log.
    """

    def __init__(
        self, operation: str, field: str, value: object, rule: str, *, inside: str = ""
    ) -> None:
        self.operation = operation
        self.field = field
        self.inside = inside
        self.value = value
        self.rule = rule
        place = field + inside
        seen = "a secret" if is_secret_name(field) else shown(hidden(value))
        given = "is missing" if value is None else f"is {seen}"
        super().__init__(f"{operation}: {place} {given}; {rule}")

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer (RFC 6901): `/to/1`, `/webhook_urls/call.hangup`."""
        steps = re.findall(r"\['(.*?)'\]|\[(\d+)\]|\.([^.\[]+)", self.inside)
        names = [self.field, *("".join(step) for step in steps)]
        return "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in names)


class OperationUnknown(SenderFault):
    """No such call control operation."""


class RecordUnreadable(SenderFault):
    """Bytes in the log that no known record version decodes."""


class HistoryUnreadable(SenderFault):
    """A file of exported records that cannot be read, or a line of it: names which."""


class SelectionInvalid(SenderFault):
    """A choice of records that means nothing, or names what does not exist."""


class SettingInvalid(SenderFault):
    """An environment variable with a value Offhook cannot use."""


class PassingFault(OffhookError):
    """May work later."""


class LogUnavailable(PassingFault):
    """JetStream did not answer in time."""


class LogUnreachable(LogUnavailable):
    """No NATS server answers at the address in the settings."""


class PositionTaken(PassingFault):
    """The expected last sequence no longer holds: somebody else appended first."""


class DeliveryDoubtful(PassingFault):
    """A record may be missing or out of order: reset the consumer to the checkpoint."""


class CheckpointMoved(PassingFault):
    """Another projector has these partitions: nothing of this batch may be committed."""

    def __init__(self, message: str, partitions: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.partitions = frozenset(partitions)


class OperatorFault(OffhookError):
    """The deployment is wrong; retrying does not help."""


class PostgresUnreachable(OperatorFault):
    """No PostgreSQL answers at the address in the settings."""


class LogUnsafe(OperatorFault):
    """The server does not report sync_always and would lose acknowledged writes."""


class LogMissing(OperatorFault):
    """A stream or consumer that `offhook provision` creates is missing."""


class ArchiveUnreadable(OperatorFault):
    """A session is archived, and its file cannot be read: names both."""


class LogReplaced(OperatorFault):
    """The stream is not the one that the views were built from, or has lost records."""


class PartMissing(OperatorFault):
    """An embedded server's wheel is not installed."""


class AddressUnusable(OperatorFault):
    """A role cannot listen at the address in its settings: it is in use, or not of this machine."""


def words_of(error: BaseException) -> str:
    """Its message; if it has none, as asyncio's TimeoutError, what it is.

    `repr` would leave out what nats-py keeps of a server's answer.
    """
    if not str(error) and isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


_SHOWN_CHARS_MAX = 80


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean timeout_secs?`; empty if nothing that is known resembles the name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
    return f"; did you mean {near[0]}?" if near else ""


_NEAR = 0.8


def shown(value: object) -> str:
    """The value for a message: as in Python, and short."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"


def shown_url(text: str) -> str:
    """A URL, or several separated by commas, for a message: without secrets.

    User and password are left out, and so are the values of secret parameters (`?password=…`).
    """
    parts = _SCHEME.split(text)
    # Everything up to the last @: a password may contain what should have been percent-encoded.
    shown = [part if _SCHEME.fullmatch(part) else part.rpartition("@")[2] for part in parts]
    return _SECRET_PARAMETER.sub(r"\1…", "".join(shown))


def secrets_of_url(text: str) -> list[str]:
    """The secrets in a URL: passwords, tokens in place of a user, secret parameters.

    NATS takes a token where others have a user; a user of PostgreSQL is only a name.
    """
    found = [match[2] for match in _SECRET_PARAMETER.finditer(text)]
    pieces = ["", *_SCHEME.split(text)]
    for scheme, part in zip(pieces[::2], pieces[1::2], strict=True):
        userinfo, at, _ = part.rpartition("@")
        user, colon, password = userinfo.partition(":")
        if at and (colon or not scheme.startswith("postgres")):
            found.append(password if colon else user)
    return found


_SCHEME = re.compile(r"([A-Za-z][\w+.-]*://)")
_SECRET_PARAMETER = re.compile(rf"([?&][^=&]*(?:{SECRET_IN_URL})[^=&]*=)([^&\s,]*)", re.IGNORECASE)
