"""Gathers: prompts, attempts, keys, and how each ends."""

from typing import Any

import pytest

from offhook.commands import (
    Bridge,
    Gather,
    GatherUsingAudio,
    GatherUsingSpeak,
    Hangup,
    SendDtmf,
    StopGather,
)
from tests.simulator.calls import FRIEND, Calls, news, payloads

PERSON, KEYS_IN_3, NO_RECORDING = FRIEND, "+12025550163", "+12025550178"
MENU = GatherUsingSpeak(payload="Press a key.", voice="female", maximum_digits=1)


def gathered(calls: Calls, leg: str) -> list[tuple[str, str]]:
    return [(one["digits"], one["status"]) for one in payloads(calls, leg, "call.gather.ended")]


def test_a_caller_with_keys_enters_them_at_the_prompt() -> None:
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


def test_a_called_number_may_enter_its_last_digit() -> None:
    calls = Calls()
    leg = calls.dial(KEYS_IN_3)
    calls.wait(1)
    for _ in range(2):
        calls.do(MENU, leg)
        calls.wait(3)
    assert gathered(calls, leg) == [("3", "valid"), ("3", "valid")]


def test_without_keys_the_prompt_repeats_and_then_it_times_out() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(GatherUsingSpeak(payload="x" * 15, voice="female", timeout_millis=2000), leg)
    calls.wait(8.9)
    assert gathered(calls, leg) == []
    calls.wait(0.1)
    assert gathered(calls, leg) == [("", "timeout")]
    assert calls.now.second == 9  # three tries of 1 s and 2 s


def test_after_a_wrong_key_the_invalid_prompt_plays() -> None:
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


def test_a_prompt_from_a_file_ends_with_the_call() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(GatherUsingAudio(media_name="menu"), leg)
    calls.do(Hangup(), leg)
    for event in ("call.playback.ended", "call.gather.ended"):
        assert calls.payload(leg, event)["status"] == "call_hangup"


def test_a_gather_without_an_id_gets_one() -> None:
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
