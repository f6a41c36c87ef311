"""Stored webhooks checked against the signatures that came with them, however old they are.

authentic  signed by one of the keys, and not changed since
altered    signed by none of them: body, timestamp or signature was changed, or the key is not known
unsigned   without a signature or a timestamp, as a captured webhook may be
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nacl.signing import VerifyKey

from offhook.events import WebhookReceived
from offhook.history.lines import HistoryRecord
from offhook.telnyx.signature import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Signature,
    key_that_signed,
)

EXAMPLES_MAX = 10
"""Records kept of each kind that is not authentic, the first ones."""

Verdict = Literal["authentic", "altered", "unsigned"]


@dataclass(kw_only=True)
class Verified:
    """What was found. `by_key` counts the authentic ones by the number of their key, from 0.

    `changed_segments` says what is wrong with each file of the archive that was changed.
    """

    authentic: int = 0
    altered: int = 0
    unsigned: int = 0
    changed_segments: list[str] = field(default_factory=list)
    by_key: Counter[int] = field(default_factory=Counter)
    examples: Mapping[str, list[HistoryRecord]] = field(
        default_factory=lambda: {"altered": [], "unsigned": []}
    )

    @property
    def webhooks(self) -> int:
        """How many were checked."""
        return self.authentic + self.altered + self.unsigned

    def check(self, record: HistoryRecord, keys: Sequence[VerifyKey]) -> Verdict | None:
        """Count a record; None if it is no webhook, which nobody signs."""
        if record.type != WebhookReceived.__name__:
            return None
        verdict, key = verdict_on(record.body, record.headers, keys)
        match verdict:
            case "authentic":
                self.authentic += 1
            case "altered":
                self.altered += 1
            case "unsigned":
                self.unsigned += 1
        if key is None:
            return self._example(verdict, record)
        self.by_key[key] += 1
        return verdict

    def _example(self, verdict: Verdict, record: HistoryRecord) -> Verdict:
        if len(self.examples[verdict]) < EXAMPLES_MAX:
            self.examples[verdict].append(record)
        return verdict


def verdict_on(
    body: bytes, headers: Mapping[str, str], keys: Sequence[VerifyKey]
) -> tuple[Verdict, int | None]:
    """The verdict on a stored webhook, and the number of the key that signed it, from 0."""
    signature = headers.get(SIGNATURE_HEADER, "")
    timestamp = headers.get(TIMESTAMP_HEADER, "")
    if not signature or not timestamp:
        return "unsigned", None
    received = Signature(signature=signature, timestamp=timestamp)
    key = key_that_signed(body, received, keys)
    return ("altered", None) if key is None else ("authentic", key)
