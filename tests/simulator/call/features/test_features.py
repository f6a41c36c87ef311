"""What goes on on a leg: sounds, keys, recordings, queues, media, detection, conferences."""

from collections.abc import Mapping
from typing import Any

import pytest

from offhook.commands import (
    Answer,
    Bridge,
    Command,
    Dial,
    Enqueue,
    Gather,
    GatherUsingAI,
    GatherUsingAudio,
    GatherUsingSpeak,
    Hangup,
    LeaveQueue,
    PauseRecording,
    SendDtmf,
    Speak,
    StartAIAssistant,
    StartConversationRelay,
    StartForking,
    StartPlayback,
    StartRecording,
    StartSiprec,
    StartStreaming,
    StartTranscription,
    StopAIAssistant,
    StopForking,
    StopGather,
    StopPlayback,
    StopRecording,
    StopStreaming,
    StopTranscription,
    SwitchSupervisorRole,
    Transfer,
    UpdateClientState,
)
from offhook.simulator.call import machine
from offhook.simulator.errors.carrier_error import CarrierError
from tests.simulator.calls import BYE, FRIEND, HELLO, OURS, Calls

MACHINE_BEEPS, MACHINE, UNSURE, FAX, QUIET = (f"+1202555017{last}" for last in "12345")
PERSON, KEYS_IN_3, NO_RECORDING = FRIEND, "+12025550163", "+12025550178"
MENU = GatherUsingSpeak(payload="Press a key.", voice="female", maximum_digits=1)
RECORD = StartRecording(channels="dual", format="mp3")


def news(calls: Calls, leg: str) -> list[str]:
    """The events of a leg that is up, after call.answered."""
    events = calls.events(leg)
    return events[events.index("call.answered") + 1 :]


def payloads(calls: Calls, leg: str, event_type: str) -> list[Mapping[str, Any]]:
    return [
        hook.payload
        for hook in calls.webhooks
        if (hook.call_control_id, hook.event_type) == (leg, event_type)
    ]


def gathered(calls: Calls, leg: str) -> list[tuple[str, str]]:
    return [(one["digits"], one["status"]) for one in payloads(calls, leg, "call.gather.ended")]


def code(calls: Calls, command: Command, leg: str) -> str:
    with pytest.raises(CarrierError) as raised:
        calls.do(command, leg)
    return raised.value.code


# ---------------------------------------------------------------- sounds


def test_a_text_takes_as_long_as_it_is() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Speak(payload="x" * 150, voice="female"), leg)
    calls.wait(9.9)
    assert news(calls, leg) == ["call.speak.started"]
    calls.wait(0.1)
    started, ended = (
        calls.payload(leg, "call.speak.started"),
        calls.payload(leg, "call.speak.ended"),
    )
    assert started["speak_id"] == ended["speak_id"]
    assert ended["status"] == "completed"
    assert "from" not in ended


def test_texts_and_files_wait_for_each_other() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Speak(payload="hello", voice="female"), leg)
    calls.do(StartPlayback(audio_url="https://example.com/a.mp3", loop=2), leg)
    assert news(calls, leg) == ["call.speak.started"]
    calls.wait(0.5)
    assert news(calls, leg)[1:] == ["call.speak.ended", "call.playback.started"]
    calls.wait(10)
    assert calls.payload(leg, "call.playback.ended")["status"] == "completed"
    assert calls.payload(leg, "call.playback.ended")["media_url"] == "https://example.com/a.mp3"


def test_a_stop_ends_what_is_heard_and_drops_what_waits() -> None:
    calls = Calls()
    leg = calls.up()
    for name in ("one", "two", "three"):
        calls.do(StartPlayback(media_name=name, loop="infinity"), leg)
    calls.do(StopPlayback(stop="current"), leg)
    calls.do(StopPlayback(), leg)
    calls.wait(60)
    ended = payloads(calls, leg, "call.playback.ended")
    assert [(one["media_name"], one["status"]) for one in ended] == [
        ("one", "cancelled"),
        ("two", "cancelled"),
    ]
    calls.do(StopPlayback(), leg)
    assert len(news(calls, leg)) == 4


def test_an_overlay_is_heard_over_what_is_played_and_needs_it() -> None:
    calls = Calls()
    leg = calls.up()
    over = StartPlayback(media_name="over", overlay=True, target_legs="self")
    assert code(calls, over, leg) == "10027"
    calls.do(StartPlayback(media_name="under"), leg)
    calls.do(over, leg)
    assert news(calls, leg) == ["call.playback.started", "call.playback.started"]
    calls.do(StopPlayback(overlay=True), leg)
    assert calls.payload(leg, "call.playback.ended")["media_name"] == "over"


