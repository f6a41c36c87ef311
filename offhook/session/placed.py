"""The leg that a dial placed, as the carrier's answer names it. Pure.

Its webhooks say the same and more, but may be late, lost, or sent to another program.
"""

import re
from collections.abc import Mapping
from typing import Any

from offhook.commands import Dial
from offhook.events import IssuedCommand, PlacedLeg, session_id_from


def placed_by(command: IssuedCommand, answer: Mapping[str, Any]) -> PlacedLeg | None:
    """The leg in the answer to a dial; None for any other command, or if it is not named."""
    data = answer.get("data")
    if command.operation != Dial.operation or not isinstance(data, Mapping):
        return None
    call_control_id, session_id = data.get("call_control_id"), session_of_answer(answer)
    if not isinstance(call_control_id, str) or not _IN_HEADERS.fullmatch(call_control_id):
        return None
    if session_id is None:
        return None
    asked = command.parameters
    return PlacedLeg(
        call_control_id=call_control_id,
        session_id=session_id,
        call_leg_id=_text(data.get("call_leg_id")),
        connection_id=_text(asked.get("connection_id")),
        # With bridge_intent the carrier uses the linked call's number instead.
        from_number=None if asked.get("bridge_intent") else _text(asked.get("from")),
        to_number=_called(asked.get("to")),
        client_state=_text(asked.get("client_state")),
        time_limit_s=_seconds(asked.get("time_limit_secs")),
    )


def session_of_answer(answer: Mapping[str, Any]) -> str | None:
    """The session that the carrier's answer to a dial names."""
    data = answer.get("data")
    session = data.get("call_session_id") if isinstance(data, Mapping) else None
    return session_id_from(session) if isinstance(session, str) and session else None


_IN_HEADERS = re.compile(r"[!-~]{1,256}")


def _called(to: object) -> str | None:
    """The number, as in webhooks; which of several numbers this leg calls is not documented."""
    numbers = [to] if isinstance(to, str) else to
    if not isinstance(numbers, list) or len(numbers) != 1 or not isinstance(numbers[0], str):
        return None
    return numbers[0].partition(",")[0]  # digits to play after the answer may follow


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(value: object) -> int | None:
    """A time limit that the carrier accepts: whole seconds, 30 to 14,400."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 30 <= value <= 14_400 else None
