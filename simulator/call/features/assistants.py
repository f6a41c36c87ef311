"""Assistants, relays and payments: answered as documented, and not acted out.

    ai_assistant_start         call.conversation.created
    conversation_relay_start   nothing; a leg has one of the two at a time (90061)
    their stops, and the end   call.conversation.ended
    gather_using_ai            …created, then call.ai_gather.ended without a result, …ended
    pay                        call.payment.completed: no card number is entered
    ai_assistant_join, ai_assistant_add_messages   nothing

No party talks with the assistant, so there are no messages, partial results or insights.
"""

from dataclasses import replace

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
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.transition import Transition
from offhook.simulator.call.triggers import AssistantGivesUp
from offhook.simulator.errors import call_errors

GIVES_UP_AFTER_S = 10.0


def start_assistant(transition: Transition, leg: SimulatedLeg, command: StartAIAssistant) -> bool:
    """Start an assistant; the answer has its conversation_id. Raises CarrierError (90061)."""
    assistant_id = None if command.assistant is None else command.assistant["id"]
    transition.answer["conversation_id"] = begin_conversation(transition, leg, assistant_id).id
    return False


def start_relay(transition: Transition, leg: SimulatedLeg, _: StartConversationRelay) -> bool:
    """Start a relay; the answer has its id. Raises CarrierError (90061)."""
    transition.answer["conversation_relay_id"] = begin_relay(transition, leg).id
    return False


def stop_conversation(
    transition: Transition, leg: SimulatedLeg, _: StopAIAssistant | StopConversationRelay
) -> bool:
    """Succeeds without a conversation too: what the carrier answers then is not documented."""
    end_conversation(transition, leg)
    return False


def gather_using_ai(transition: Transition, leg: SimulatedLeg, _: GatherUsingAI) -> bool:
    """Start an assistant that gathers, and gives up after 10 s. Raises CarrierError (90061)."""
    conversation = begin_conversation(transition, leg, None)
    transition.answer["conversation_id"] = conversation.id
    gives_up = AssistantGivesUp(
        call_control_id=leg.call_control_id, conversation_id=conversation.id
    )
    transition.schedule(GIVES_UP_AFTER_S, gives_up)
    return False


def assistant_gives_up(transition: Transition, leg: SimulatedLeg, conversation_id: str) -> None:
    """End a gather of an assistant without a result, if it is still running."""
    if leg.conversation is not None and leg.conversation.id == conversation_id:
        transition.emit(
            "call.ai_gather.ended", leg, message_history=[], result={}, status="invalid"
        )
        end_conversation(transition, leg)


def join_assistant(transition: Transition, _leg: SimulatedLeg, command: JoinAIAssistant) -> bool:
    """Answer with the given conversation_id; nothing else happens."""
    transition.answer["conversation_id"] = command.conversation_id
    return False


def add_messages(_transition: Transition, _leg: SimulatedLeg, _: AddAIAssistantMessages) -> bool:
    """Nothing to do: no party talks with the assistant."""
    return False


def pay(transition: Transition, leg: SimulatedLeg, command: Pay) -> bool:
    """Report a failed payment after 10 s."""
    transition.schedule_event(
        GIVES_UP_AFTER_S,
        "call.payment.completed",
        leg,
        payment_method=command.payment_method or "credit-card",
        result="too-many-failed-attempts",
    )
    return False


def begin_conversation(
    transition: Transition, leg: SimulatedLeg, assistant_id: str | None
) -> Conversation:
    """Start an assistant on the leg. Raises CarrierError (90061)."""
    conversation = _new_conversation(transition, leg, assistant_id)
    leg = transition.put(replace(leg, conversation=conversation))
    transition.emit(
        "call.conversation.created",
        leg,
        conversation_id=conversation.id,
        calling_party_type=leg.calling_party_type,
    )
    return conversation


def begin_relay(transition: Transition, leg: SimulatedLeg) -> Conversation:
    """Start a relay to the application's WebSocket. Raises CarrierError (90061)."""
    conversation = _new_conversation(transition, leg, None)
    transition.put(replace(leg, conversation=conversation))
    return conversation


def end_conversation(transition: Transition, leg: SimulatedLeg) -> SimulatedLeg:
    """End the conversation, if there is one."""
    if (conversation := leg.conversation) is None:
        return leg
    leg = transition.put(replace(leg, conversation=None))
    more = {} if conversation.assistant_id is None else {"assistant_id": conversation.assistant_id}
    transition.emit(
        "call.conversation.ended",
        leg,
        conversation_id=conversation.id,
        calling_party_type=leg.calling_party_type,
        duration_sec=int((transition.now - conversation.since).total_seconds()),
        **more,
    )
    return leg


def _new_conversation(
    transition: Transition, leg: SimulatedLeg, assistant_id: str | None
) -> Conversation:
    if leg.conversation is not None:
        raise call_errors.assistant_already()
    return Conversation(id=transition.ids.uuid(), assistant_id=assistant_id, since=transition.now)
