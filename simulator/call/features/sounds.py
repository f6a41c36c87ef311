"""What is said and played: speak, playback_start, playback_stop, and the prompts of gathers.

    speak, playback_start ─▶ waiting ─▶ heard ─▶ over          call.speak.* or call.playback.*
                                 └────────┴─▶ stopped, or the leg ended

Sounds of a leg wait for each other; an overlay and a prompt are heard at once. A text takes as long
as its characters at 15 a second, a file 5 s for each loop. A file whose name or URL has `missing`
in it cannot be found. A speak that was stopped has no status of its own in the documents: it ends
as `completed`. `target_legs` is not acted on: events are those of the commanded leg.
"""

from dataclasses import replace
from typing import Any

from offhook.commands import Speak, StartPlayback, StopPlayback
from offhook.simulator.call.activities import Sound
from offhook.simulator.call.legs import Leg
from offhook.simulator.call.steps import SoundEnds
from offhook.simulator.call.transition import Turn
from offhook.simulator.errors import call_errors

CHARACTERS_PER_S = 15.0
SPEAK_S_MIN = 0.5
PLAYBACK_S = 5.0
SOUNDS_MAX = 100


def speak(turn: Turn, leg: Leg, command: Speak) -> bool:
    leg = _stopped(turn, leg, command.stop)
    told = {"speak_id": turn.new_id(), "calling_party_type": leg.calling_party_type}
    lasts_s = _times(command.loop, spoken_s(command.payload))
    sound = Sound(id=turn.new_id(), kind="speak", lasts_s=lasts_s, told=told)
    _add(turn, leg, sound)
    return False


def start_playback(turn: Turn, leg: Leg, command: StartPlayback) -> bool:
    leg = _stopped(turn, leg, command.stop)
    if command.overlay and not leg.sounds:
        raise call_errors.not_possible("Nothing is played that the overlay could be over.")
    sound = playback(turn, command.audio_url, command.media_name, bool(command.overlay))
    _add(turn, leg, replace(sound, lasts_s=_times(command.loop, PLAYBACK_S)))
    return False


def stop_playback(turn: Turn, leg: Leg, command: StopPlayback) -> bool:
    """What is heard, and with `all`, the default, what waits as well."""
    for sound in leg.sounds:
        if sound.kind != "prompt" and sound.overlay == bool(command.overlay):
            leg = _over(turn, leg, sound, "cancelled")
            if command.stop == "current":
                break
    _hear_next(turn, leg)
    return False


def sound_ends(turn: Turn, leg: Leg, sound_id: str) -> None:
    if (sound := _sound(leg, sound_id)) is not None:
        _hear_next(turn, _over(turn, leg, sound, "completed"))


def hear(turn: Turn, leg: Leg, prompt: Sound) -> Leg:
    """A prompt, at once."""
    return _add(turn, leg, replace(prompt, id=turn.new_id(), at_once=True))


def cut(turn: Turn, leg: Leg, gather_id: str, *, because: str = "cancelled") -> Leg:
    """Stop the prompt of a gather, if it is still heard."""
    for sound in leg.sounds:
        if sound.gather_id == gather_id:
            leg = _over(turn, leg, sound, because)
    return leg


def release_sounds(turn: Turn, leg: Leg, *, because: str) -> Leg:
    """Stop them all; what only waited is not told."""
    for sound in leg.sounds:
        leg = _over(turn, leg, sound, because)
    return leg


def playback(turn: Turn, audio_url: str | None, media_name: str | None, overlay: bool) -> Sound:
    """A file that nobody plays yet."""
    names = {"media_url": audio_url, "media_name": media_name}
    told = {name: value for name, value in names.items() if value is not None}
    return Sound(
        id=turn.new_id(),
        kind="playback",
        lasts_s=PLAYBACK_S,
        told=told | {"overlay": overlay},
        at_once=overlay,
        overlay=overlay,
        missing="missing" in (audio_url or media_name or ""),
    )


def spoken_s(text: str) -> float:
    return max(SPEAK_S_MIN, len(text) / CHARACTERS_PER_S)


def _add(turn: Turn, leg: Leg, sound: Sound) -> Leg:
    if len(leg.sounds) >= SOUNDS_MAX:
        raise call_errors.not_possible(f"{SOUNDS_MAX} texts and files are waiting on this call.")
    return _hear_next(turn, turn.put(replace(leg, sounds=(*leg.sounds, sound))))


def _hear_next(turn: Turn, leg: Leg) -> Leg:
    """Begin what has nothing before it."""
    waiting = [sound for sound in leg.sounds if not sound.at_once][:1]
    for sound in (*waiting, *(sound for sound in leg.sounds if sound.at_once)):
        if not sound.begun:
            leg = _begin(turn, leg, sound)
    return leg


def _begin(turn: Turn, leg: Leg, sound: Sound) -> Leg:
    begun = replace(sound, begun=True)
    sounds = tuple(begun if other.id == sound.id else other for other in leg.sounds)
    leg = turn.put(replace(leg, sounds=sounds))
    if sound.kind != "prompt":
        turn.tell(f"call.{sound.kind}.started", leg, **sound.told)
    if sound.missing:
        return _hear_next(turn, _over(turn, leg, begun, "file_not_found"))
    if sound.lasts_s is not None:
        ends = SoundEnds(call_control_id=leg.call_control_id, sound_id=sound.id)
        turn.later(sound.lasts_s, ends)
    return leg


def _over(turn: Turn, leg: Leg, sound: Sound, status: str) -> Leg:
    """Take a sound away; it is told if it had begun."""
    rest = tuple(other for other in leg.sounds if other.id != sound.id)
    leg = turn.put(replace(leg, sounds=rest))
    if sound.begun and sound.kind != "prompt":
        more: dict[str, Any] = dict(sound.told)
        if sound.kind == "speak":
            status = "completed" if status == "cancelled" else status
        elif sound.missing:
            more["status_detail"] = "The file was not found."
        turn.tell(f"call.{sound.kind}.ended", leg, **more, status=status)
    return leg


def _stopped(turn: Turn, leg: Leg, stop: str | None) -> Leg:
    """Before something new is said, what was said before is stopped if the command says so."""
    waiting = [sound for sound in leg.sounds if not sound.at_once]
    for sound in waiting[:1] if stop == "current" else waiting if stop == "all" else []:
        leg = _over(turn, leg, sound, "cancelled")
    return leg


def _sound(leg: Leg, sound_id: str) -> Sound | None:
    return next((sound for sound in leg.sounds if sound.id == sound_id), None)


def _times(loop: str | int | None, lasts_s: float) -> float | None:
    return None if loop == "infinity" else lasts_s * int(loop or 1)
