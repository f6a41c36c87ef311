"""Copies of a leg's audio: streaming, forking, SIPREC, transcription, noise suppression.

    streaming_start       streaming.started; streaming.failed if the host ends in `.invalid`
    fork_start            call.fork.started
    siprec_start          siprec.started
    transcription_start   call.transcription with "Hello.", 1 s later
    suppression_start     nothing

Each has its stop, and the end of the leg stops all of them. There is no audio.
"""

from dataclasses import replace
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
from offhook.commands.defaults import DEFAULTS
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.transition import Transition
from offhook.simulator.errors import call_errors

TRANSCRIBED_AFTER_S = 1.0
STREAMS_MAX = 10
NORMAL_CLEARING = "16"  # Q.850


def start_streaming(transition: Transition, leg: SimulatedLeg, command: StartStreaming) -> bool:
    """Start a stream; repeated if there is one to the same URL. Raises CarrierError (10003)."""
    check_stream_url(command.stream_url)
    if len(leg.streams) >= STREAMS_MAX:
        raise call_errors.not_possible(f"A call can have at most {STREAMS_MAX} streams.")
    repeated = command.stream_url in leg.streams.values()
    begin_stream(transition, leg, command.stream_url or "", command.stream_track)
    return repeated


def stop_streaming(transition: Transition, leg: SimulatedLeg, command: StopStreaming) -> bool:
    """Stop one stream, or all. Raises CarrierError (90048)."""
    if not leg.streams:
        raise call_errors.not_streaming()
    _end_streams(transition, leg, command.stream_id)
    return False


def start_forking(transition: Transition, leg: SimulatedLeg, _: StartForking) -> bool:
    """Start forking; repeated if it is running."""
    repeated = leg.forked
    leg = transition.put(replace(leg, forked=True))
    transition.emit("call.fork.started", leg, stream_type="decrypted")
    return repeated


def stop_forking(transition: Transition, leg: SimulatedLeg, _: StopForking) -> bool:
    """Stop forking. Raises CarrierError (90031)."""
    if not leg.forked:
        raise call_errors.not_forked()
    _end_fork(transition, leg)
    return False


def start_siprec(transition: Transition, leg: SimulatedLeg, _: StartSiprec) -> bool:
    """Start SIPREC; repeated if it is running."""
    repeated = leg.siprec
    transition.emit("siprec.started", transition.put(replace(leg, siprec=True)))
    return repeated


def stop_siprec(transition: Transition, leg: SimulatedLeg, _: StopSiprec) -> bool:
    """Succeeds without SIPREC too: what the carrier answers then is not documented."""
    _end_siprec(transition, leg)
    return False


def start_transcription(
    transition: Transition, leg: SimulatedLeg, command: StartTranscription
) -> bool:
    """Start transcription. Raises CarrierError (90054)."""
    if leg.transcribed:
        raise call_errors.transcribed_already()
    own = DEFAULTS[command.operation]
    begin_transcription(
        transition, leg, command.transcription_tracks or own["transcription_tracks"]
    )
    return False


def stop_transcription(transition: Transition, leg: SimulatedLeg, _: StopTranscription) -> bool:
    """Stop transcription; succeeds without one."""
    transition.put(replace(leg, transcribed=False))
    return False


def suppress_noise(
    _transition: Transition, _leg: SimulatedLeg, _: StartNoiseSuppression | StopNoiseSuppression
) -> bool:
    """Nothing to do: there is no audio."""
    return False


def check_stream_url(url: str | None) -> None:
    """Raises CarrierError (10003) for a URL without a host."""
    if url and not _host_in(url):
        raise call_errors.url_invalid("/stream_url")


def _host_in(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # "wss://[", for example
        return ""


def begin_stream(
    transition: Transition, leg: SimulatedLeg, url: str, track: str | None
) -> SimulatedLeg:
    """Start a stream to a URL; "" stands for Dialogflow, which has none."""
    stream_id = transition.ids.uuid()
    if _host_in(url).endswith(".invalid"):
        transition.emit(
            "streaming.failed",
            leg,
            failure_reason="The connection to the WebSocket could not be made.",
            stream_id=stream_id,
            stream_params={"stream_url": url, "track": track or DEFAULTS["dial"]["stream_track"]},
            stream_type="websocket",
        )
        return leg
    leg = transition.put(replace(leg, streams={**leg.streams, stream_id: url}))
    transition.emit("streaming.started", leg, stream_url=url)
    return leg


def begin_transcription(transition: Transition, leg: SimulatedLeg, tracks: str) -> SimulatedLeg:
    """Start transcription of "inbound", "outbound" or "both" tracks."""
    leg = transition.put(replace(leg, transcribed=True))
    said = {
        "transcript": "Hello.",
        "confidence": 0.98,
        "is_final": True,
        "transcription_track": "outbound" if tracks == "outbound" else "inbound",
    }
    transition.schedule_event(
        TRANSCRIBED_AFTER_S, "call.transcription", leg, transcription_data=said
    )
    return leg


def end_media(transition: Transition, leg: SimulatedLeg) -> SimulatedLeg:
    """Stop streams, fork and SIPREC."""
    return _end_siprec(transition, _end_fork(transition, _end_streams(transition, leg, None)))


def _end_streams(transition: Transition, leg: SimulatedLeg, stream_id: str | None) -> SimulatedLeg:
    if not leg.streams:
        return leg
    ended = {key: url for key, url in leg.streams.items() if stream_id in (None, key)}
    rest = {key: url for key, url in leg.streams.items() if key not in ended}
    leg = transition.put(replace(leg, streams=rest))
    for url in ended.values():
        transition.emit("streaming.stopped", leg, stream_url=url)
    return leg


def _end_fork(transition: Transition, leg: SimulatedLeg) -> SimulatedLeg:
    if not leg.forked:
        return leg
    leg = transition.put(replace(leg, forked=False))
    transition.emit("call.fork.stopped", leg, stream_type="decrypted")
    return leg


def _end_siprec(transition: Transition, leg: SimulatedLeg) -> SimulatedLeg:
    if not leg.siprec:
        return leg
    leg = transition.put(replace(leg, siprec=False))
    transition.emit("siprec.stopped", leg, hangup_cause=NORMAL_CLEARING)
    return leg
