"""New legs, and what begins when a leg is answered: dial, transfer, answer, and the called party.

A leg placed by dial joins the session of the leg it links to, one placed by a transfer that of the
transferred leg. Digits after a number (`+12025550110,42`) are no part of it.
"""

from dataclasses import replace
from typing import assert_never

from offhook.commands import Answer, Dial, Transfer
from offhook.commands.calls import Media, WebhookTargets
from offhook.simulator.call.activities import OnAnswer, Sound
from offhook.simulator.call.endings import CANCELLED, end, join
from offhook.simulator.call.features.assistants import converse, relay
from offhook.simulator.call.features.conferences import join_as_configured
from offhook.simulator.call.features.detection import detect, detect_deepfake
from offhook.simulator.call.features.media import (
    begin_stream,
    begin_transcription,
    check_stream_url,
)
from offhook.simulator.call.features.recording import asked_recording, begin_recording
from offhook.simulator.call.features.sounds import hear, playback
from offhook.simulator.call.legs import (
    TIME_LIMIT_S,
    TIMEOUT_S,
    Ending,
    Hooks,
    InboundCall,
    Leg,
    LegState,
    uuid_from,
)
from offhook.simulator.call.numbers import Answers, Refuses, StaysSilent, far_end_of, keys_of
from offhook.simulator.call.steps import LegEnds, PartyAnswers
from offhook.simulator.call.transition import Turn
from offhook.simulator.errors import call_errors


def place_inbound(turn: Turn, call: InboundCall) -> Leg:
    """Somebody calls in: a parked leg in a session of its own."""
    leg = turn.place(
        Leg(
            call_control_id=_control_id(turn),
            call_leg_id=uuid_from(turn.identities),
            call_session_id=uuid_from(turn.identities),
            connection_id=call.connection_id,
            direction="incoming",
            from_=call.from_,
            to=call.to,
            state=LegState.PARKED,
            started_at=turn.now,
            tells_cost=turn.tells_cost,
            talk_s=call.hangup_after_s,
            keys=call.keys or keys_of(call.from_),
        )
    )
    gives_up = LegEnds(call_control_id=leg.call_control_id, ending=CANCELLED, only="unanswered")
    turn.later(call.patience_s, gives_up)
    return leg


def dial(turn: Turn, command: Dial) -> Leg:
    linked = turn.live(command.link_to, "/link_to") if command.link_to else None
    if command.supervise_call_control_id:
        turn.live(command.supervise_call_control_id, "/supervise_call_control_id")
    called = command.to if isinstance(command.to, str) else command.to[0]
    on_answer = _on_answer(turn, command)
    leg = turn.place(
        Leg(
            call_control_id=_control_id(turn),
            call_leg_id=uuid_from(turn.identities),
            call_session_id=linked.call_session_id if linked else uuid_from(turn.identities),
            connection_id=command.connection_id,
            direction="outgoing",
            from_=linked.from_ if linked and command.bridge_intent else command.from_,
            to=called.partition(",")[0],
            state=LegState.BRIDGING,
            started_at=turn.now,
            client_state=command.client_state,
            hooks=hooks_of(command, Hooks()),
            tells_cost=turn.tells_cost,
            time_limit_s=command.time_limit_secs or TIME_LIMIT_S,
            parks=command.park_after_unbridge == "self",
            bridges_on_answer=command.link_to if command.bridge_on_answer else None,
            prevents_double_bridge=bool(command.prevent_double_bridge),
            supervises=command.supervise_call_control_id,
            on_answer=replace(
                on_answer,
                detection=command.answering_machine_detection,
                audio=_audio(turn, command),
                conference=command.conference_config,
            ),
        )
    )
    if on_answer.recording is not None:
        turn.answer["recording_id"] = on_answer.recording.id
    cause = "no_answer" if command.retry_on_timeout is False else "timeout"
    return _call_far_end(turn, leg, command.timeout_secs or TIMEOUT_S, cause)


def transfer(turn: Turn, leg: Leg, command: Transfer) -> bool:
    earlier = turn.find(leg.transfer_leg) if leg.transfer_leg else None
    new = turn.place(
        Leg(
            call_control_id=_control_id(turn),
            call_leg_id=uuid_from(turn.identities),
            call_session_id=leg.call_session_id,
            connection_id=leg.connection_id,
            direction="outgoing",
            from_=command.from_ or leg.to,
            to=command.to.partition(",")[0],
            state=LegState.BRIDGING,
            started_at=turn.now,
            client_state=command.target_leg_client_state,
            hooks=hooks_of(command, leg.hooks),
            tells_cost=leg.tells_cost,
            time_limit_s=command.time_limit_secs or TIME_LIMIT_S,
            bridges_on_answer=leg.call_control_id,
            parks_other=command.park_after_unbridge == "self",
            placed_after=leg.transfer_leg,
            on_answer=OnAnswer(
                recording=asked_recording(turn, command),
                detection=command.answering_machine_detection,
                audio=_audio(turn, command),
            ),
        )
    )
    turn.put(replace(leg, transfer_leg=new.call_control_id))
    _call_far_end(turn, new, command.timeout_secs or TIMEOUT_S, "timeout")
    return earlier is not None and not earlier.ended


