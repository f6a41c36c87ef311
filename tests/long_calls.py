"""A call with very many records: interim results of a transcription, each with its decision."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from offhook.events import (
    CallInitiated,
    CallTranscription,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    Record,
    TimerFired,
    TimerOrder,
    TimerSet,
    WebhookReceived,
)

SESSION = "long"
LEG = "v3:leg"
BEGAN = datetime(2026, 11, 26, 10, tzinfo=UTC)
RECORDS_EACH = 5
"""Of an event: itself, the decision with a command and a timer, and what became of them."""


def record(seq: int, fact: Fact, fact_id: str) -> Record:
    at = BEGAN + timedelta(milliseconds=20 * seq)
    return Record(seq=seq, stored_at=at, session_id=SESSION, fact=fact, fact_id=fact_id)


def transcription(number: int) -> WebhookReceived:
    return WebhookReceived(
        event=CallTranscription(
            event_id=f"event-{number}",
            occurred_at=BEGAN + timedelta(milliseconds=100 * number),
            payload={},
            call_control_id=LEG,
            call_session_id=SESSION,
            client_state=f"{number:08}",
            transcription_data={"transcript": "hello"},
        ),
        attempt=1,
    )


def initiated() -> Record:
    event = CallInitiated(
        event_id="initiated",
        occurred_at=BEGAN,
        payload={},
        call_control_id=LEG,
        call_session_id=SESSION,
        direction="incoming",
        to="+12025550101",
    )
    return record(1, WebhookReceived(event=event), "initiated")


def undecided(count: int) -> Iterator[Record]:
    """The call's start, and `count` facts that nobody has decided on."""
    yield initiated()
    for number in range(count):
        yield record(number + 2, transcription(number), f"event-{number}")


def decided(count: int) -> Iterator[Record]:
    """`count` facts, each with a decision, a command that succeeded and a timer that has fired."""
    for number in range(count):
        seq = RECORDS_EACH * number + 1
        command = IssuedCommand(
            command_id=f"command-{number}",
            operation="speak",
            call_control_id=LEG,
        )
        timer_id = f"{seq}-0"
        decision = Decided(
            cause_seq=seq,
            cause_id=f"event-{number}",
            flow="f",
            flow_version="1",
            worker="w",
            lease_s=3.0,
            commands=(command,),
            timers=(TimerOrder(timer_id=timer_id, name="silence", after_s=1.0),),
        )
        facts: list[tuple[Fact, str]] = [
            (transcription(number), f"event-{number}"),
            (decision, f"decided-{number}"),
            (CommandSucceeded(command_id=f"command-{number}"), f"outcome-{number}"),
            (TimerSet(timer_id=timer_id, name="silence", due_at=BEGAN), f"set-{number}"),
            (TimerFired(timer_id=timer_id, name="silence", due_at=BEGAN), f"fired-{number}"),
        ]
        for place, (fact, fact_id) in enumerate(facts):
            yield record(seq + place, fact, fact_id)
