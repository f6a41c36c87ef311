"""A session copied as a flow test: the code runs, passes, and fails for another flow."""

from dataclasses import replace
from typing import Any

import pytest

from offhook.commands import Answer, Dial, Hangup, Speak, Transfer
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CommandFailed,
    CommandRequested,
    Decided,
    IssuedCommand,
    PlacedLeg,
    Record,
    SessionParked,
    TimerFired,
)
from offhook.flow import command_id_for
from offhook.flow_tests.flow_test import flow_test
from offhook.session import Session
from offhook.session.timers import CancelTimer, SetTimer
from tests.offhook.flow_tests.copying import (
    LEG,
    PERSON,
    REFUSED,
    SESSION,
    SILENT,
    START,
    Log,
    copied,
    desk,
    functions_in,
    require_fails,
    require_passes,
)


def test_a_flow_sees_the_client_state_and_what_only_the_payload_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decide(event: Any, session: Session) -> list[Any]:
        leg = session.leg(event.call_control_id)
        seen = f"{event.client_state} {event.payload.get('unheard_of')}"
        return [Speak(payload=f"{seen} {leg and leg.client_state}", voice="v")]

    flow = desk(decide)
    log = Log(flow)
    extra = {"unheard_of": {"deep": [1, "é"]}, "client_state": "YQ=="}
    log.decide(log.webhook(CallInitiated(direction="outgoing", payload=extra)))
    log.decide(log.webhook(CallAnswered(payload={"client_state": None}), at=1.0))
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)


