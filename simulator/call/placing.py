"""New legs, and what starts when a leg is answered: dial, transfer, answer, and the called party.

A leg placed by a dial joins the session of the leg it links to, one placed by a transfer that of
the transferred leg. Digits after a number (`+12025550110,42`) are not part of it.
"""

from dataclasses import replace
from typing import assert_never

from offhook.commands import Answer, Dial, Transfer
from offhook.commands.calls import MediaParameters, WebhookTargets
from offhook.simulator.call.activities import OnAnswer, Sound
from offhook.simulator.call.endings import bridge_legs, end_leg, party_hangs_up
from offhook.simulator.call.features.assistants import begin_conversation, begin_relay
from offhook.simulator.call.features.conferences import join_as_configured
from offhook.simulator.call.features.detection import detect, detect_deepfake
from offhook.simulator.call.features.media import (
    begin_stream,
    begin_transcription,
    check_stream_url,
)
from offhook.simulator.call.features.recording import begin_recording, requested_recording
from offhook.simulator.call.features.sounds import file_sound, play_now
from offhook.simulator.call.legs import (
    TIME_LIMIT_S,
    TIMEOUT_S,
    Ending,
    InboundCall,
    SimulatedLeg,
    SimulatedLegState,
    WebhookOptions,
)
from offhook.simulator.call.numbers import Answers, Refuses, StaysSilent, far_end_of, keys_of
from offhook.simulator.call.transition import Transition
from offhook.simulator.call.triggers import LegEnds, PartyAnswers
from offhook.simulator.errors import call_errors


def place_inbound(transition: Transition, call: InboundCall) -> SimulatedLeg:
    """An inbound call: a parked leg in a session of its own."""
    leg = transition.place(
        SimulatedLeg(
            call_control_id=transition.ids.call_control_id(),
            call_leg_id=transition.ids.uuid(),
            call_session_id=transition.ids.uuid(),
            connection_id=call.connection_id,
            direction="incoming",
            from_=call.from_,
            to=call.to,
            state=SimulatedLegState.PARKED,
            started_at=transition.now,
            tells_cost=transition.tells_cost,
            talk_s=call.hangup_after_s,
            keys=call.keys or keys_of(call.from_),
        )
    )
    transition.schedule(call.patience_s, party_hangs_up(leg))
    return leg


def dial(transition: Transition, command: Dial) -> SimulatedLeg:
    """The new leg, ringing. Raises CarrierError (90015, 90018) for a leg that it names."""
    linked = transition.live_leg(command.link_to, "/link_to") if command.link_to else None
    if command.supervise_call_control_id:
        transition.live_leg(command.supervise_call_control_id, "/supervise_call_control_id")
    called = command.to if isinstance(command.to, str) else command.to[0]
    on_answer = _requested_on_answer(transition, command)
    leg = transition.place(
        SimulatedLeg(
            call_control_id=transition.ids.call_control_id(),
            call_leg_id=transition.ids.uuid(),
            call_session_id=linked.call_session_id if linked else transition.ids.uuid(),
            connection_id=command.connection_id,
            direction="outgoing",
            from_=linked.from_ if linked and command.bridge_intent else command.from_,
            to=called.partition(",")[0],
            state=SimulatedLegState.BRIDGING,
            started_at=transition.now,
            client_state=command.client_state,
            hooks=webhook_options_of(command, WebhookOptions()),
            tells_cost=transition.tells_cost,
            time_limit_s=command.time_limit_secs or TIME_LIMIT_S,
            parks=command.park_after_unbridge == "self",
            bridges_on_answer=command.link_to if command.bridge_on_answer else None,
            prevents_double_bridge=bool(command.prevent_double_bridge),
            supervises=command.supervise_call_control_id,
            on_answer=replace(
                on_answer,
                detection=command.answering_machine_detection,
                audio=_audio(transition, command),
                conference=command.conference_config,
            ),
        )
    )
    if on_answer.recording is not None:
        transition.answer["recording_id"] = on_answer.recording.id
    cause = "no_answer" if command.retry_on_timeout is False else "timeout"
    return _ring_far_end(transition, leg, command.timeout_secs or TIMEOUT_S, cause)


def transfer(transition: Transition, leg: SimulatedLeg, command: Transfer) -> bool:
    """Ring a new leg, to bridge with this one; repeated if the last transfer's leg is up."""
    earlier = transition.find(leg.transfer_leg) if leg.transfer_leg else None
    new = transition.place(
        SimulatedLeg(
            call_control_id=transition.ids.call_control_id(),
            call_leg_id=transition.ids.uuid(),
            call_session_id=leg.call_session_id,
            connection_id=leg.connection_id,
            direction="outgoing",
            from_=command.from_ or leg.to,
            to=command.to.partition(",")[0],
            state=SimulatedLegState.BRIDGING,
            started_at=transition.now,
            client_state=command.target_leg_client_state,
            hooks=webhook_options_of(command, leg.hooks),
            tells_cost=leg.tells_cost,
            time_limit_s=command.time_limit_secs or TIME_LIMIT_S,
            bridges_on_answer=leg.call_control_id,
            parks_other=command.park_after_unbridge == "self",
            placed_after=leg.transfer_leg,
            on_answer=OnAnswer(
                recording=requested_recording(transition, command),
                detection=command.answering_machine_detection,
                audio=_audio(transition, command),
            ),
        )
    )
    transition.put(replace(leg, transfer_leg=new.call_control_id))
    _ring_far_end(transition, new, command.timeout_secs or TIMEOUT_S, "timeout")
    return earlier is not None and not earlier.ended


