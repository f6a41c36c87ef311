"""Sessions that are written down record by record, and a flow that is tried on them."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from offhook.cli.whatif.replay import Replay, Replayed, Row
from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.commands import Answer, Speak
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    Decided,
    Event,
    Fact,
    IssuedCommand,
)
from offhook.flow import Flow, Order
from offhook.session import Session
from tests.cli.whatif.recording import SESSION

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEG = "v3:leg-a"


def flow_of(decide: Any, name: str = "f", version: str = "1") -> Flow:
    return Flow(name=name, version=version, decide=decide)


async def replayed(rows: Sequence[Row], flow: Flow, *names: str) -> Replayed:
    replay = Replay(flow, frozenset(names or (flow.name,)), nullcontext)
    return await replay.of(SESSION, rows)


class History:
    """Records of a call, as they are stored, a second apart."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def webhook(self, event: Any) -> int:
        encoded = encoded_webhook(wire_body(event), event.event_id)
        return self._add(encoded.type, encoded.version, encoded.body)

    def fact(self, fact: Fact) -> int:
        encoded = encode(fact, SESSION)
        return self._add(encoded.type, encoded.version, encoded.body)

    def decided(
        self,
        seq: int,
        *commands: IssuedCommand,
        flow: str = "f",
        version: str = "1",
        in_seq: int | None = None,
    ) -> int:
        return self.fact(
            Decided(
                cause_seq=seq, cause_id="x", flow=flow, flow_version=version, worker="w",
                lease_s=3.0, commands=commands, in_seq=in_seq,
            )
        )  # fmt: skip

    def _add(self, type_name: str, version: int, body: bytes) -> int:
        seq = len(self.rows) + 1
        self.rows.append((seq, type_name, version, NOW + timedelta(seconds=seq), body))
        return seq


def command(operation: str, number: int = 1, **parameters: Any) -> IssuedCommand:
    return IssuedCommand(
        command_id=f"{operation}-{number}", operation=operation, call_control_id=LEG,
        parameters=parameters,
    )  # fmt: skip


def initiated() -> CallInitiated:
    return CallInitiated(event_id="e1", call_control_id=LEG, direction="incoming")


def answered() -> CallAnswered:
    return CallAnswered(event_id="e2", call_control_id=LEG)


def hung_up() -> CallHangup:
    return CallHangup(event_id="e3", call_control_id=LEG)


def greet(event: Event, session: Session) -> Sequence[Order]:
    match event:
        case CallInitiated():
            return [Answer()]
        case CallAnswered():
            return [Speak(payload="Hello", voice="female")]
        case _:
            return []
