"""Whatever is commanded, in whatever order, the legs stay sane."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from offhook.commands import (
    Answer,
    Bridge,
    Enqueue,
    Gather,
    GatherUsingAudio,
    Hangup,
    LegCommand,
    Refer,
    Reject,
    SendDtmf,
    Speak,
    StartAIAssistant,
    StartForking,
    StartPlayback,
    StartRecording,
    StartSiprec,
    StartStreaming,
    StopPlayback,
    Transfer,
)
from offhook.simulator.call.legs import SimulatedLeg, SimulatedLegState
from offhook.simulator.errors.carrier_error import CarrierError
from tests.simulator.calls import BUSY, FRIEND, SILENT, TALKS, Calls

MOVES = (
    "ring",
    "dial",
    "answer",
    "reject",
    "hangup",
    "transfer",
    "bridge",
    "refer",
    "begin",
    "wait a moment",
    "wait long",
)
BEGUN: tuple[LegCommand, ...] = (
    Speak(payload="hello " * 9, voice="female"),
    StartPlayback(media_name="music", loop="infinity"),
    StopPlayback(),
    Gather(maximum_digits=2),
    GatherUsingAudio(media_name="menu", maximum_digits=1),
    SendDtmf(digits="12"),
    StartRecording(channels="dual", format="mp3"),
    Enqueue(queue_name="support", max_wait_time_secs=30),
    StartStreaming(stream_url="wss://example.com"),
    StartForking(),
    StartSiprec(),
    StartAIAssistant(),
)
PAIRS = (
    ("call.speak.started", "call.speak.ended"),
    ("call.playback.started", "call.playback.ended"),
    ("call.enqueued", "call.dequeued"),
    ("streaming.started", "streaming.stopped"),
    ("call.fork.started", "call.fork.stopped"),
    ("siprec.started", "siprec.stopped"),
    ("call.conversation.created", "call.conversation.ended"),
)
NUMBERS = (FRIEND, BUSY, SILENT, TALKS)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(MOVES), st.integers(0, 9), st.integers(0, 9), st.sampled_from(NUMBERS)
        ),
        max_size=40,
    )
)
def test_whatever_is_commanded_the_legs_stay_sane(
    moves: list[tuple[str, int, int, str]],
) -> None:
    """Each leg is initiated, answered and hung up at most once, and bridges have two ends."""
    calls = Calls()
    for move, one, two, number in moves:
        ids = list(calls.legs) or ["v3:nobody"]
        with contextlib.suppress(CarrierError):
            if move == "begin":
                calls.do(BEGUN[(one + 10 * two) % len(BEGUN)], ids[one % len(ids)])
            else:
                make(calls, move, ids[one % len(ids)], ids[two % len(ids)], number)
        for call_control_id, leg in calls.legs.items():
            assert_sane(calls, call_control_id, leg)
    calls.wait(20_000)
    for call_control_id, leg in calls.legs.items():
        assert leg.ended
        assert_nothing_goes_on(calls, call_control_id, leg)
    assert len({hook.id for hook in calls.webhooks}) == len(calls.webhooks)


def make(calls: Calls, move: str, leg: str, other: str, number: str) -> None:
    match move:
        case "ring":
            calls.ring(keys=("7",))
        case "dial":
            calls.dial(number)
        case "answer":
            calls.do(Answer(), leg)
        case "reject":
            calls.do(Reject(cause="USER_BUSY"), leg)
        case "hangup":
            calls.do(Hangup(), leg)
        case "transfer":
            calls.do(Transfer(to=number), leg)
        case "bridge":
            calls.do(Bridge(call_control_id_to_bridge_with=other), leg)
        case "refer":
            calls.do(Refer(sip_address=f"sip:{number}@example.com"), leg)
        case "wait a moment":
            calls.wait(1)
        case _:
            calls.wait(20)


def assert_sane(calls: Calls, call_control_id: str, leg: SimulatedLeg) -> None:
    events = calls.events(call_control_id)
    assert events[0] == "call.initiated"
    assert events.count("call.initiated") == 1
    assert events.count("call.answered") == (leg.answered_at is not None)
    assert events.count("call.hangup") == leg.ended
    if leg.ended:
        after = events[events.index("call.hangup") + 1 :]
        assert set(after) <= {"call.recording.saved"}
    assert (leg.bridged_with is not None) == (leg.state is SimulatedLegState.BRIDGED)
    if leg.bridged_with is not None:
        assert calls.legs[leg.bridged_with].bridged_with == call_control_id


def assert_nothing_goes_on(calls: Calls, call_control_id: str, leg: SimulatedLeg) -> None:
    """Whatever began has ended, and was told so once."""
    events = calls.events(call_control_id)
    for began, ended in PAIRS:
        # A fork or a SIPREC session that is started again is still the one.
        assert events.count(began) >= events.count(ended) >= min(1, events.count(began))
        if not began.startswith(("call.fork", "siprec")):
            assert events.count(began) == events.count(ended)
    assert events.count("call.gather.ended") == leg.gathers
    assert leg.gathering is None
    assert leg.sounds == ()
    assert leg.recordings == ()
    assert leg.waiting is None
    assert not leg.streams
