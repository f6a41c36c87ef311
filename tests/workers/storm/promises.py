"""What must hold after every storm: in the log, at the carrier, and inside the workers."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from offhook.events import (
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    IssuedCommand,
    Record,
    TimerFired,
    WebhookReceived,
)
from tests.workers.storm.carrier import Sent, StormCarrier, key_of
from tests.workers.storm.log import BASE, StormLog
from tests.workers.storm.weather import Weather
from tests.workers.storm.worker import StormWorker

DEADLINE_S = 45.0
TO_BE_DECIDED = (WebhookReceived, CommandRequested, CommandFailed, TimerFired)


class Aftermath(Protocol):
    """A storm that is over."""

    weather: Weather
    log: StormLog
    carrier: StormCarrier
    workers: dict[str, StormWorker]


def broken_by(storm: Aftermath) -> list[str]:
    """Each broken promise in a sentence."""
    found: list[str] = []
    for session_id, records in storm.log.records().items():
        session = _Session(records, storm)
        broken = [*session.decisions(), *session.timers(), *session.commands()]
        found += [f"{session_id}: {each}" for each in broken]
    for worker in storm.workers.values():
        found += [f"{worker.name}, {worker.state}: {each}" for each in _left_in(worker)]
    return found


class _Session:
    def __init__(self, records: Sequence[Record], storm: Aftermath) -> None:
        self._records = records
        self._carrier = storm.carrier
        self._decided = {
            record.seq: (record, record.fact)
            for record in records
            if isinstance(record.fact, Decided)
        }
        self._outcomes = {
            record.fact.command_id: (record, record.fact)
            for record in records
            if isinstance(record.fact, CommandSucceeded | CommandFailed)
        }
        self._requested_at = {
            record.fact.command.command_id: record.stored_at
            for record in records
            if isinstance(record.fact, CommandRequested)
        }
        # What a worker cannot know before it sends: its clock's error, and a slow log's delay.
        slow_s = 0.0 if storm.weather.log_s < 0.1 else 6 * storm.weather.log_s
        self._age_s_max = DEADLINE_S + 2 * storm.weather.skew_s + slow_s + 0.2

    def decisions(self) -> Iterator[str]:
        """Each record has one decision, each command one outcome."""
        causes = [decided.cause_seq for _, decided in self._decided.values()]
        if len(causes) != len(set(causes)):
            yield "a record was decided on twice"
        wanted = {each.seq: each for each in self._records if isinstance(each.fact, TO_BE_DECIDED)}
        for seq in wanted.keys() - causes:
            yield f"{type(wanted[seq].fact).__name__} at {seq} was never decided on"
        outcomes = [
            each
            for each in self._records
            if isinstance(each.fact, CommandSucceeded | CommandFailed)
        ]
        if len(outcomes) != len(self._outcomes):
            yield "a command has two outcomes"

    def timers(self) -> Iterator[str]:
        """Each timer fires once."""
        are_set = [
            order.timer_id
            for _, decided in self._decided.values()
            for order in decided.timers
            if order.after_s
        ]
        fired = [each.fact.timer_id for each in self._records if isinstance(each.fact, TimerFired)]
        if sorted(are_set) != sorted(fired):
            yield f"timers {are_set} were set, {fired} fired"

    def commands(self) -> Iterator[str]:
        """Each command is sent in order, in time, unchanged; the log says what came of it."""
        for record, decided in self._decided.values():
            earliest = float("-inf")
            for command in decided.commands:
                sent = self._carrier.sent.get(key_of(command), [])
                yield from (
                    f"{command.operation} {each}"
                    for each in (
                        *self._sending(command, sent, record.stored_at, earliest),
                        *self._outcome(command, sent),
                    )
                )
                if command.command_id in self._outcomes:
                    earliest = _seconds(self._outcomes[command.command_id][0].stored_at) - 0.001

    def _sending(
        self,
        command: IssuedCommand,
        sent: Sequence[Sent],
        decided_at: datetime,
        earliest: float,
    ) -> Iterator[str]:
        begun_at = _seconds(self._requested_at.get(command.command_id, decided_at))
        for each in sent:
            if each.command.parameters != command.parameters:
                yield "was sent with another content"
            if each.at - begun_at > self._age_s_max:
                yield f"was sent after {each.at - begun_at:.1f} s"
            if each.at < earliest:
                yield "was sent before the outcome of the one before"
        performed = self._carrier.performed.get(key_of(command), [])
        if len(performed) > 1:
            yield f"was performed {len(performed)} times, at {performed}"

    def _outcome(self, command: IssuedCommand, sent: Sequence[Sent]) -> Iterator[str]:
        if command.command_id not in self._outcomes:
            yield "has no outcome"
            return
        _, fact = self._outcomes[command.command_id]
        is_performed = bool(self._carrier.performed.get(key_of(command)))
        match fact:
            case CommandFailed(maybe_performed=False) if is_performed:
                yield f"was performed, but the log says not: {fact.reason}, {fact.detail}"
            case CommandFailed(attempts=0) if sent:
                yield "was sent, but the log says that nothing was"
            case CommandSucceeded() if fact.http_status and not is_performed:
                yield "succeeded without an effect"


def _left_in(worker: StormWorker) -> Iterator[str]:
    """Whatever a worker took it has given back."""
    slots, queue, dispatcher = worker.slots, worker.queue, worker.dispatcher
    taken = (slots._taken, slots._too_many, slots._count - slots._free._value)
    if any(taken):
        yield f"slots are taken: {taken}"
    queued = (queue._in_flight, sum(map(len, queue._queues)), queue._pausing)
    if any(queued):
        yield f"commands are in flight, queued, pausing: {queued}"
    for name, window in worker.limits._windows.items():
        if window._in_flight:
            yield f"{window._in_flight} commands are in flight for the limit {name}"
    held = (len(dispatcher._held), dispatcher._without_slot, dispatcher._handed_over)
    if any(held):
        yield f"deliveries are held, without a slot, handed over: {held}"


def _seconds(at: datetime) -> float:
    """In the loop's time."""
    return (at - BASE).total_seconds()
