"""Assistants, relays and payments: answered as documented, and not acted out.

    ai_assistant_start         call.conversation.created
    conversation_relay_start   nothing at first; one of the two at a time (90061)
    their stops, and the end   call.conversation.ended
    gather_using_ai            …created, then call.ai_gather.ended without a result, …ended
    pay                        call.payment.completed: nobody types a card's number
    ai_assistant_join, ai_assistant_add_messages   nothing

Nobody talks with the assistant, so there are no messages, partial results or insights.
"""

from dataclasses import replace
from typing import Any

from offhook.commands import (
    AddAIAssistantMessages,
    GatherUsingAI,
    JoinAIAssistant,
    Pay,
    StartAIAssistant,
    StartConversationRelay,
    StopAIAssistant,
    StopConversationRelay,
)
from offhook.simulator.call.activities import Conversation
from offhook.simulator.call.legs import Leg
from offhook.simulator.call.steps import AssistantGivesUp, EventDue
from offhook.simulator.call.transition import Turn
from offhook.simulator.errors import call_errors

GIVES_UP_AFTER_S = 10.0


def start_assistant(turn: Turn, leg: Leg, command: StartAIAssistant) -> bool:
    assistant_id = None if command.assistant is None else command.assistant["id"]
    turn.answer["conversation_id"] = converse(turn, leg, assistant_id).id
    return False


def start_relay(turn: Turn, leg: Leg, _: StartConversationRelay) -> bool:
    turn.answer["conversation_relay_id"] = relay(turn, leg).id
    return False


def stop_conversation(turn: Turn, leg: Leg, _: StopAIAssistant | StopConversationRelay) -> bool:
    """Nothing, if there is none: what the carrier says then is not documented."""
    release_conversation(turn, leg)
    return False


def gather_using_ai(turn: Turn, leg: Leg, _: GatherUsingAI) -> bool:
    conversation = converse(turn, leg, None)
    turn.answer["conversation_id"] = conversation.id
    gives_up = AssistantGivesUp(
        call_control_id=leg.call_control_id, conversation_id=conversation.id
    )
    turn.later(GIVES_UP_AFTER_S, gives_up)
    return False


def assistant_gives_up(turn: Turn, leg: Leg, conversation_id: str) -> None:
    if leg.conversation is not None and leg.conversation.id == conversation_id:
        turn.tell("call.ai_gather.ended", leg, message_history=[], result={}, status="invalid")
        release_conversation(turn, leg)


def join_assistant(turn: Turn, _leg: Leg, command: JoinAIAssistant) -> bool:
    turn.answer["conversation_id"] = command.conversation_id
    return False


def add_messages(_turn: Turn, _leg: Leg, _: AddAIAssistantMessages) -> bool:
    return False


def pay(turn: Turn, leg: Leg, command: Pay) -> bool:
    more: dict[str, Any] = {
        "payment_method": command.payment_method or "credit-card",
        "result": "too-many-failed-attempts",
    }
    due = EventDue(
        call_control_id=leg.call_control_id, event_type="call.payment.completed", more=more
    )
    turn.later(GIVES_UP_AFTER_S, due)
    return False


def converse(turn: Turn, leg: Leg, assistant_id: str | None) -> Conversation:
    """An assistant begins to talk on the leg. Raises CarrierError (90061)."""
    conversation = _conversation(turn, leg, assistant_id)
    leg = turn.put(replace(leg, conversation=conversation))
    turn.tell(
        "call.conversation.created",
        leg,
        conversation_id=conversation.id,
        calling_party_type=leg.calling_party_type,
    )
    return conversation


def relay(turn: Turn, leg: Leg) -> Conversation:
    """The application's WebSocket begins to talk on the leg. Raises CarrierError (90061)."""
    conversation = _conversation(turn, leg, None)
    turn.put(replace(leg, conversation=conversation))
    return conversation


def release_conversation(turn: Turn, leg: Leg) -> Leg:
    """End it, if there is one."""
    if (conversation := leg.conversation) is None:
        return leg
    leg = turn.put(replace(leg, conversation=None))
    more = {} if conversation.assistant_id is None else {"assistant_id": conversation.assistant_id}
    turn.tell(
        "call.conversation.ended",
        leg,
        conversation_id=conversation.id,
        calling_party_type=leg.calling_party_type,
        duration_sec=int((turn.now - conversation.since).total_seconds()),
        **more,
    )
    return leg


def _conversation(turn: Turn, leg: Leg, assistant_id: str | None) -> Conversation:
    if leg.conversation is not None:
        raise call_errors.assistant_already()
    return Conversation(id=turn.new_id(), assistant_id=assistant_id, since=turn.now)
