"""A session copied as a flow test: the code runs, passes, and fails for another flow."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from types import ModuleType
from typing import Any

import pytest

from examples.click_to_call import ClickToCall, click_to_call
from examples.notification import Notification, notification
from examples.reception import reception
from offhook.codec.facts import fact_id_of
from offhook.codec.webhooks import read_webhook, wire_body
from offhook.commands import Answer, Dial, Hangup, Speak, StartPlayback, Transfer
from offhook.events import (
    CallAiGatherEnded,
    CallAnswered,
    CallHangup,
    CallInitiated,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    PlacedLeg,
    Record,
    SessionParked,
    TimerFired,
    WebhookReceived,
)
from offhook.flow import Flow, command_id_for
from offhook.flow.decision import stored
from offhook.flow.typed_client_state import client_state
from offhook.flow_tests.code import Constants
from offhook.flow_tests.flow_test import flow_test
from offhook.session import Session, fold
from offhook.session.timers import CancelTimer, SetTimer
from tests.examples.scene import Scene

PERSON, SILENT, REFUSED = "+12025550110", "+12025550188", "+12025550154"
SESSION, LEG = "s-1", "v3:caller"
START = datetime(2026, 11, 27, 10, tzinfo=UTC)


def functions_in(
    code: str, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Callable[[], None]]:
    """The test functions, with this flow where the code imports one."""
    module = ModuleType("flows")
    for name in ("reception", "notification", "click_to_call", "desk"):
        setattr(module, name, flow)
    monkeypatch.setitem(sys.modules, "flows", module)
    names: dict[str, Any] = {}
    exec(compile(code, "copied", "exec"), names)
    return {name: each for name, each in names.items() if name.startswith("test_")}


def copied(records: Sequence[Record]) -> str:
    found = flow_test(records)
    assert found is not None
    return found.code


def require_passes(code: str, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    for test in functions_in(code, flow, monkeypatch).values():
        test()


def require_fails(code: str, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        require_passes(code, flow, monkeypatch)


# ------------------------------------------------------------- the sample flows


def reception_rings(keys: tuple[str, ...]) -> Callable[[Scene], None]:
    def place(played: Scene) -> None:
        played.calls.ring(hangup_after_s=60.0, patience_s=30, keys=keys)

    return place


def notifies(number: str) -> Callable[[Scene], None]:
    state = client_state(Notification(text="Your parcel is here."))

    def place(played: Scene) -> None:
        played.calls.dial(
            number, client_state=state, answering_machine_detection="premium", timeout_secs=30
        )

    return place


def clicks(customer: str) -> Callable[[Scene], None]:
    def place(played: Scene) -> None:
        state = client_state(ClickToCall(customer=customer))
        played.calls.dial(
            PERSON, client_state=state, answering_machine_detection="premium", timeout_secs=30
        )
        played.leave(30.0, 0, 1)

    return place


CALLS = {
    "reception, transferred": (reception, reception_rings(("1",))),
    "reception, a message": (reception, reception_rings(())),
    "notification": (notification, notifies(PERSON)),
    "notification, a machine": (notification, notifies("+12025550171")),
    "notification, a machine without a beep": (notification, notifies("+12025550172")),
    "click to call": (click_to_call, clicks("+12025550111")),
    "click to call, nobody answers": (click_to_call, clicks(SILENT)),
    "click to call, refused": (click_to_call, clicks(REFUSED)),
}


@pytest.mark.parametrize("late", [None, 1])
@pytest.mark.parametrize(("flow", "place"), CALLS.values(), ids=CALLS)
def test_the_code_of_a_call_passes_and_fails_for_another_flow(
    flow: Flow,
    place: Callable[[Scene], None],
    late: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = Scene(flow=flow, dice=None if late is None else Random(late))
    place(played)
    played.play()
    code = copied(played.records)
    tests = functions_in(code, flow, monkeypatch)
    assert len(tests) == sum(isinstance(each.fact, Decided) for each in played.records)
    for test in tests.values():
        test()
    require_fails(code, replace(flow, decide=lambda event, session: []), monkeypatch)


# ------------------------------------------------------------ what a log may hold


class Log:
    """The log of a call, as workers write it with this flow."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.records: list[Record] = []

    def add(self, fact: Fact) -> int:
        seq = len(self.records) + 101
        self.records.append(
            Record(
                seq=seq,
                stored_at=START + timedelta(seconds=seq - 100),
                session_id=SESSION,
                fact=fact,
                fact_id=fact_id_of(fact, SESSION),
            )
        )
        return seq

    def webhook(self, event: Any, *, at: float = 0.0, event_id: str = "") -> int:
        """An event that occurred so many seconds after the start, as it is read from JSON."""
        full = replace(
            event,
            event_id=event_id or f"e-{len(self.records)}",
            occurred_at=START + timedelta(seconds=at),
            call_control_id=event.call_control_id or LEG,
            call_session_id=SESSION,
            connection_id="7",
        )
        return self.add(WebhookReceived(event=read_webhook(wire_body(full)).event, attempt=1))

    def decide(self, cause_seq: int, name: str = "") -> list[str]:
        """The flow's decision on that record, in view of the older ones; the commands' ids."""
        seen = [each for each in self.records if each.side == "out" or each.seq <= cause_seq]
        session = fold(SESSION, seen)
        cause = next(each for each in self.records if each.seq == cause_seq)
        fact = cause.fact
        event: Any = fact.event if isinstance(fact, WebhookReceived) else fact
        said = stored(self.flow.decide(event, session), event, session, cause_seq)
        self.add(
            Decided(
                cause_seq=cause_seq,
                cause_id="",
                flow=name or self.flow.name,
                flow_version=self.flow.version,
                worker="w",
                lease_s=5.0,
                commands=said.commands,
                timers=said.timers,
                warnings=said.warnings,
            )
        )
        return [each.command_id for each in said.commands]

    def succeed(self, command_id: str, **more: Any) -> None:
        self.add(CommandSucceeded(command_id=command_id, http_status=200, **more))

    def fail(self, command_id: str, operation: str, leg: str | None = LEG) -> int:
        return self.add(
            CommandFailed(
                command_id=command_id,
                operation=operation,
                call_control_id=leg,
                reason="refused",
                http_status=422,
                errors=[{"code": "90041", "title": "Channel limit exceeded"}],
                group="capacity",
                maybe_performed=False,
            )
        )


