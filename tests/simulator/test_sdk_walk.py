"""Every call action of the official SDK at the simulator, and every event that comes of them.

Each action is sent with its least parameters to a leg of its own that is up; a stop comes after its
start. All of it happens once, in one simulator.
"""

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from telnyx import AsyncTelnyx
from telnyx.resources.calls.actions import AsyncActionsResource

from offhook.carrier_events import payload_fields
from offhook.codec.webhooks import read_webhook
from offhook.commands import COMMANDS
from offhook.events import CarrierEvent, UnknownEvent
from tests.simulator.stand import CONNECTION, FRIEND, Received, stand

MACHINE = "+12025550171"
ASSISTANT = {"id": "assistant-1"}
RECORDING: dict[str, Any] = {"channels": "dual", "format": "mp3"}
SPEECH: dict[str, Any] = {"payload": "hello", "voice": "female"}
STREAM: dict[str, Any] = {"stream_url": "wss://example.com/media"}


class Act(NamedTuple):
    """The least parameters, what has to be done before, and the events to expect on the leg."""

    parameters: Mapping[str, Any] = {}
    before: str | None = None
    events: tuple[str, ...] = ()


CONVERSATION = ("call.conversation.created", "call.conversation.ended")
PLAYED = ("call.playback.started", "call.playback.ended")
GATHERED = ("call.dtmf.received", "call.gather.ended")
SPOKEN = ("call.speak.started", "call.speak.ended")

ACTS: Mapping[str, Act] = {
    "add_ai_assistant_messages": Act(),
    "answer": Act(events=("call.initiated", "call.answered", "call.hangup")),
    "bridge": Act({"call_control_id_to_bridge_with": "?"}, events=("call.bridged",)),
    "enqueue": Act({"queue_name": "one"}, events=("call.enqueued", "call.dequeued")),
    "gather": Act(events=GATHERED),
    "gather_using_ai": Act(
        {"parameters": {"properties": {}}}, events=(*CONVERSATION, "call.ai_gather.ended")
    ),
    "gather_using_audio": Act({"media_name": "menu"}, events=(*GATHERED, *PLAYED)),
    "gather_using_speak": Act(SPEECH, events=GATHERED),
    "hangup": Act(events=("call.hangup",)),
    "join_ai_assistant": Act(
        {"conversation_id": "one", "participant": {"id": "two", "role": "user"}}
    ),
    "leave_queue": Act(before="enqueue", events=("call.dequeued",)),
    "pause_recording": Act(before="start_recording"),
    "pay": Act(events=("call.payment.completed",)),
    "refer": Act(
        {"sip_address": "sip:friend@example.com"},
        events=("call.refer.started", "call.refer.completed"),
    ),
    "reject": Act({"cause": "USER_BUSY"}, events=("call.hangup",)),
    "resume_recording": Act(before="pause_recording"),
    "send_dtmf": Act({"digits": "1"}),
    "send_sip_info": Act({"content_type": "text/plain", "body": "hello"}),
    "speak": Act(SPEECH, events=SPOKEN),
    "start_ai_assistant": Act({"assistant": ASSISTANT}, events=CONVERSATION),
    "start_conversation_relay": Act(
        {"url": "wss://example.com/relay"}, events=("call.conversation.ended",)
    ),
    "start_forking": Act(events=("call.fork.started", "call.fork.stopped")),
    "start_noise_suppression": Act(),
    "start_playback": Act({"audio_url": "https://example.com/a.mp3"}, events=PLAYED),
    "start_recording": Act(RECORDING, events=("call.recording.saved",)),
    "start_siprec": Act(events=("siprec.started", "siprec.stopped")),
    "start_streaming": Act(STREAM, events=("streaming.started", "streaming.stopped")),
    "start_transcription": Act(events=("call.transcription",)),
    "stop_ai_assistant": Act(before="start_ai_assistant", events=CONVERSATION),
    "stop_conversation_relay": Act(
        before="start_conversation_relay", events=("call.conversation.ended",)
    ),
    "stop_forking": Act(before="start_forking", events=("call.fork.stopped",)),
    "stop_gather": Act(before="gather", events=("call.gather.ended",)),
    "stop_noise_suppression": Act(before="start_noise_suppression"),
    "stop_playback": Act(before="start_playback", events=PLAYED),
    "stop_recording": Act(before="start_recording", events=("call.recording.saved",)),
    "stop_siprec": Act(before="start_siprec", events=("siprec.stopped",)),
    "stop_streaming": Act(before="start_streaming", events=("streaming.stopped",)),
    "stop_transcription": Act(before="start_transcription"),
    "switch_supervisor_role": Act({"role": "whisper"}),
    "transfer": Act({"to": FRIEND}, events=("call.bridged",)),
    "update_client_state": Act({"client_state": "aGVsbG8="}),
}


