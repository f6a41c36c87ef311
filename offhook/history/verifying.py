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
    """What was found. `by_key` counts the authentic ones by the number of their key, from 0."""

    authentic: int = 0
    altered: int = 0
    unsigned: int = 0
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
        signature = record.headers.get(SIGNATURE_HEADER, "")
        timestamp = record.headers.get(TIMESTAMP_HEADER, "")
        if not signature or not timestamp:
            self.unsigned += 1
            return self._example("unsigned", record)
        received = Signature(signature=signature, timestamp=timestamp)
        key = key_that_signed(record.body, received, keys)
        if key is None:
            self.altered += 1
            return self._example("altered", record)
        self.authentic += 1
        self.by_key[key] += 1
        return "authentic"

    def _example(self, verdict: Verdict, record: HistoryRecord) -> Verdict:
        if len(self.examples[verdict]) < EXAMPLES_MAX:
            self.examples[verdict].append(record)
        return verdict
