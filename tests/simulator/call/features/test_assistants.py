"""AI assistants and relays."""

from offhook.commands import (
    GatherUsingAI,
    StartAIAssistant,
    StartConversationRelay,
    StopAIAssistant,
)
from tests.simulator.calls import Calls, error_code, news


def test_an_assistant_is_one_at_a_time_and_ends() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(StartAIAssistant(assistant={"id": "assistant-1"}), leg)
    assert calls.newest is not None
    told = calls.newest.answer["conversation_id"]
    assert error_code(calls, StartConversationRelay(url="wss://example.com"), leg) == "90061"
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
