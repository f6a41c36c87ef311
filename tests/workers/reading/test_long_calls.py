"""What a worker does for each record and each decision does not depend on the call's length."""

import asyncio
from dataclasses import replace

from offhook.events import Decided, Record, TimerFired
from offhook.session import Session, fold
from offhook.workers.reading.state import SessionState
from tests.counted_work import Work, work_of
from tests.long_calls import SESSION, decided, record, transcription, undecided

SHORT, LONG = 100, 1_000
CALLS_MORE_MAX = 40  # a heap is some levels deeper
BYTES_MORE_MAX = 2_000


def state_of(records: list[Record]) -> SessionState:
    state = SessionState(session=Session(session_id=SESSION))
    for each in records:
        state.add(each)
    return state


async def test_a_long_call_read_anew_is_folded_to_its_end() -> None:
    records = list(decided(LONG))
    state = state_of([each for each in records if each.side == "out"])
    for each in records:
        if each.side == "in":
            state.add(each)
    cause = await state.next_cause()
    assert cause is not None  # the first timer that fired: nobody decided on it
    assert cause[0].seq == 5
    assert state.latest() == fold(SESSION, records)


async def test_asking_before_each_decision_leaves_the_session_as_folded_at_once() -> None:
    records = [each for each in decided(SHORT) if not isinstance(each.fact, TimerFired)]
    state = SessionState(session=Session(session_id=SESSION))
    for number, each in enumerate(records):
        if isinstance(each.fact, Decided):
            cause = await state.next_cause()
            assert cause is not None
            assert cause[0].seq == each.fact.cause_seq
            assert cause[1] == fold(SESSION, records[:number])
        state.add(each)

    assert await state.next_cause() is None
    assert state.session == state.latest() == fold(SESSION, records)


async def test_an_undecided_fact_is_still_asked_about_after_a_decision_on_a_later_one() -> None:
    first, second, third = list(undecided(2))
    state = state_of([first, third])
    assert (cause := await state.next_cause()) is not None
    assert cause[0] is first
    state.add(second)  # read late
    said = Decided(
        cause_seq=third.seq,
        cause_id=third.fact_id,
        flow="f",
        flow_version="1",
        worker="w",
        lease_s=3.0,
    )
    state.add(record(4, said, "decided"))

    assert (cause := await state.next_cause()) is not None
    assert cause[0] is first
    assert state.latest() == fold(SESSION, [first, second, third, record(4, said, "decided")])


async def test_other_tasks_run_while_a_long_call_is_folded() -> None:
    first, *others_of = undecided(LONG)
    state = state_of([first, *(replace(each, fact_id=first.fact_id) for each in others_of)])
    assert await state.next_cause() is not None
    said = Decided(
        cause_seq=first.seq, cause_id="", flow="f", flow_version="1", worker="w", lease_s=3.0
    )
    state.add(record(LONG + 1, said, "decided"))
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await state.next_cause() is None
    task.cancel()
    assert others > 1


def test_a_decision_far_behind_costs_what_one_does_in_a_short_call() -> None:
    def of_one_decision(events: int) -> Work:
        state = state_of(list(undecided(events)))
        state.latest()
        following = events + 2

        async def decide() -> None:
            nonlocal following
            cause = await state.next_cause()
            assert cause is not None
            said = Decided(
                cause_seq=cause[0].seq,
                cause_id=cause[0].fact_id,
                flow="f",
                flow_version="1",
                worker="w",
                lease_s=3.0,
            )
            state.add(record(following, said, f"decided-{following}"))
            state.add(record(following + 1, transcription(following), f"event-{following}"))
            following += 2
            assert state.requested_ends() == []
            assert state.open_commands() == []
            assert state.open_timers() == []
            assert state.ended_leg("v3:leg") is None

        loop = asyncio.new_event_loop()
        try:

            def do() -> None:
                loop.run_until_complete(decide())

            do()
            return work_of(do)
        finally:
            loop.close()

    short, long = of_one_decision(SHORT), of_one_decision(LONG)
    assert long.calls <= short.calls + CALLS_MORE_MAX
    assert long.peak_bytes <= short.peak_bytes + BYTES_MORE_MAX
