"""Recordings: record_start, record_stop, record_pause, record_resume, and `record-from-answer`.

    started ─▶ running ◀─▶ paused ─▶ stopped, full, or the leg ended ─▶ call.recording.saved

No audio is kept: the URL of a recording leads nowhere. It is told 1 s after the end, so after a
hangup too. A leg whose number has failing recordings (`call.numbers`) is told
call.recording.error instead. Silence is not detected: `timeout_secs` and `trim` change nothing.
"""

from dataclasses import replace
from typing import Any

from offhook.commands import PauseRecording, ResumeRecording, StartRecording, StopRecording
from offhook.commands.calls import Recording as Asked
from offhook.simulator.call.activities import Recording
from offhook.simulator.call.legs import Leg, stamp
from offhook.simulator.call.numbers import recordings_fail
from offhook.simulator.call.steps import EventDue, RecordingEnds
from offhook.simulator.call.transition import Turn
from offhook.telnyx.defaults import DEFAULTS

_DEFAULTS = DEFAULTS["dial"]  # answer, transfer and bridge have the same
SAVED_AFTER_S = 1.0
TRANSCRIBED_AFTER_S = 2.0


def start_recording(turn: Turn, leg: Leg, command: StartRecording) -> bool:
    begin_recording(
        turn,
        leg,
        Recording(
            id=turn.new_id(),
            channels=command.channels,
            format=command.format,
            started_at=turn.now,
            file_name=command.custom_file_name or "",
            transcribed=bool(command.transcription),
            max_s=command.max_length or DEFAULTS["record_start"]["max_length"],
        ),
    )
    return False


def stop_recording(turn: Turn, leg: Leg, command: StopRecording) -> bool:
    for recording in _meant(leg, command.recording_id):
        leg = _save(turn, leg, recording)
    return False


def pause_recording(turn: Turn, leg: Leg, command: PauseRecording) -> bool:
    return _set_paused(turn, leg, command.recording_id, paused=True)


def resume_recording(turn: Turn, leg: Leg, command: ResumeRecording) -> bool:
    return _set_paused(turn, leg, command.recording_id, paused=False)


def asked_recording(turn: Turn, command: Asked) -> Recording | None:
    """The recording that a command's own `record` parameters ask for, not begun yet."""
    if command.record is None:
        return None
    return Recording(
        id=turn.new_id(),
        channels=command.record_channels or _DEFAULTS["record_channels"],
        format=command.record_format or _DEFAULTS["record_format"],
        started_at=turn.now,
        file_name=command.record_custom_file_name or "",
        max_s=command.record_max_length or _DEFAULTS["record_max_length"],
    )


def begin_recording(turn: Turn, leg: Leg, recording: Recording | None) -> Leg:
    if recording is None:
        return leg
    if recording.max_s:
        ends = RecordingEnds(call_control_id=leg.call_control_id, recording_id=recording.id)
        turn.later(recording.max_s, ends)
    return turn.put(replace(leg, recordings=(*leg.recordings, recording.begun(turn.now))))


def recording_ends(turn: Turn, leg: Leg, recording_id: str) -> None:
    for recording in _meant(leg, recording_id):
        leg = _save(turn, leg, recording)


def release_recordings(turn: Turn, leg: Leg) -> Leg:
    """Save them all."""
    for recording in leg.recordings:
        leg = _save(turn, leg, recording)
    return leg


def _meant(leg: Leg, recording_id: str | None) -> list[Recording]:
    return [one for one in leg.recordings if recording_id in (None, one.id)]


def _set_paused(turn: Turn, leg: Leg, recording_id: str | None, *, paused: bool) -> bool:
    """True if it was so before."""
    meant = {one.id for one in _meant(leg, recording_id)}
    recordings = tuple(
        replace(one, paused=paused) if one.id in meant else one for one in leg.recordings
    )
    turn.put(replace(leg, recordings=recordings))
    return recordings == leg.recordings


def _save(turn: Turn, leg: Leg, recording: Recording) -> Leg:
    rest = tuple(other for other in leg.recordings if other.id != recording.id)
    leg = turn.put(replace(leg, recordings=rest))
    if recordings_fail(leg.party):
        _due(turn, leg, SAVED_AFTER_S, "call.recording.error", {"reason": "Internal server error"})
        return leg
    started, ended = stamp(recording.started_at), stamp(turn.now)
    name = recording.file_name or f"{leg.call_leg_id}-{recording.id}"
    url = f"https://recordings.simulator.invalid/{name}.{recording.format}"
    saved = {
        "channels": recording.channels,
        "format": recording.format,
        "recording_id": recording.id,
        "recording_started_at": started,
        "recording_ended_at": ended,
        "start_time": started,
        "end_time": ended,
        "recording_urls": {recording.format: url},
        "public_recording_urls": {},
    }
    _due(turn, leg, SAVED_AFTER_S, "call.recording.saved", saved)
    if recording.transcribed:
        transcript = {
            "calling_party_type": leg.calling_party_type,
            "recording_id": recording.id,
            "recording_transcription_id": turn.new_id(),
            "status": "completed",
            "transcription_text": "Hello.",
        }
        transcription_saved = "call.recording.transcription.saved"
        _due(turn, leg, TRANSCRIBED_AFTER_S, transcription_saved, transcript)
    return leg


def _due(turn: Turn, leg: Leg, after_s: float, event_type: str, more: dict[str, Any]) -> None:
    due = EventDue(
        call_control_id=leg.call_control_id, event_type=event_type, more=more, outlives=True
    )
    turn.later(after_s, due)
