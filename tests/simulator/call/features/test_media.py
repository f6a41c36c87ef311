"""Streams, forks, SIPREC and transcription."""

from offhook.commands import (
    Answer,
    Hangup,
    StartForking,
    StartSiprec,
    StartStreaming,
    StartTranscription,
    StopForking,
    StopStreaming,
    StopTranscription,
)
from tests.simulator.calls import Calls, error_code, news


def test_streams_forks_and_siprec_start_stop_and_end_with_the_call() -> None:
    calls = Calls()
    leg = calls.up()
    for code_, stop in (("90048", StopStreaming()), ("90031", StopForking())):
        assert error_code(calls, stop, leg) == code_
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


def test_a_transcription_has_what_the_party_says() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(StartTranscription(), leg)
    assert error_code(calls, StartTranscription(), leg) == "90054"
    calls.wait(2)
    assert calls.payload(leg, "call.transcription")["transcription_data"]["is_final"] is True
    calls.do(StopTranscription(), leg)
    calls.do(StartTranscription(), leg)
