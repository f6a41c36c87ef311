"""Compares the simulator's record of effects with the views: was anything lost or doubled?

lost      a webhook that was sent but is not in the log; a leg whose end, cause or answer is not in
          the views; a command without an outcome, or that succeeded without an effect
doubled   an effect that the simulator performed twice
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import quantiles
from typing import Any

from offhook.projections.views.commands import CommandView, list_every_command
from offhook.projections.views.database.engine import Engine
from offhook.projections.views.legs import LegView, list_every_leg
from offhook.projections.views.stored.event_log import read_event_ids, read_times_of_facts

EXAMPLES_MAX = 5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Counts, and everything that was lost or doubled. Times are in milliseconds."""

    calls: int
    legs: int
    events: int
    copies: int  # webhooks sent again on purpose
    held_back: int  # webhooks sent late on purpose
    commands: int
    lost: Sequence[str] = field(default_factory=list)
    doubled: Sequence[str] = field(default_factory=list)
    command_ms: Sequence[float] = field(default_factory=list)  # webhook in the log -> at carrier

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost and nothing doubled."""
        return not self.lost and not self.doubled

    def percentile_ms(self, percent: int) -> float | None:
        """A percentile of the latencies; None with fewer than two of them."""
        if len(self.command_ms) < 2:
            return None
        return quantiles(self.command_ms, n=100, method="inclusive")[percent - 1]


async def verdict(engine: Engine, report: Mapping[str, Any]) -> Verdict:
    """Compare the views with `report`: the simulator's `GET /simulator/effects` after all calls."""
    async with engine.connect() as connection:
        stored = await read_event_ids(connection)
        legs = {leg.call_control_id: leg for leg in await list_every_leg(connection)}
        commands = await list_every_command(connection)
        stored_at = await read_times_of_facts(connection)
    effects = {each["command_id"]: each for each in report["effects"] if each["command_id"]}
    return Verdict(
        calls=len({leg["call_session_id"] for leg in report["legs"]}),
        legs=len(report["legs"]),
        events=len(report["events"]),
        copies=report["webhooks"]["duplicates"],
        held_back=report["webhooks"]["held_back"],
        commands=len(commands),
        lost=[
            *(
                f"webhook {e['event_type']} {e['id']}"
                for e in report["events"]
                if e["id"] not in stored
            ),
            *(problem for leg in report["legs"] if (problem := _leg_problem(leg, legs))),
            *_lost_commands(commands, effects),
            *(
                f"the simulator has forgotten {count} {name}"
                for name, count in report["forgotten"].items()
                if count
            ),
        ],
        doubled=[f"{e['operation']} {e['command_id']} × {e['count']}" for e in report["doubled"]],
        command_ms=_latencies_ms(commands, effects, stored_at),
    )


def _lost_commands(
    commands: Sequence[CommandView], effects: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """What is wrong with a command in the views, and effects of commands that they do not have."""
    for row in commands:
        if problem := _command_problem(row, effects):
            yield problem
    known = {row.command_id for row in commands}
    for command_id, effect in effects.items():
        if command_id not in known:
            yield f"effect {effect['operation']} {command_id} is in no view"


def _latencies_ms(
    commands: Sequence[CommandView],
    effects: Mapping[str, Mapping[str, Any]],
    stored_at: Mapping[int, datetime],
) -> list[float]:
    """For each command that was performed, from its cause in the log to its effect."""
    return [
        (datetime.fromisoformat(effect["at"]) - began_at).total_seconds() * 1000
        for row in commands
        if (effect := effects.get(row.command_id))
        and (began_at := stored_at.get(row.cause_seq or 0)) is not None
    ]


def _leg_problem(leg: Mapping[str, Any], rows: Mapping[str, LegView]) -> str:
    row = rows.get(leg["call_control_id"])
    name = f"leg {leg['call_control_id']}"
    if row is None:
        return f"{name} is in no view"
    pairs = {
        "session": (leg["call_session_id"], row.session_id),
        "answered_at": (_time(leg["answered_at"]), row.answered_at),
        "ended_at": (_time(leg["ended_at"]), row.ended_at),
        "hangup_cause": (leg["hangup_cause"], row.hangup_cause),
    }
    wrong = [f"{what} is {has}, was {was}" for what, (was, has) in pairs.items() if was != has]
    return f"{name}: {'; '.join(wrong)}" if wrong else ""


def _command_problem(row: CommandView, performed: Mapping[str, Any]) -> str:
    name = f"command {row.operation} {row.command_id}"
    if row.status not in ("succeeded", "failed"):
        return f"{name} has no outcome"
    if row.status == "failed" and row.reason == "deadline":
        return f"{name} was given up at its deadline"
    # A hangup of an ended call succeeds without an effect; its answer is then empty.
    if row.status == "succeeded" and row.answer and row.command_id not in performed:
        return f"{name} succeeded in the views, but was never performed"
    return ""


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
