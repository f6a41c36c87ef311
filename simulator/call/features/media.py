"""Where a leg's audio goes besides: streaming, forking, SIPREC, transcription, noise suppression.

    streaming_start       streaming.started; streaming.failed if the host ends in `.invalid`
    fork_start            call.fork.started
    siprec_start          siprec.started
    transcription_start   call.transcription, of the one thing that the party says, 1 s later
    suppression_start     nothing

Each has its stop, and the end of the leg stops all. No audio goes anywhere.
"""

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from offhook.commands import (
    StartForking,
    StartNoiseSuppression,
    StartSiprec,
    StartStreaming,
    StartTranscription,
    StopForking,
    StopNoiseSuppression,
    StopSiprec,
    StopStreaming,
    StopTranscription,
)
from offhook.simulator.call.legs import Leg
from offhook.simulator.call.steps import EventDue
from offhook.simulator.call.transition import Turn
from offhook.simulator.errors import call_errors
from offhook.telnyx.defaults import DEFAULTS

TRANSCRIBED_AFTER_S = 1.0
STREAMS_MAX = 10
NORMAL_CLEARING = "16"  # Q.850


def start_streaming(turn: Turn, leg: Leg, command: StartStreaming) -> bool:
    check_stream_url(command.stream_url)
    if len(leg.streams) >= STREAMS_MAX:
        raise call_errors.not_possible(f"The call has {STREAMS_MAX} streams.")
    repeated = command.stream_url in leg.streams.values()
    begin_stream(turn, leg, command.stream_url or "", command.stream_track)
    return repeated


def stop_streaming(turn: Turn, leg: Leg, command: StopStreaming) -> bool:
    if not leg.streams:
        raise call_errors.not_streaming()
    _end_streams(turn, leg, command.stream_id)
    return False


def start_forking(turn: Turn, leg: Leg, _: StartForking) -> bool:
    repeated = leg.forked
    leg = turn.put(replace(leg, forked=True))
    turn.tell("call.fork.started", leg, stream_type="decrypted")
    return repeated


def stop_forking(turn: Turn, leg: Leg, _: StopForking) -> bool:
    if not leg.forked:
        raise call_errors.not_forked()
    _end_fork(turn, leg)
    return False


def start_siprec(turn: Turn, leg: Leg, _: StartSiprec) -> bool:
    repeated = leg.siprec
    turn.tell("siprec.started", turn.put(replace(leg, siprec=True)))
    return repeated


def stop_siprec(turn: Turn, leg: Leg, _: StopSiprec) -> bool:
    """Nothing, if there is none: what the carrier says then is not documented."""
    _end_siprec(turn, leg)
    return False


def start_transcription(turn: Turn, leg: Leg, command: StartTranscription) -> bool:
    if leg.transcribed:
        raise call_errors.transcribed_already()
    own = DEFAULTS[command.operation]
    begin_transcription(turn, leg, command.transcription_tracks or own["transcription_tracks"])
    return False


def stop_transcription(turn: Turn, leg: Leg, _: StopTranscription) -> bool:
    turn.put(replace(leg, transcribed=False))
    return False


def suppress_noise(_turn: Turn, _leg: Leg, _: StartNoiseSuppression | StopNoiseSuppression) -> bool:
    return False


def check_stream_url(url: str | None) -> None:
    """Raises CarrierError (10003) for one that names no host."""
    if url and not _host_in(url):
        raise call_errors.url_invalid("/stream_url")


def _host_in(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # "wss://[", for example
        return ""


def begin_stream(turn: Turn, leg: Leg, url: str, track: str | None) -> Leg:
    """What `stream_url` asks for; "" stands for Dialogflow, which has no URL."""
    stream_id = turn.new_id()
    if _host_in(url).endswith(".invalid"):
        turn.tell(
            "streaming.failed",
            leg,
            failure_reason="The connection to the WebSocket could not be made.",
            stream_id=stream_id,
            stream_params={"stream_url": url, "track": track or DEFAULTS["dial"]["stream_track"]},
            stream_type="websocket",
        )
        return leg
    leg = turn.put(replace(leg, streams={**leg.streams, stream_id: url}))
    turn.tell("streaming.started", leg, stream_url=url)
    return leg


def begin_transcription(turn: Turn, leg: Leg, tracks: str) -> Leg:
    leg = turn.put(replace(leg, transcribed=True))
    said: dict[str, Any] = {
        "transcript": "Hello.",
        "confidence": 0.98,
        "is_final": True,
        "transcription_track": "outbound" if tracks == "outbound" else "inbound",
    }
    due = EventDue(
        call_control_id=leg.call_control_id,
        event_type="call.transcription",
        more={"transcription_data": said},
    )
    turn.later(TRANSCRIBED_AFTER_S, due)
    return leg


def release_media(turn: Turn, leg: Leg) -> Leg:
    """Stop everything."""
    return _end_siprec(turn, _end_fork(turn, _end_streams(turn, leg, None)))


def _end_streams(turn: Turn, leg: Leg, stream_id: str | None) -> Leg:
    if not leg.streams:
        return leg
    ended = {key: url for key, url in leg.streams.items() if stream_id in (None, key)}
    rest = {key: url for key, url in leg.streams.items() if key not in ended}
    leg = turn.put(replace(leg, streams=rest))
    for url in ended.values():
        turn.tell("streaming.stopped", leg, stream_url=url)
    return leg


def _end_fork(turn: Turn, leg: Leg) -> Leg:
    if not leg.forked:
        return leg
    leg = turn.put(replace(leg, forked=False))
    turn.tell("call.fork.stopped", leg, stream_type="decrypted")
    return leg


def _end_siprec(turn: Turn, leg: Leg) -> Leg:
    if not leg.siprec:
        return leg
    leg = turn.put(replace(leg, siprec=False))
    turn.tell("siprec.stopped", leg, hangup_cause=NORMAL_CLEARING)
    return leg
