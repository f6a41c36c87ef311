"""Which command_ids the carrier has seen: it ignores a repeated one for 60 s only.

A command_id counts for the same call, and for a dial among dials. Source: developers.telnyx.com,
receiving webhooks for programmable voice. After 60 s the carrier performs the command again;
`effects` then counts it as doubled. Only performed commands are remembered: whether the carrier
remembers refused ones is not documented.
"""

from datetime import datetime, timedelta
from typing import Any

from offhook.recent import RecentDict

WINDOW = timedelta(seconds=60)
COMMAND_IDS_MAX = 200_000

DIALS = "dial"  # the scope of a dial's command_id; any other's is its call_control_id


class Ledger:
    """The answer to each command_id, for 60 s; at most `ids_max` of them."""

    def __init__(self, ids_max: int = COMMAND_IDS_MAX) -> None:
        self._answers = RecentDict[tuple[str, str], tuple[datetime, Any]](ids_max)

    def first_answer(self, scope: str, command_id: str, now: datetime) -> Any | None:
        """The answer when the command was performed, if that was less than 60 s ago."""
        found = self._answers.get((scope, command_id))
        if found is None or now - found[0] >= WINDOW:
            return None
        return found[1]

    def remember(self, scope: str, command_id: str, answer: Any, now: datetime) -> None:
        """Keep the answer to a command that was performed at `now`."""
        self._answers[scope, command_id] = (now, answer)