def test_a_file_that_is_missing_is_told_and_stands_in_nobodys_way() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(StartPlayback(audio_url="https://example.com/missing.mp3"), leg)
    calls.do(Speak(payload="hello", voice="female"), leg)
    assert calls.payload(leg, "call.playback.ended")["status"] == "file_not_found"
    assert news(calls, leg)[-1] == "call.speak.started"


def test_a_hangup_ends_what_is_heard_and_is_told_last() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Speak(payload="hello", voice="female"), leg)
    calls.do(Speak(payload="hello again", voice="female"), leg)
    calls.do(Hangup(), leg)
    assert calls.payload(leg, "call.speak.ended")["status"] == "call_hangup"
    assert news(calls, leg)[-1] == "call.hangup"
    calls.wait(60)
    assert news(calls, leg)[-1] == "call.hangup"


# ---------------------------------------------------------------- keys


def test_a_caller_with_keys_types_them_when_asked() -> None:
    calls = Calls()
    leg = calls.up(keys=("1", "42#"))
    calls.do(MENU, leg)
    calls.wait(5)
    calls.do(Gather(minimum_digits=2), leg)
    calls.wait(5)
    assert gathered(calls, leg) == [("1", "valid"), ("42", "valid")]
    digits = [one["digit"] for one in payloads(calls, leg, "call.dtmf.received")]
    assert digits == ["1", "4", "2", "#"]
    assert "call.speak.started" not in news(calls, leg)


def test_a_called_number_may_key_in_its_last_digit() -> None:
    calls = Calls()
    leg = calls.dial(KEYS_IN_3)
    calls.wait(1)
    for _ in range(2):
        calls.do(MENU, leg)
        calls.wait(3)
    assert gathered(calls, leg) == [("3", "valid"), ("3", "valid")]


def test_nobody_types_so_the_prompt_is_said_again_and_then_it_times_out() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(GatherUsingSpeak(payload="x" * 15, voice="female", timeout_millis=2000), leg)
    calls.wait(8.9)
    assert gathered(calls, leg) == []
    calls.wait(0.1)
    assert gathered(calls, leg) == [("", "timeout")]
    assert calls.now.second == 9  # three tries of 1 s and 2 s


def test_a_wrong_key_is_asked_for_again_by_the_invalid_prompt() -> None:
    calls = Calls()
    leg = calls.up(keys=("7",))
    command = GatherUsingAudio(
        media_name="menu", invalid_media_name="wrong", valid_digits="12", maximum_tries=2
    )
    calls.do(command, leg)
    calls.wait(10)
    assert gathered(calls, leg) == [("7", "invalid")]
    heard = [one["media_name"] for one in payloads(calls, leg, "call.playback.started")]
    assert heard == ["menu", "wrong"]
    ended = [one["status"] for one in payloads(calls, leg, "call.playback.ended")]
    assert ended == ["cancelled", "cancelled"]  # the first key ends a prompt


@pytest.mark.parametrize(
    ("more", "typed", "expected"),
    [
        ({"maximum_digits": 3}, "12345", [("123", "valid")]),
        ({"minimum_digits": 2}, "1#", [("1", "invalid")]),
        ({"minimum_digits": 2}, "1", [("1", "invalid")]),
        ({}, "12", [("12", "valid")]),
        ({"terminating_digit": "", "valid_digits": "0#"}, "0#", [("0#", "valid")]),
        ({"valid_digits": "12"}, "19", [("19", "invalid")]),
        ({}, "", [("", "timeout")]),
    ],
)
def test_a_gather_ends_in_each_of_its_ways(
    more: dict[str, Any], typed: str, expected: list[tuple[str, str]]
) -> None:
    calls = Calls()
    leg = calls.up(keys=(typed,) if typed else ())
    calls.do(Gather(gather_id="menu", **more), leg)
    calls.wait(30)
    assert gathered(calls, leg) == expected
    assert calls.payload(leg, "call.gather.ended")["gather_id"] == "menu"


def test_a_file_that_asks_for_keys_ends_with_the_call() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(GatherUsingAudio(media_name="menu"), leg)
    calls.do(Hangup(), leg)
    for event in ("call.playback.ended", "call.gather.ended"):
        assert calls.payload(leg, event)["status"] == "call_hangup"