def test_a_command_that_fails_behind_the_next_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is decided on first, in view of the failure; the failure is next."""

    def decide(event: Any, session: Session) -> list[Any]:
        match event:
            case CallInitiated():
                return [Answer(), Transfer(to=PERSON), Transfer(to=SILENT)]
            case CallAnswered():
                failed = [each for each in session.commands.values() if each.status == "failed"]
                return [Speak(payload=f"{len(failed)} failed", voice="v")]
            case CommandFailed():
                asked = session.commands[event.command_id].issued
                assert asked is not None
                return [Speak(payload=f"no {asked.parameters['to']}", voice="v")]
        return []

    flow = desk(decide)
    log = Log(flow)
    answer, first, second = log.decide(log.webhook(CallInitiated(direction="incoming")))
    log.succeed(answer)
    answered = log.webhook(CallAnswered(), at=1.0)
    failed = log.fail(first, "transfer")
    log.succeed(second)
    log.decide(answered)
    log.decide(failed)
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)
    assert 'payload="1 failed"' in code
    assert f'payload="no {PERSON}"' in code


def test_the_leg_of_a_dial_is_known_from_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(event: Any, session: Session) -> list[Any]:
        match event:
            case CallInitiated():
                return [Dial(to=PERSON, from_="+12025550102", connection_id="7", link_to=LEG)]
            case CallAnswered():
                return [Hangup(call_control_id=each) for each in session.legs if each != LEG]
        return []

    flow = desk(decide)
    log = Log(flow)
    (dial,) = log.decide(log.webhook(CallInitiated(direction="incoming")))
    placed = PlacedLeg(call_control_id="v3:called", session_id=SESSION, to_number=PERSON)
    log.succeed(dial, answer={"data": {"call_control_id": "v3:called"}}, placed=placed)
    log.decide(log.webhook(CallAnswered(), at=2.0))
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)
    assert 'Hangup(call_control_id="v3:called")' in code


def test_a_late_and_a_repeated_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(event: Any, session: Session) -> list[Any]:
        leg = session.leg(LEG)
        assert leg is not None
        return [Speak(payload=f"{event.event_type} in {leg.state}", voice="v")]

    flow = desk(decide)
    log = Log(flow)
    log.decide(log.webhook(CallAnswered(), at=5.0, event_id="answered"))
    log.decide(log.webhook(CallInitiated(direction="incoming"), at=1.0))
    log.webhook(CallAnswered(), at=5.0, event_id="answered")
    log.decide(log.webhook(CallHangup(hangup_cause="normal_clearing"), at=9.0))
    code = copied(log.records)
    assert len(functions_in(code, flow, monkeypatch)) == 3
    require_passes(code, flow, monkeypatch)
    assert 'payload="call.initiated in answered"' in code


def test_timers_that_fire_are_replaced_and_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(event: Any, session: Session) -> list[Any]:
        match event:
            case CallInitiated():
                return [SetTimer(name="a", after_s=2.5), SetTimer(name="b", after_s=60), Answer()]
            case CallAnswered():
                # Nobody has set c.
                return [SetTimer(name="b", after_s=30), CancelTimer(name="c")]
            case TimerFired():
                return [CancelTimer(name="b"), Speak(payload=" ".join(session.timers), voice="v")]
        return [CancelTimer(name=name) for name in session.timers]

    flow = desk(decide)
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming")))
    timers = {each.name: each.timer_id for each in _decided(log.records[-1]).timers}
    log.decide(log.webhook(CallAnswered(), at=1.0))
    fired = log.add(TimerFired(name="a", timer_id=timers["a"], due_at=START, call_control_id=LEG))
    too_late = log.add(TimerFired(name="b", timer_id=timers["b"], due_at=START))
    log.decide(fired)
    cancelled = replace(_decided(log.records[-1]), cause_seq=too_late, commands=(), timers=())
    log.add(cancelled)
    log.decide(log.webhook(CallHangup(), at=9.0))
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)
    assert len(functions_in(code, flow, monkeypatch)) == 4
    require_fails(
        code,
        desk(
            lambda event, session: (
                [] if isinstance(event, CallHangup) else decide(event, session)[:1]
            )
        ),
        monkeypatch,
    )


def _decided(record: Record) -> Decided:
    assert isinstance(record.fact, Decided)
    return record.fact


def test_what_an_application_commanded_is_known_to_the_flow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decide(event: Any, session: Session) -> list[Any]:
        if isinstance(event, CallAnswered):
            return [] if session.was_asked("hangup") else [Hangup()]
        return []

    flow = desk(decide)
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming")))
    hangup = IssuedCommand(command_id="theirs", operation="hangup", call_control_id=LEG)
    asked = log.add(CommandRequested(command=hangup, requested_by="admin"))
    log.add(
        Decided(
            cause_seq=asked,
            cause_id="theirs",
            flow="api",
            flow_version="1",
            worker="w",
            lease_s=5.0,
            commands=(hangup,),
        )
    )
    log.succeed("theirs")
    log.decide(log.webhook(CallAnswered(), at=1.0))
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)
    assert len(functions_in(code, flow, monkeypatch)) == 2
    require_fails(code, desk(lambda event, session: [Hangup()]), monkeypatch)


def test_a_parked_session_becomes_a_test_that_expects_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decide(event: Any, session: Session) -> list[Any]:
        if isinstance(event, CallAnswered):
            raise KeyError("name")
        return [Answer()]

    flow = desk(decide)
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming")))
    answered = log.webhook(CallAnswered(), at=1.0)
    log.add(SessionParked(cause_seq=answered, error="flow desk 7: KeyError: 'name'", attempts=5))
    code = copied(log.records)
    assert "# flow desk 7: KeyError: 'name'" in code
    require_passes(code, flow, monkeypatch)
    require_fails(code, desk(lambda event, session: [Answer()]), monkeypatch)


def test_an_order_that_the_documents_do_not_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = desk(lambda event, session: [Transfer(to="nobody", timeout_secs=1)])
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming")))
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)
    require_fails(code, desk(lambda event, session: [Answer()]), monkeypatch)


def test_a_session_without_a_flow_has_no_test() -> None:
    log = Log(desk(lambda event, session: []))
    log.decide(log.webhook(CallInitiated(direction="incoming")), "none")
    assert flow_test(log.records) is None
    assert flow_test([]) is None


def test_the_flow_is_imported_from_where_it_is() -> None:
    log = Log(desk(lambda event, session: []))
    log.decide(log.webhook(CallInitiated(direction="incoming")))
    for given, known, expected in (
        ("shop.calls:front", (), "from shop.calls import front as flow"),
        ("", ("shop.calls:front",), "from shop.calls import front as flow"),
        ("", ("shop.calls:front", "shop.calls:desk"), "from shop.calls import desk as flow"),
        ("", ("shop.calls:front", "shop.calls:back"), "from flows import desk as flow"),
    ):
        found = flow_test(log.records, flow_from=given, known_flows=known)
        assert found is not None
        assert expected in found.code.splitlines()


def test_a_dial_of_the_flow_fails_and_another_one_of_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decide(event: Any, session: Session) -> list[Any]:
        if isinstance(event, CommandFailed):
            asked = session.commands[event.command_id].issued
            assert asked is not None
            return [Speak(call_control_id=LEG, payload=str(asked.parameters["to"]), voice="v")]
        return [
            Dial(to=to, from_="+12025550102", connection_id="7", link_to=LEG)
            for to in (REFUSED, PERSON)
        ]

    flow = desk(decide)
    log = Log(flow)
    refused, placed = log.decide(log.webhook(CallInitiated(direction="incoming")))
    assert refused == command_id_for(SESSION, 101, 0)
    failed = log.fail(refused, "dial", None)
    log.succeed(placed, answer={"data": {"call_control_id": "v3:called"}})
    log.decide(failed)
    require_passes(copied(log.records), flow, monkeypatch)


def test_a_leg_that_offhook_hung_up_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hangup is not the flow's, in the copy as in the log."""

    def decide(event: Any, session: Session) -> list[Any]:
        if isinstance(event, CallAnswered):
            return [Dial(to=PERSON, from_="+12025550100", connection_id="7", link_to=LEG)]
        if event.call_control_id == "v3:b" and isinstance(event, CallHangup):
            return [SetTimer(name=f"{each.flow}", after_s=9) for each in session.commands.values()]
        return []

    flow = desk(decide)
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming", to="+12025550100")))
    [dial] = log.decide(log.webhook(CallAnswered(), at=1.0))
    failed = CommandFailed(
        command_id=dial, operation="dial", reason="call_ended", maybe_performed=True
    )
    log.decide(log.add(failed))
    log.decide(log.webhook(CallHangup(), at=2.0))
    placed = CallInitiated(call_control_id="v3:b", direction="outgoing", to=PERSON)
    [hangup] = log.decide(log.webhook(placed, at=3.0))
    log.succeed(hangup)
    log.decide(log.webhook(CallHangup(call_control_id="v3:b"), at=4.0))
    names = {each.name for each in _decided(log.records[-1]).timers}
    assert names == {"desk", "unwanted-leg"}
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)
    require_fails(code, desk(lambda event, session: []), monkeypatch)
