"""Recordings: record_start, record_stop, record_pause, record_resume, and `record-from-answer`.

    started ─▶ running ◀─▶ paused ─▶ stopped, full, or the leg ended ─▶ call.recording.saved

There is no audio: the URL of a recording leads nowhere. call.recording.saved comes 1 s after the
end, which may be after the hangup. A leg whose number has failing recordings (`call.numbers`) sends
call.recording.error instead. Silence is not detected: `timeout_secs` and `trim` have no effect.
"""

from dataclasses import replace

from offhook.commands import PauseRecording, ResumeRecording, StartRecording, StopRecording
from offhook.commands.calls import RecordingParameters
from offhook.commands.defaults import DEFAULTS
from offhook.simulator.call.activities import ActiveRecording
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.numbers import recordings_fail
from offhook.simulator.call.transition import Transition
from offhook.simulator.call.triggers import RecordingEnds
from offhook.simulator.timestamps import iso_microseconds

_DEFAULTS = DEFAULTS["dial"]  # answer, transfer and bridge have the same
SAVED_AFTER_S = 1.0
TRANSCRIBED_AFTER_S = 2.0


def start_recording(transition: Transition, leg: SimulatedLeg, command: StartRecording) -> bool:
    """Start one more recording."""
    begin_recording(
        transition,
        leg,
        ActiveRecording(
            id=transition.ids.uuid(),
            channels=command.channels,
            format=command.format,
            started_at=transition.now,
            file_name=command.custom_file_name or "",
            transcribed=bool(command.transcription),
            max_s=command.max_length or DEFAULTS["record_start"]["max_length"],
        ),
    )
    return False


def stop_recording(transition: Transition, leg: SimulatedLeg, command: StopRecording) -> bool:
    """Stop and save the recording with this id, or all."""
    for recording in _selected(leg, command.recording_id):
        leg = _save(transition, leg, recording)
    return False


def pause_recording(transition: Transition, leg: SimulatedLeg, command: PauseRecording) -> bool:
    """Repeated if the recordings are paused."""
    return _set_paused(transition, leg, command.recording_id, paused=True)


def resume_recording(transition: Transition, leg: SimulatedLeg, command: ResumeRecording) -> bool:
    """Repeated if the recordings are running."""
    return _set_paused(transition, leg, command.recording_id, paused=False)


def requested_recording(
    transition: Transition, command: RecordingParameters
) -> ActiveRecording | None:
    """The recording that a command's `record` parameters ask for, not started yet."""
    if command.record is None:
        return None
    return ActiveRecording(
        id=transition.ids.uuid(),
        channels=command.record_channels or _DEFAULTS["record_channels"],
        format=command.record_format or _DEFAULTS["record_format"],
        started_at=transition.now,
        file_name=command.record_custom_file_name or "",
        max_s=command.record_max_length or _DEFAULTS["record_max_length"],
    )


def begin_recording(
    transition: Transition, leg: SimulatedLeg, recording: ActiveRecording | None
) -> SimulatedLeg:
    """Start a recording; None starts none."""
    if recording is None:
        return leg
    if recording.max_s:
        ends = RecordingEnds(call_control_id=leg.call_control_id, recording_id=recording.id)
        transition.schedule(recording.max_s, ends)
    return transition.put(
        replace(leg, recordings=(*leg.recordings, recording.begun(transition.now)))
    )


def recording_ends(transition: Transition, leg: SimulatedLeg, recording_id: str) -> None:
    """Save a recording that has reached its maximum length."""
    for recording in _selected(leg, recording_id):
        leg = _save(transition, leg, recording)


def end_recordings(transition: Transition, leg: SimulatedLeg) -> SimulatedLeg:
    """Stop and save all recordings."""
    for recording in leg.recordings:
        leg = _save(transition, leg, recording)
    return leg


def _selected(leg: SimulatedLeg, recording_id: str | None) -> list[ActiveRecording]:
    return [one for one in leg.recordings if recording_id in (None, one.id)]


def _set_paused(
    transition: Transition, leg: SimulatedLeg, recording_id: str | None, *, paused: bool
) -> bool:
    """Returns whether nothing changed."""
    selected = {one.id for one in _selected(leg, recording_id)}
    recordings = tuple(
        replace(one, paused=paused) if one.id in selected else one for one in leg.recordings
    )
    transition.put(replace(leg, recordings=recordings))
    return recordings == leg.recordings


def _save(transition: Transition, leg: SimulatedLeg, recording: ActiveRecording) -> SimulatedLeg:
    rest = tuple(other for other in leg.recordings if other.id != recording.id)
    leg = transition.put(replace(leg, recordings=rest))
    if recordings_fail(leg.party):
        transition.schedule_event(
            SAVED_AFTER_S,
            "call.recording.error",
            leg,
            outlives=True,
            reason="Internal server error",
        )
        return leg
    started, ended = iso_microseconds(recording.started_at), iso_microseconds(transition.now)
    name = recording.file_name or f"{leg.call_leg_id}-{recording.id}"
    url = f"https://recordings.simulator.invalid/{name}.{recording.format}"
    transition.schedule_event(
        SAVED_AFTER_S,
        "call.recording.saved",
        leg,
        outlives=True,
        channels=recording.channels,
        format=recording.format,
        recording_id=recording.id,
        recording_started_at=started,
        recording_ended_at=ended,
        start_time=started,
        end_time=ended,
        recording_urls={recording.format: url},
        public_recording_urls={},
    )
    if recording.transcribed:
        _schedule_transcript(transition, leg, recording)
    return leg


def _schedule_transcript(
    transition: Transition, leg: SimulatedLeg, recording: ActiveRecording
) -> None:
    transition.schedule_event(
        TRANSCRIBED_AFTER_S,
        "call.recording.transcription.saved",
        leg,
        outlives=True,
        calling_party_type=leg.calling_party_type,
        recording_id=recording.id,
        recording_transcription_id=transition.ids.uuid(),
        status="completed",
        transcription_text="Hello.",
    )
