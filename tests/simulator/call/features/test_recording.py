"""Recordings: started, paused, stopped and saved."""

from offhook.commands import (
    Hangup,
    PauseRecording,
    StartRecording,
    StopRecording,
)
from tests.simulator.calls import FRIEND, Calls, news, payloads

PERSON, KEYS_IN_3, NO_RECORDING = FRIEND, "+12025550163", "+12025550178"
RECORD = StartRecording(channels="dual", format="mp3")


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


def test_a_dial_may_start_a_recording_and_returns_its_id() -> None:
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