def answer(transition: Transition, leg: SimulatedLeg, command: Answer) -> bool:
    """Answer an incoming leg; repeated if it is answered. Raises CarrierError (90102)."""
    if leg.direction == "outgoing":
        raise call_errors.answer_of_outbound()
    if not leg.unanswered:
        return True
    on_answer = _requested_on_answer(transition, command)
    if on_answer.recording is not None:
        transition.answer["recording_id"] = on_answer.recording.id
    _answer(
        transition, replace(leg, hooks=webhook_options_of(command, leg.hooks), on_answer=on_answer)
    )
    return False


def party_answers(transition: Transition, leg: SimulatedLeg) -> None:
    """The called party picks up; a leg that waits for it is bridged with it."""
    if not leg.unanswered:
        return
    leg = _answer(transition, leg)
    other = transition.find(leg.bridges_on_answer) if leg.bridges_on_answer else None
    if other is None or other.ended or other.unanswered:
        return
    if leg.prevents_double_bridge and other.bridged_with is not None:
        end_leg(transition, leg, Ending(cause="normal_clearing", source="caller", sip="200"))
    else:
        bridge_legs(transition, replace(other, parks=leg.parks_other), leg)


def webhook_options_of(command: WebhookTargets, before: WebhookOptions) -> WebhookOptions:
    """Where webhooks go from now on: what the command leaves out stays as it was."""
    policies = command.webhook_retries_policies
    return WebhookOptions(
        url=command.webhook_url or before.url,
        method=command.webhook_url_method or before.method,
        urls=command.webhook_urls or before.urls,
        urls_method=command.webhook_urls_method or before.urls_method,
        retries_ms={
            event_type: policy.get("retries_ms", []) for event_type, policy in policies.items()
        }
        if policies
        else before.retries_ms,
    )


def _ring_far_end(
    transition: Transition, leg: SimulatedLeg, timeout_s: float, timeout_cause: str
) -> SimulatedLeg:
    """Ring the called party: schedule what it will do, and the timeout."""
    ours = leg.call_control_id
    gave_up = Ending(cause=timeout_cause, source="unknown", sip="487")
    transition.schedule(timeout_s, LegEnds(call_control_id=ours, ending=gave_up, only="unanswered"))
    far_end = far_end_of(leg.to)
    match far_end:
        case Answers(after_s=after_s, talk_s=talk_s, keys=keys):
            leg = transition.put(replace(leg, talk_s=talk_s, keys=keys))
            transition.schedule(after_s, PartyAnswers(call_control_id=ours))
        case Refuses(after_s=after_s, ending=ending):
            transition.schedule(
                after_s, LegEnds(call_control_id=ours, ending=ending, only="unanswered")
            )
        case StaysSilent():
            pass
        case _:
            assert_never(far_end)
    return leg


def _answer(transition: Transition, leg: SimulatedLeg) -> SimulatedLeg:
    """The leg is answered: start the time limit, the talk, and what was requested on answer."""
    leg = transition.put(replace(leg, state=SimulatedLegState.ANSWERED, answered_at=transition.now))
    transition.emit("call.answered", leg)
    ours = leg.call_control_id
    limit = Ending(cause="time_limit", source="unknown", sip="unspecified")
    transition.schedule(
        leg.time_limit_s, LegEnds(call_control_id=ours, ending=limit, only="answered")
    )
    if leg.talk_s is not None:
        transition.schedule(leg.talk_s, party_hangs_up(leg))
    return _begin_on_answer(transition, leg, leg.on_answer)


def _begin_on_answer(
    transition: Transition, leg: SimulatedLeg, requested: OnAnswer
) -> SimulatedLeg:
    ours = leg.call_control_id
    leg = begin_recording(transition, leg, requested.recording)
    if requested.stream_url is not None:
        leg = begin_stream(transition, leg, requested.stream_url, requested.stream_track)
    if requested.transcription_tracks is not None:
        leg = begin_transcription(transition, leg, requested.transcription_tracks)
    if requested.audio is not None:
        leg = play_now(transition, leg, requested.audio)
    if requested.assistant_id is not None:
        begin_conversation(transition, leg, requested.assistant_id)
    elif requested.relay:
        begin_relay(transition, leg)
    leg = transition.find(ours) or leg
    join_as_configured(transition, leg, requested.conference)
    leg = transition.find(ours) or leg
    detect(transition, leg, requested.detection)
    if requested.deepfake_detection:
        detect_deepfake(transition, leg)
    return leg


def _requested_on_answer(transition: Transition, command: Dial | Answer) -> OnAnswer:
    """What both commands start on answer. Raises CarrierError (10003) for the stream's URL."""
    media: MediaParameters = command
    check_stream_url(media.stream_url)
    transcription = media.transcription_config or {}
    tracks = transcription.get("transcription_tracks", "inbound")
    return OnAnswer(
        recording=requested_recording(transition, command),
        stream_url=media.stream_url,
        stream_track=media.stream_track,
        transcription_tracks=tracks if media.transcription else None,
        deepfake_detection=media.deepfake_detection is not None
        and media.deepfake_detection["enabled"],
        assistant_id=None if media.assistant is None else media.assistant["id"],
        relay=media.conversation_relay_config is not None,
    )


def _audio(transition: Transition, command: Dial | Transfer) -> Sound | None:
    """The file that plays for the called party when it answers."""
    if command.audio_url is None and command.media_name is None:
        return None
    return file_sound(transition, command.audio_url, command.media_name, False)
