"""Texts and files: they play in order, and stop when asked."""

from offhook.commands import (
    Hangup,
    Speak,
    StartPlayback,
    StopPlayback,
)
from tests.simulator.calls import Calls, error_code, news, payloads


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


def test_texts_and_files_play_one_after_the_other() -> None:
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


def test_a_stop_ends_what_plays_and_drops_what_waits() -> None:
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


def test_an_overlay_plays_over_a_file_and_needs_one() -> None:
    calls = Calls()
    leg = calls.up()
    over = StartPlayback(media_name="over", overlay=True, target_legs="self")
    assert error_code(calls, over, leg) == "10027"
    calls.do(StartPlayback(media_name="under"), leg)
    calls.do(over, leg)
    assert news(calls, leg) == ["call.playback.started", "call.playback.started"]
    calls.do(StopPlayback(overlay=True), leg)
    assert calls.payload(leg, "call.playback.ended")["media_name"] == "over"


def test_a_missing_file_is_reported_and_skipped() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(StartPlayback(audio_url="https://example.com/missing.mp3"), leg)
    calls.do(Speak(payload="hello", voice="female"), leg)
    assert calls.payload(leg, "call.playback.ended")["status"] == "file_not_found"
    assert news(calls, leg)[-1] == "call.speak.started"


def test_a_hangup_ends_what_plays_and_comes_last() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Speak(payload="hello", voice="female"), leg)
    calls.do(Speak(payload="hello again", voice="female"), leg)
    calls.do(Hangup(), leg)
    assert calls.payload(leg, "call.speak.ended")["status"] == "call_hangup"
    assert news(calls, leg)[-1] == "call.hangup"
    calls.wait(60)
    assert news(calls, leg)[-1] == "call.hangup"