def answer(turn: Turn, leg: Leg, command: Answer) -> bool:
    if leg.direction == "outgoing":
        raise call_errors.answer_of_outbound()
    if not leg.unanswered:
        return True
    on_answer = _on_answer(turn, command)
    if on_answer.recording is not None:
        turn.answer["recording_id"] = on_answer.recording.id
    _take(turn, replace(leg, hooks=hooks_of(command, leg.hooks), on_answer=on_answer))
    return False


def party_answers(turn: Turn, leg: Leg) -> None:
    if not leg.unanswered:
        return
    leg = _take(turn, leg)
    other = turn.find(leg.bridges_on_answer) if leg.bridges_on_answer else None
    if other is None or other.ended or other.unanswered:
        return
    if leg.prevents_double_bridge and other.bridged_with is not None:
        end(turn, leg, Ending(cause="normal_clearing", source="caller", sip="200"))
    else:
        join(turn, replace(other, parks=leg.parks_other), leg)


def hooks_of(command: WebhookTargets, before: Hooks) -> Hooks:
    """Where webhooks go from now on: what the command leaves out stays as it was."""
    policies = command.webhook_retries_policies
    return Hooks(
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


def _call_far_end(turn: Turn, leg: Leg, timeout_s: float, timeout_cause: str) -> Leg:
    """Ring the called party: what it will do, and when we give up."""
    ours = leg.call_control_id
    gave_up = Ending(cause=timeout_cause, source="unknown", sip="487")
    turn.later(timeout_s, LegEnds(call_control_id=ours, ending=gave_up, only="unanswered"))
    far_end = far_end_of(leg.to)
    match far_end:
        case Answers(after_s=after_s, talk_s=talk_s, keys=keys):
            leg = turn.put(replace(leg, talk_s=talk_s, keys=keys))
            turn.later(after_s, PartyAnswers(call_control_id=ours))
        case Refuses(after_s=after_s, ending=ending):
            turn.later(after_s, LegEnds(call_control_id=ours, ending=ending, only="unanswered"))
        case StaysSilent():
            pass
        case _:
            assert_never(far_end)
    return leg


def _take(turn: Turn, leg: Leg) -> Leg:
    """The leg is answered: from now on talk, the time limit and all that was asked for run."""
    leg = turn.put(replace(leg, state=LegState.ANSWERED, answered_at=turn.now))
    turn.tell("call.answered", leg)
    ours = leg.call_control_id
    limit = Ending(cause="time_limit", source="unknown", sip="unspecified")
    turn.later(leg.time_limit_s, LegEnds(call_control_id=ours, ending=limit, only="answered"))
    if leg.talk_s is not None:
        bye = Ending(cause="normal_clearing", source=leg.far_side, sip="200")
        turn.later(leg.talk_s, LegEnds(call_control_id=ours, ending=bye, only="answered"))
    return _begin_asked(turn, leg, leg.on_answer)


def _begin_asked(turn: Turn, leg: Leg, asked: OnAnswer) -> Leg:
    ours = leg.call_control_id
    leg = begin_recording(turn, leg, asked.recording)
    if asked.stream_url is not None:
        leg = begin_stream(turn, leg, asked.stream_url, asked.stream_track)
    if asked.transcription_tracks is not None:
        leg = begin_transcription(turn, leg, asked.transcription_tracks)
    if asked.audio is not None:
        leg = hear(turn, leg, asked.audio)
    if asked.assistant_id is not None:
        converse(turn, leg, asked.assistant_id)
    elif asked.relay:
        relay(turn, leg)
    leg = turn.find(ours) or leg
    join_as_configured(turn, leg, asked.conference)
    leg = turn.find(ours) or leg
    detect(turn, leg, asked.detection)
    detect_deepfake(turn, leg, asked.deepfake_detection)
    return leg


def _on_answer(turn: Turn, command: Dial | Answer) -> OnAnswer:
    """What both say of the media of an answered leg."""
    media: Media = command
    check_stream_url(media.stream_url)
    transcription = media.transcription_config or {}
    tracks = transcription.get("transcription_tracks", "inbound")
    return OnAnswer(
        recording=asked_recording(turn, command),
        stream_url=media.stream_url,
        stream_track=media.stream_track,
        transcription_tracks=tracks if media.transcription else None,
        deepfake_detection=media.deepfake_detection is not None
        and media.deepfake_detection["enabled"],
        assistant_id=None if media.assistant is None else media.assistant["id"],
        relay=media.conversation_relay_config is not None,
    )


def _audio(turn: Turn, command: Dial | Transfer) -> Sound | None:
    """The file that the called party hears when it answers."""
    if command.audio_url is None and command.media_name is None:
        return None
    return playback(turn, command.audio_url, command.media_name, False)


def _control_id(turn: Turn) -> str:
    """As long and as opaque as the real ones."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "v3:" + "".join(turn.identities.choices(letters, k=54))