def test_a_gather_without_an_id_is_given_one() -> None:
    calls = Calls()
    leg = calls.up(keys=("1#",))
    calls.do(Gather(), leg)
    calls.wait(30)
    assert calls.payload(leg, "call.gather.ended")["gather_id"]


def test_a_gather_is_cancelled_by_a_stop_a_hangup_or_the_next_one() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Gather(), leg)
    calls.do(StopGather(), leg)
    calls.do(Gather(), leg)
    calls.do(MENU, leg)
    calls.do(Hangup(), leg)
    assert [status for _, status in gathered(calls, leg)] == [
        "cancelled",
        "cancelled",
        "call_hangup",
    ]


def test_keys_sent_from_one_leg_reach_the_other_of_its_bridge() -> None:
    calls = Calls()
    first, second = calls.up(), calls.up()
    calls.do(SendDtmf(digits="1"), first)
    calls.do(Bridge(call_control_id_to_bridge_with=second), first)
    calls.do(Gather(maximum_digits=2), second)
    calls.do(SendDtmf(digits="1w2W3"), first)
    digits = [one["digit"] for one in payloads(calls, second, "call.dtmf.received")]
    assert digits == ["1", "2", "3"]
    assert gathered(calls, second) == [("12", "valid")]
    assert payloads(calls, first, "call.dtmf.received") == []


# ---------------------------------------------------------------- recordings


def test_a_recording_is_saved_after_its_stop_or_the_hangup() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(RECORD, leg)
    calls.wait(10)
    calls.do(StopRecording(), leg)
    calls.do(StartRecording(channels="single", format="wav", transcription=True), leg)
    calls.wait(5)
    calls.do(Hangup(), leg)
    assert news(calls, leg) == ["call.recording.saved", "call.hangup"]
    calls.wait(2)
    assert news(calls, leg)[2:] == ["call.recording.saved", "call.recording.transcription.saved"]
    first, second = payloads(calls, leg, "call.recording.saved")
    assert (first["channels"], second["format"]) == ("dual", "wav")
    assert first["recording_started_at"] == "2026-11-22T12:00:00.000000Z"
    assert first["recording_ended_at"] == "2026-11-22T12:00:10.000000Z"
    assert list(second["recording_urls"]) == ["wav"]
    text = calls.payload(leg, "call.recording.transcription.saved")
    assert text["recording_id"] == second["recording_id"]


def test_a_recording_pauses_stops_at_its_length_and_is_found_by_its_id() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(StartRecording(channels="dual", format="mp3", max_length=30), leg)
    (recording,) = calls.legs[leg].recordings
    calls.do(PauseRecording(recording_id=recording.id), leg)
    assert calls.legs[leg].recordings[0].paused
    calls.do(PauseRecording(), leg)
    assert calls.newest is not None
    assert calls.newest.repeated
    calls.do(StopRecording(recording_id="another"), leg)
    calls.wait(31)
    assert calls.payload(leg, "call.recording.saved")["recording_id"] == recording.id
    assert calls.legs[leg].recordings == ()


def test_a_dial_may_ask_for_a_recording_whose_id_it_is_told() -> None:
    calls = Calls()
    leg = calls.dial(record="record-from-answer", record_format="wav")
    assert calls.newest is not None
    told = calls.newest.answer["recording_id"]
    calls.wait(1)
    calls.do(Hangup(), leg)
    calls.wait(1)
    assert calls.payload(leg, "call.recording.saved")["recording_id"] == told


def test_some_recordings_fail() -> None:
    calls = Calls()
    leg = calls.dial(NO_RECORDING)
    calls.wait(1)
    calls.do(RECORD, leg)
    calls.do(Hangup(), leg)
    calls.wait(1)
    assert calls.payload(leg, "call.recording.error")["reason"] == "Internal server error"
    assert payloads(calls, leg, "call.recording.saved") == []


# ---------------------------------------------------------------- who answered


