"""Texts and files: speak, playback_start, playback_stop, and the prompts of gathers.

    speak, playback_start ─▶ waiting ─▶ playing ─▶ ended       call.speak.* or call.playback.*
                                 └─────────┴─▶ stopped, or the leg ended

Sounds of a leg play one after the other; an overlay and a prompt play at once. A text takes as long
as its characters at 15 a second, a file 5 s for each loop. A file with `missing` in its name or URL
cannot be found. The documents have no status for a speak that was stopped: it ends as `completed`.
`target_legs` has no effect: the events are those of the commanded leg.
"""

from dataclasses import replace
from typing import Any

from offhook.commands import Speak, StartPlayback, StopPlayback
from offhook.simulator.call.activities import Sound
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.transition import Transition
from offhook.simulator.call.triggers import SoundEnds
from offhook.simulator.errors import call_errors

CHARACTERS_PER_S = 15.0
SPEAK_S_MIN = 0.5
PLAYBACK_S = 5.0
SOUNDS_MAX = 100


def speak(transition: Transition, leg: SimulatedLeg, command: Speak) -> bool:
    """Play a text after the sounds before it."""
    leg = _stop_earlier(transition, leg, command.stop)
    event_fields = {"speak_id": transition.ids.uuid(), "calling_party_type": leg.calling_party_type}
    lasts_s = _looped_s(command.loop, spoken_s(command.payload))
    sound = Sound(id=transition.ids.uuid(), kind="speak", lasts_s=lasts_s, told=event_fields)
    _add(transition, leg, sound)
    return False


def start_playback(transition: Transition, leg: SimulatedLeg, command: StartPlayback) -> bool:
    """Play a file after the sounds before it, or over the current one."""
    leg = _stop_earlier(transition, leg, command.stop)
    if command.overlay and not leg.sounds:
        raise call_errors.not_possible("An overlay needs something that is playing.")
    sound = file_sound(transition, command.audio_url, command.media_name, bool(command.overlay))
    _add(transition, leg, replace(sound, lasts_s=_looped_s(command.loop, PLAYBACK_S)))
    return False


def stop_playback(transition: Transition, leg: SimulatedLeg, command: StopPlayback) -> bool:
    """Stop what is playing, and with `all`, the default, what is waiting as well."""
    for sound in leg.sounds:
        if sound.kind != "prompt" and sound.overlay == bool(command.overlay):
            leg = _end(transition, leg, sound, "cancelled")
            if command.stop == "current":
                break
    _play_next(transition, leg)
    return False


def sound_ends(transition: Transition, leg: SimulatedLeg, sound_id: str) -> None:
    """The sound has been played to its end; nothing if it was stopped."""
    if (sound := _find(leg, sound_id)) is not None:
        _play_next(transition, _end(transition, leg, sound, "completed"))


def play_now(transition: Transition, leg: SimulatedLeg, sound: Sound) -> SimulatedLeg:
    """Play a sound at once, whatever else is playing."""
    return _add(transition, leg, replace(sound, id=transition.ids.uuid(), at_once=True))


def stop_prompt(
    transition: Transition, leg: SimulatedLeg, gather_id: str, *, reason: str = "cancelled"
) -> SimulatedLeg:
    """Stop the prompt of a gather, if it is still playing."""
    for sound in leg.sounds:
        if sound.gather_id == gather_id:
            leg = _end(transition, leg, sound, reason)
    return leg


def end_sounds(transition: Transition, leg: SimulatedLeg, *, reason: str) -> SimulatedLeg:
    """Stop all sounds. Those that were still waiting send no event."""
    for sound in leg.sounds:
        leg = _end(transition, leg, sound, reason)
    return leg


def file_sound(
    transition: Transition, audio_url: str | None, media_name: str | None, overlay: bool
) -> Sound:
    """A file that is not playing yet, for one loop."""
    names = {"media_url": audio_url, "media_name": media_name}
    event_fields = {name: value for name, value in names.items() if value is not None}
    return Sound(
        id=transition.ids.uuid(),
        kind="playback",
        lasts_s=PLAYBACK_S,
        told=event_fields | {"overlay": overlay},
        at_once=overlay,
        overlay=overlay,
        missing="missing" in (audio_url or media_name or ""),
    )


def spoken_s(text: str) -> float:
    """How long a text takes, in seconds of the call."""
    return max(SPEAK_S_MIN, len(text) / CHARACTERS_PER_S)


def _add(transition: Transition, leg: SimulatedLeg, sound: Sound) -> SimulatedLeg:
    if len(leg.sounds) >= SOUNDS_MAX:
        raise call_errors.not_possible(f"At most {SOUNDS_MAX} texts and files can wait on a call.")
    return _play_next(transition, transition.put(replace(leg, sounds=(*leg.sounds, sound))))


def _play_next(transition: Transition, leg: SimulatedLeg) -> SimulatedLeg:
    """Begin every sound that has none before it."""
    waiting = [sound for sound in leg.sounds if not sound.at_once][:1]
    for sound in (*waiting, *(sound for sound in leg.sounds if sound.at_once)):
        if not sound.begun:
            leg = _begin(transition, leg, sound)
    return leg


def _begin(transition: Transition, leg: SimulatedLeg, sound: Sound) -> SimulatedLeg:
    begun = replace(sound, begun=True)
    sounds = tuple(begun if other.id == sound.id else other for other in leg.sounds)
    leg = transition.put(replace(leg, sounds=sounds))
    if sound.kind != "prompt":
        transition.emit(f"call.{sound.kind}.started", leg, **sound.told)
    if sound.missing:
        return _play_next(transition, _end(transition, leg, begun, "file_not_found"))
    if sound.lasts_s is not None:
        ends = SoundEnds(call_control_id=leg.call_control_id, sound_id=sound.id)
        transition.schedule(sound.lasts_s, ends)
    return leg


def _end(transition: Transition, leg: SimulatedLeg, sound: Sound, status: str) -> SimulatedLeg:
    """Remove a sound, with its event if it had begun."""
    rest = tuple(other for other in leg.sounds if other.id != sound.id)
    leg = transition.put(replace(leg, sounds=rest))
    if sound.begun and sound.kind != "prompt":
        more: dict[str, Any] = dict(sound.told)
        if sound.kind == "speak":
            status = "completed" if status == "cancelled" else status
        elif sound.missing:
            more["status_detail"] = "The file was not found."
        transition.emit(f"call.{sound.kind}.ended", leg, **more, status=status)
    return leg


def _stop_earlier(transition: Transition, leg: SimulatedLeg, stop: str | None) -> SimulatedLeg:
    """Stop earlier sounds, as the `stop` of a new one says: "current", "all" or None."""
    waiting = [sound for sound in leg.sounds if not sound.at_once]
    for sound in waiting[:1] if stop == "current" else waiting if stop == "all" else []:
        leg = _end(transition, leg, sound, "cancelled")
    return leg


def _find(leg: SimulatedLeg, sound_id: str) -> Sound | None:
    return next((sound for sound in leg.sounds if sound.id == sound_id), None)


def _looped_s(loop: str | int | None, lasts_s: float) -> float | None:
    return None if loop == "infinity" else lasts_s * int(loop or 1)