class Walk(NamedTuple):
    """What the walk left: a leg for each action, and everything that arrived."""

    legs: Mapping[str, str]
    results: Mapping[str, str | None]
    report: Mapping[str, Any]
    deliveries: list[Received]


@pytest.fixture(scope="module")
def walk() -> Walk:
    return asyncio.run(walked())


async def walked() -> Walk:
    legs: dict[str, str] = {}
    results: dict[str, str | None] = {}
    async with (
        stand(speed=100) as carrier,
        AsyncTelnyx(api_key="k", base_url=f"{carrier.url}/v2", max_retries=0) as telnyx,
    ):
        actions = telnyx.calls.actions

        async def do(name: str, leg: str) -> None:
            act = ACTS[name]
            if act.before is not None:
                await do(act.before, leg)
            parameters = dict(act.parameters)
            if name == "bridge":
                other = await carrier.ring_answered(keys=["1"])
                parameters["call_control_id_to_bridge_with"] = other
            answer = await getattr(actions, name)(leg, **parameters)
            results[name] = answer.data.result

        watched = await carrier.ring_answered()
        for name in ACTS:
            if name in ("answer", "reject"):
                leg = await carrier.ring()
            elif name == "switch_supervisor_role":
                leg = await carrier.dial_answered(supervise_call_control_id=watched)
            else:
                leg = await carrier.ring_answered(keys=["1#"])
            legs[name] = leg
            await do(name, leg)
        for more in (
            {
                "answering_machine_detection": "greeting_end",
                "deepfake_detection": {"enabled": True},
            },
            {"answering_machine_detection": "premium"},
            {"conference_config": {"conference_name": "standup"}},
        ):
            await carrier.dial_answered(MACHINE, **more)
        for event in ("call.payment.completed", "call.ai_gather.ended", "call.gather.ended"):
            await carrier.event(event)
        await carrier.event("call.machine.premium.greeting.ended")
        await carrier.event("call.deepfake_detection.result")
        refused = carrier.report()["refused"]
        for active in carrier.exchange.legs.active(CONNECTION):
            # Some of them end with the leg that they are bridged with.
            await carrier.act(active.call_control_id, "hangup")
        report = await carrier.settled()
        return Walk(legs, results, {**report, "refused": refused}, carrier.receiver.deliveries)


def test_the_walk_has_every_action_of_the_sdk() -> None:
    methods = {
        name
        for name, _ in inspect.getmembers(AsyncActionsResource, inspect.isfunction)
        if not name.startswith("_")
    }
    assert set(ACTS) == methods


def test_every_action_is_performed_and_counted(walk: Walk) -> None:
    assert walk.results == dict.fromkeys(ACTS, "ok")
    assert set(walk.report["totals"]) == set(COMMANDS)
    assert walk.report["refused"] == {}
    assert walk.report["doubled"] == []


def test_every_action_has_its_events(walk: Walk) -> None:
    missing = {
        name: lacking
        for name, act in ACTS.items()
        if (lacking := set(act.events) - events_of(walk, walk.legs[name]))
    }
    assert missing == {}


def test_every_event_reads_as_its_type_without_unknown_fields(walk: Walk) -> None:
    strange: dict[str, set[str]] = {}
    for one in walk.deliveries:
        event = read_webhook(one.text.encode()).event
        assert not isinstance(event, UnknownEvent), one.event_type
        if more := set(one.payload) - fields_of(event):
            strange[one.event_type] = more
    assert strange == {}
    assert len({one.event_type for one in walk.deliveries}) > 35


def test_every_event_has_the_ids_of_its_call(walk: Walk) -> None:
    for one in walk.deliveries:
        event = read_webhook(one.text.encode()).event
        for name in ("call_control_id", "call_leg_id", "call_session_id", "connection_id"):
            assert getattr(event, name), (one.event_type, name)


def events_of(walk: Walk, leg: str) -> set[str]:
    return {one.event_type for one in walk.deliveries if one.payload.get("call_control_id") == leg}


def fields_of(event: CarrierEvent) -> set[str]:
    """The names of the carrier's fields that the event's type has."""
    names = set(payload_fields(type(event)))
    # Inside the payload for call.cost, says the schema.
    return names | {"call.cost": {"occurred_at"}}.get(event.event_type, set())