@pytest.mark.parametrize(
    ("number", "mode", "expected"),
    [
        (PERSON, "detect", [("detection.ended", "human")]),
        (PERSON, "greeting_end", [("detection.ended", "human")]),
        (MACHINE, "detect", [("detection.ended", "machine")]),
        (MACHINE, "greeting_end", [("detection.ended", "machine"), ("greeting.ended", "ended")]),
        (MACHINE, "detect_beep", [("detection.ended", "machine")]),
        (
            MACHINE_BEEPS,
            "detect_beep",
            [("detection.ended", "machine"), ("greeting.ended", "beep_detected")],
        ),
        (UNSURE, "detect", [("detection.ended", "not_sure")]),
        (FAX, "premium", [("premium.detection.ended", "fax_detected")]),
        (QUIET, "premium", [("premium.detection.ended", "silence")]),
        (
            MACHINE_BEEPS,
            "premium",
            [("premium.detection.ended", "machine"), ("premium.greeting.ended", "beep_detected")],
        ),
        (MACHINE, "disabled", []),
    ],
)
def test_detection_tells_what_the_number_is(
    number: str, mode: Any, expected: list[tuple[str, str]]
) -> None:
    calls = Calls()
    leg = calls.dial(number, answering_machine_detection=mode)
    calls.wait(10)
    told = [
        (hook.event_type.removeprefix("call.machine."), hook.payload["result"])
        for hook in calls.webhooks
        if hook.call_control_id == leg and "result" in hook.payload
    ]
    assert told == expected


def test_a_transfer_detects_on_the_leg_it_places() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Transfer(to=MACHINE, answering_machine_detection="detect"), leg)
    calls.wait(5)
    new = calls.transfer_leg(leg)
    assert calls.payload(new, "call.machine.detection.ended")["result"] == "machine"


def test_a_deepfake_detection_finds_a_person() -> None:
    calls = Calls()
    leg = calls.dial(deepfake_detection={"enabled": True})
    calls.wait(5)
    assert calls.payload(leg, "call.deepfake_detection.result")["result"] == "real"


# ---------------------------------------------------------------- queues


def test_a_queue_is_left_in_order_by_a_bridge() -> None:
    calls = Calls()
    first, second, agent = calls.up(), calls.up(), calls.up()
    calls.do(Enqueue(queue_name="support"), first)
    calls.wait(4)
    calls.do(Enqueue(queue_name="support"), second)
    told = calls.payload(second, "call.enqueued")
    assert (told["current_position"], told["queue_avg_wait_time_secs"]) == (2, 4)
    calls.wait(6)
    calls.do(Bridge(queue="support"), agent)
    left = calls.payload(first, "call.dequeued")
    assert (left["reason"], left["wait_time_secs"], left["queue_position"]) == ("bridged", 10, 1)
    assert calls.legs[agent].bridged_with == first
    assert calls.events(second)[-1] == "call.enqueued"


def test_a_transfer_that_is_answered_takes_the_call_out_of_its_queue() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Enqueue(queue_name="support"), leg)
    calls.do(Transfer(to=FRIEND), leg)
    assert calls.events(leg)[-1] == "call.enqueued"
    calls.wait(1)
    assert calls.events(leg)[-2:] == ["call.dequeued", "call.bridged"]


def test_a_wait_ends_by_leaving_by_its_longest_time_or_by_the_hangup() -> None:
    calls = Calls()
    legs = [calls.up() for _ in range(3)]
    for leg in legs:
        calls.do(Enqueue(queue_name="q", max_wait_time_secs=20), leg)
    calls.do(LeaveQueue(), legs[0])
    calls.do(Hangup(), legs[1])
    calls.wait(30)
    reasons = [calls.payload(leg, "call.dequeued")["reason"] for leg in legs]
    assert reasons == ["leave", "hangup", "timeout"]


def test_what_a_queue_does_not_allow_is_refused() -> None:
    calls = Calls()
    leg, other = calls.up(), calls.up()
    assert code(calls, LeaveQueue(), leg) == "90035"
    assert code(calls, Bridge(queue="q"), leg) == "10027"
    calls.do(Enqueue(queue_name="q"), leg)
    assert code(calls, Enqueue(queue_name="other"), leg) == "90038"
    assert code(calls, Enqueue(queue_name="q", max_size=1), other) == "90036"


# ---------------------------------------------------------------- media, assistants, conferences


def test_streams_forks_and_siprec_start_stop_and_end_with_the_call() -> None:
    calls = Calls()
    leg = calls.up()
    for code_, stop in (("90048", StopStreaming()), ("90031", StopForking())):
        assert code(calls, stop, leg) == code_
    stream = StartStreaming(stream_url="wss://example.com/media")
    calls.do(stream, leg)
    calls.do(StopStreaming(), leg)
    for command in (stream, StartForking(), StartSiprec()):
        calls.do(command, leg)
    calls.do(Hangup(), leg)
    assert news(calls, leg) == [
        "streaming.started",
        "streaming.stopped",
        "streaming.started",
        "call.fork.started",
        "siprec.started",
        "streaming.stopped",
        "call.fork.stopped",
        "siprec.stopped",
        "call.hangup",
    ]


