"""A flow is shown what the worker had read by then, which may be less than what was stored."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from offhook.cli.whatif.replay import Row
from offhook.commands import Hangup, Speak
from offhook.events import CallInitiated, CommandFailed, Event, LegPlaced, PlacedLeg
from offhook.flow import Order
from offhook.position import position_of
from offhook.session import Session
from tests.cli.whatif.history import History, command, flow_of, greet, initiated, replayed
from tests.cli.whatif.recording import SESSION


async def test_a_record_that_the_worker_had_not_read_yet_is_kept_from_the_flow() -> None:
    """It reads the two sides one after the other: the one may be older than the other."""

    def counts(event: Event, session: Session) -> Sequence[Order]:
        return [Speak(payload=f"{len(session.legs)} legs", voice="female")]

    history = History()
    history.decided(
        history.webhook(initiated()), command("speak", payload="1 legs", voice="female")
    )
    unread = history.webhook(CallInitiated(event_id="e4", call_control_id="v3:leg-b"))
    failed = CommandFailed(command_id="speak-1", operation="speak", reason="refused")
    one = command("speak", 2, payload="1 legs", voice="female")
    history.decided(history.fact(failed), replace(one, call_control_id=None))
    other = command("speak", 3, payload="2 legs", voice="female")
    history.decided(unread, replace(other, call_control_id="v3:leg-b"))
    found = await replayed(history.rows, flow_of(counts))
    assert (found.verdict, found.same) == ("same", 3), found


def by_legs(event: Event, session: Session) -> Sequence[Order]:
    match event:
        case CommandFailed():
            return [Hangup()] * len(session.legs)
        case _:
            return greet(event, session)


def placed_unread(*in_seqs: int | None) -> History:
    """Several commands fail; another leg is placed, and the decisions on them read so far."""
    history = History()
    commands = [command("speak", number) for number in range(len(in_seqs))]
    history.decided(history.webhook(initiated()), *commands, flow="other", in_seq=1)
    placed = PlacedLeg(call_control_id="v3:leg-b", session_id=SESSION)
    history.fact(LegPlaced(leg=placed, command_id="c", command_session_id="s"))
    failed = [
        history.fact(CommandFailed(command_id=each.command_id, operation="speak", reason="refused"))
        for each in commands
    ]
    for seq, in_seq in zip(failed, in_seqs, strict=True):
        legs = 1 if in_seq == 1 else 2
        hangups = [replace(command("hangup", legs), call_control_id=None) for _ in range(legs)]
        history.decided(seq, *hangups, in_seq=in_seq)
    return history


@pytest.mark.parametrize("in_seqs", [(1,), (3,), (None,), (1, 3), (3, 1), (3, 1, 3, 1), (1, None)])
async def test_a_flow_is_shown_what_the_worker_had_read(in_seqs: Sequence[int | None]) -> None:
    """Also what needs no decision; and one worker may have read less than another before it."""
    found = await replayed(placed_unread(*in_seqs).rows, flow_of(by_legs))
    assert (found.verdict, found.same) == ("same", len(in_seqs)), found


async def test_a_worker_of_an_earlier_version_may_have_read_less() -> None:
    history = History()
    history.decided(history.webhook(initiated()), command("speak"), flow="other", in_seq=1)
    legs = [
        history.webhook(CallInitiated(event_id=f"e-{each}", call_control_id=f"v3:leg-{each}"))
        for each in "bc"
    ]
    answers = [replace(command("answer"), call_control_id=f"v3:leg-{each}") for each in "bc"]
    failed = CommandFailed(command_id="speak-1", operation="speak", reason="refused")
    seq = history.fact(failed)
    history.decided(legs[0], answers[0], in_seq=legs[1])
    history.decided(seq, *[replace(command("hangup"), call_control_id=None)] * 2)
    history.decided(legs[1], answers[1], in_seq=legs[1])
    found = await replayed(history.rows, flow_of(by_legs))
    assert (found.verdict, found.same) == ("same", 3), found


async def test_references_of_a_log_that_was_one_stream_are_sequences() -> None:
    rows: list[Row] = [(position_of(2, row[0]), *row[1:]) for row in placed_unread(3, 1).rows]
    found = await replayed(rows, flow_of(by_legs))
    assert (found.verdict, found.same) == ("same", 2), found