def desk(decide: Callable[[Any, Session], Any]) -> Flow:
    return Flow(name="desk", version="7", decide=decide)


TEXT = (
    'She said "it\'s 10 °C in Zürich – 🌧️ or {not}?" \\ and then:\n\tpress 1.\u2028 '
    "A text that goes on for longer than a line has room for, because menus do. " * 3
)


def test_texts_with_quotes_unicode_and_any_length_come_back_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flow = desk(
        lambda event, session: [
            Answer(client_state=client_state(Notification(text="né"))),
            Speak(payload=TEXT, voice="AWS.Polly.Joanna"),
            Speak(payload="short 'n' \"sweet\"", voice="AWS.Polly.Joanna"),
        ]
    )
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming", from_="+12025550101")))
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)
    assert '# {"Notification":{"text":"né"}}' in code
    assert max(map(len, code.splitlines())) <= 100
    changed = replace(
        flow,
        decide=lambda event, session: [
            replace(each, payload=TEXT + "!") if isinstance(each, Speak) else each
            for each in flow.decide(event, session)
        ],
    )
    require_fails(code, changed, monkeypatch)


def test_the_names_of_many_long_texts_do_not_take_long_to_choose() -> None:
    constants = Constants()
    reads = _CountedReads()
    constants.values = reads
    for number in range(300):
        name = constants.name_of(f"{number} {TEXT}", "payload")
        assert name == f"TEXT_{number + 1}"
    assert reads.count == 0


class _CountedReads(dict[str, str]):
    """Counts how often all of it is read."""

    count = 0

    def __iter__(self) -> Iterator[str]:
        self.count += 1
        return super().__iter__()


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


def test_secrets_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = desk(
        lambda event, session: [
            Transfer(to=PERSON, sip_auth_username="me", sip_auth_password="hunter2")
        ]
    )
    log = Log(flow)
    (transfer,) = log.decide(log.webhook(CallInitiated(direction="incoming")))
    log.fail(transfer, "transfer")
    code = copied(log.records)
    assert "hunter2" not in code
    filled_in = code.replace('SIP_AUTH_PASSWORD = "(hidden)"', 'SIP_AUTH_PASSWORD = "hunter2"')
    require_passes(filled_in, flow, monkeypatch)


def test_secrets_in_urls_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [f"https://h/{name}.mp3?token=hunter2" for name in ("hello", "bye")]
    flow = desk(
        lambda event, session: [StartPlayback(call_control_id=LEG, audio_url=url) for url in urls]
    )
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming")))
    code = copied(log.records)
    assert "hunter2" not in code
    require_passes(code.replace("(hidden)", "hunter2"), flow, monkeypatch)


def test_secrets_in_what_a_caller_said_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = desk(lambda event, session: [Hangup()])
    log = Log(flow)
    said = {"name": "Ada", "door": {"access_token": "4711-secret"}}
    log.decide(log.webhook(CallAiGatherEnded(result=said)))
    code = copied(log.records)
    assert "Ada" in code
    assert "4711-secret" not in code
    require_passes(code, flow, monkeypatch)


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