def test_a_stream_to_nowhere_fails() -> None:
    calls = Calls()
    leg = calls.ring()
    calls.do(Answer(stream_url="wss://nowhere.invalid/media"), leg)
    failed = calls.payload(leg, "streaming.failed")
    assert failed["stream_params"]["stream_url"] == "wss://nowhere.invalid/media"
    calls.do(Hangup(), leg)
    assert "streaming.stopped" not in news(calls, leg)


def test_a_transcription_writes_down_what_the_party_says() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(StartTranscription(), leg)
    assert code(calls, StartTranscription(), leg) == "90054"
    calls.wait(2)
    assert calls.payload(leg, "call.transcription")["transcription_data"]["is_final"] is True
    calls.do(StopTranscription(), leg)
    calls.do(StartTranscription(), leg)


def test_an_assistant_is_one_at_a_time_and_ends() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(StartAIAssistant(assistant={"id": "assistant-1"}), leg)
    assert calls.newest is not None
    told = calls.newest.answer["conversation_id"]
    assert code(calls, StartConversationRelay(url="wss://example.com"), leg) == "90061"
    calls.wait(7)
    calls.do(StopAIAssistant(), leg)
    ended = calls.payload(leg, "call.conversation.ended")
    assert (ended["conversation_id"], ended["duration_sec"]) == (told, 7)
    assert ended["assistant_id"] == "assistant-1"


def test_an_assistant_that_gathers_hears_nothing() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(GatherUsingAI(parameters={"properties": {}}), leg)
    calls.wait(20)
    assert news(calls, leg) == [
        "call.conversation.created",
        "call.ai_gather.ended",
        "call.conversation.ended",
    ]


def test_dials_into_one_conference_meet_and_it_ends_with_its_host() -> None:
    calls = Calls()
    host = calls.dial(
        conference_config={"conference_name": "standup", "end_conference_on_exit": True}
    )
    guest = calls.dial(conference_config={"conference_name": "standup"})
    calls.wait(1)
    assert news(calls, host) == ["conference.created", "conference.participant.joined"]
    assert news(calls, guest) == ["conference.participant.joined"]
    seat = calls.legs[guest].seat
    assert seat is not None
    assert calls.payload(host, "conference.created")["conference_id"] == seat.conference_id
    calls.do(Hangup(), guest)
    assert news(calls, guest)[-2:] == ["call.hangup", "conference.participant.left"]


def test_the_last_to_leave_ends_a_conference() -> None:
    calls = Calls()
    leg = calls.dial(conference_config={"conference_name": "standup"})
    calls.wait(1)
    calls.do(Hangup(), leg)
    assert calls.payload(leg, "conference.ended")["reason"] == "all_left"


# ---------------------------------------------------------------- the rest


def test_a_state_may_be_set_alone_even_before_the_answer() -> None:
    calls = Calls()
    leg = calls.ring()
    calls.do(UpdateClientState(client_state=HELLO), leg)
    calls.do(Answer(), leg)
    calls.do(UpdateClientState(client_state=BYE), leg)
    calls.do(Hangup(), leg)
    states = [hook.payload["client_state"] for hook in calls.webhooks]
    assert states == [None, HELLO, BYE]


def test_only_a_supervising_leg_switches_its_role() -> None:
    calls = Calls()
    leg = calls.up()
    switch = SwitchSupervisorRole(role="whisper")
    assert code(calls, switch, leg) == "10027"
    supervisor = calls.dial(supervise_call_control_id=leg)
    calls.wait(1)
    calls.do(switch, supervisor)


def test_a_cost_is_told_after_the_hangup_where_it_is_wanted() -> None:
    calls = Calls()
    step = machine.obey(
        Dial(to=FRIEND, from_=OURS, connection_id="1"),
        None,
        calls.legs,
        calls.now,
        calls.identities,
        tells_cost=True,
    )
    leg = calls.take(step)
    calls.wait(62)
    calls.do(Hangup(), leg)
    calls.wait(1)
    cost = calls.payload(leg, "call.cost")
    assert (cost["billed_duration_secs"], cost["total_cost"], cost["status"]) == (
        120,
        "0.0100",
        "success",
    )
    assert calls.events(leg)[-2:] == ["call.hangup", "call.cost"]


def test_every_typed_action_has_its_handler() -> None:
    from offhook.commands import COMMANDS

    assert set(machine.HANDLERS) == set(COMMANDS.values()) - {Dial}
