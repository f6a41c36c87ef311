"""Keys: gather, gather_using_speak, gather_using_audio, gather_stop, send_dtmf, and entered keys.

    started ─▶ (prompt) ─▶ first key ─▶ next key ─▶ …                call.dtmf.received for each
                  │  ▲         │            │
                  │  └ again ──┴────────────┤ wrong or none, and there are attempts left
                  ▼                         ▼
               call.gather.ended: valid, invalid, timeout, cancelled, call_hangup

    valid      the maximum number of keys, or the terminating one, or a pause after enough keys
    invalid    a key that is not valid, or too few keys
    timeout    no key

The first key ends a prompt. A gather with a prompt has `maximum_tries` attempts (3 without it), a
plain one has one. The party enters the keys of its number or of the inbound call (`call.numbers`),
1 s after an attempt starts and one every 0.3 s, or the keys posted to /simulator/calls/{id}/keys.
With several entries it uses the next one at each attempt, and repeats the last one.
"""

from dataclasses import replace
from typing import Any

from offhook.commands import Gather, GatherUsingAudio, GatherUsingSpeak, SendDtmf, StopGather
from offhook.commands.defaults import DEFAULTS
from offhook.simulator.call.activities import Gathering, Sound
from offhook.simulator.call.features.sounds import file_sound, play_now, spoken_s, stop_prompt
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.transition import Transition
from offhook.simulator.call.triggers import GatherTimesOut, KeysPressed

FIRST_KEY_S = 1.0
NEXT_KEY_S = 0.3


def gather(transition: Transition, leg: SimulatedLeg, command: Gather) -> bool:
    """Gather keys without a prompt, for at most `timeout_millis` in all."""
    own = DEFAULTS[command.operation]
    event_fields = {"gather_id": command.gather_id or transition.ids.uuid()}
    gathering = replace(
        _gathering(transition, command, event_fields),
        first_s=_seconds(command.initial_timeout_millis, own["initial_timeout_millis"]),
    )
    leg = _begin(transition, leg, gathering)
    timeout = GatherTimesOut(call_control_id=leg.call_control_id, gather_id=gathering.id, turn=None)
    transition.schedule(_seconds(command.timeout_millis, own["timeout_millis"]), timeout)
    return False


def gather_using_speak(
    transition: Transition, leg: SimulatedLeg, command: GatherUsingSpeak
) -> bool:
    """Gather keys after a spoken prompt."""
    gathering = _gathering(transition, command, {})
    prompt = _spoken_prompt(command.payload, gathering.id)
    again = (
        _spoken_prompt(command.invalid_payload, gathering.id) if command.invalid_payload else None
    )
    _begin(transition, leg, _with_prompts(gathering, prompt, again, command))
    return False


def gather_using_audio(
    transition: Transition, leg: SimulatedLeg, command: GatherUsingAudio
) -> bool:
    """Gather keys after a file as the prompt."""
    gathering = _gathering(transition, command, {})
    prompt = file_sound(transition, command.audio_url, command.media_name, False)
    again = None
    if command.invalid_audio_url or command.invalid_media_name:
        again = file_sound(transition, command.invalid_audio_url, command.invalid_media_name, False)
        again = replace(again, gather_id=gathering.id)
    prompt = replace(prompt, gather_id=gathering.id)
    _begin(transition, leg, _with_prompts(gathering, prompt, again, command))
    return False


def stop_gather(transition: Transition, leg: SimulatedLeg, _: StopGather) -> bool:
    """Succeeds without a gather too: what the carrier answers then is not documented."""
    end_gathering(transition, leg, reason="cancelled")
    return False


def send_dtmf(transition: Transition, leg: SimulatedLeg, command: SendDtmf) -> bool:
    """The keys reach the other leg of a bridge; without one, the party, who does not react."""
    other = transition.find(leg.bridged_with) if leg.bridged_with else None
    for key in command.digits:
        if other is not None and key not in "wW":
            other = press_key(transition, other, key)
    return False


def keys_pressed(transition: Transition, leg: SimulatedLeg, pressed: KeysPressed) -> None:
    """Press the first key, and schedule the others."""
    current = leg.gathering.id if leg.gathering else None
    if not pressed.keys or pressed.gather_id not in (None, current):
        return
    press_key(transition, leg, pressed.keys[0])
    transition.schedule(NEXT_KEY_S, replace(pressed, keys=pressed.keys[1:]))


def press_key(transition: Transition, leg: SimulatedLeg, key: str) -> SimulatedLeg:
    """The party of the leg presses one key."""
    transition.emit("call.dtmf.received", leg, digit=key)
    gathering = leg.gathering
    if gathering is None:
        return leg
    leg = stop_prompt(transition, leg, gathering.id)
    if key == gathering.terminator:
        return _finish_entry(transition, leg, gathering)
    gathering = replace(gathering, digits=gathering.digits + key, turn=gathering.turn + 1)
    leg = transition.put(replace(leg, gathering=gathering))
    if key not in gathering.valid:
        return _retry_or_end(transition, leg, gathering, "invalid")
    if len(gathering.digits) >= gathering.digits_max:
        return _finish_entry(transition, leg, gathering)
    _schedule_timeout(transition, leg, gathering, gathering.between_s)
    return leg


def gather_times_out(transition: Transition, leg: SimulatedLeg, timeout: GatherTimesOut) -> None:
    """End the attempt, or the whole gather; nothing if a key came since."""
    gathering = leg.gathering
    if gathering is None or gathering.id != timeout.gather_id:
        return
    if timeout.turn is None:
        _end(transition, leg, gathering, "invalid" if gathering.digits else "timeout")
    elif timeout.turn == gathering.turn:
        if gathering.digits:
            _finish_entry(transition, leg, gathering)
        else:
            _retry_or_end(transition, leg, gathering, "timeout")


def end_gathering(transition: Transition, leg: SimulatedLeg, *, reason: str) -> SimulatedLeg:
    """End the gather, if one is running."""
    if leg.gathering is None:
        return leg
    return _end(transition, leg, leg.gathering, reason)


def _gathering(
    transition: Transition,
    command: Gather | GatherUsingSpeak | GatherUsingAudio,
    event_fields: dict[str, Any],
) -> Gathering:
    own = DEFAULTS[command.operation]
    terminator = command.terminating_digit
    return Gathering(
        id=transition.ids.uuid(),
        told=event_fields,
        digits_min=command.minimum_digits or own["minimum_digits"],
        digits_max=command.maximum_digits or own["maximum_digits"],
        terminator=own["terminating_digit"] if terminator is None else terminator,
        valid=command.valid_digits or own["valid_digits"],
        first_s=_seconds(command.timeout_millis, own["timeout_millis"]),
        between_s=_seconds(command.inter_digit_timeout_millis, own["inter_digit_timeout_millis"]),
    )


def _with_prompts(
    gathering: Gathering,
    prompt: Sound,
    again: Sound | None,
    command: GatherUsingSpeak | GatherUsingAudio,
) -> Gathering:
    attempts = command.maximum_tries or DEFAULTS[command.operation]["maximum_tries"]
    return replace(gathering, prompt=prompt, again=again, tries_left=attempts - 1)


def _spoken_prompt(text: str, gather_id: str) -> Sound:
    return Sound(id="", kind="prompt", lasts_s=spoken_s(text), gather_id=gather_id)


def _begin(transition: Transition, leg: SimulatedLeg, gathering: Gathering) -> SimulatedLeg:
    """Start a gather; one that is running is cancelled."""
    leg = end_gathering(transition, leg, reason="cancelled")
    leg = transition.put(replace(leg, gathers=leg.gathers + 1))
    return _begin_attempt(transition, leg, gathering, gathering.prompt)


def _begin_attempt(
    transition: Transition, leg: SimulatedLeg, gathering: Gathering, prompt: Sound | None
) -> SimulatedLeg:
    """Start an attempt: the prompt, the keys of the party, and the timeout of its first key."""
    leg = transition.put(replace(leg, gathering=gathering, prompts=leg.prompts + 1))
    prompt_s = 0.0
    if prompt is not None:
        leg = play_now(transition, leg, prompt)
        prompt_s = 0.0 if prompt.missing or prompt.lasts_s is None else prompt.lasts_s
    if leg.keys:
        pressed = KeysPressed(
            call_control_id=leg.call_control_id,
            keys=leg.keys[min(leg.prompts, len(leg.keys)) - 1],
            gather_id=gathering.id,
        )
        transition.schedule(FIRST_KEY_S, pressed)
    _schedule_timeout(transition, leg, gathering, prompt_s + gathering.first_s)
    return leg


def _schedule_timeout(
    transition: Transition, leg: SimulatedLeg, gathering: Gathering, seconds: float
) -> None:
    timeout = GatherTimesOut(
        call_control_id=leg.call_control_id, gather_id=gathering.id, turn=gathering.turn
    )
    transition.schedule(seconds, timeout)


def _finish_entry(transition: Transition, leg: SimulatedLeg, gathering: Gathering) -> SimulatedLeg:
    """No more keys will come: end as valid if there are enough."""
    if len(gathering.digits) >= gathering.digits_min:
        return _end(transition, leg, gathering, "valid")
    return _retry_or_end(transition, leg, gathering, "invalid")


def _retry_or_end(
    transition: Transition, leg: SimulatedLeg, gathering: Gathering, status: str
) -> SimulatedLeg:
    if gathering.tries_left == 0:
        return _end(transition, leg, gathering, status)
    # A new id: keys that are still to come from the last attempt do not count in this one.
    next_attempt = replace(
        gathering,
        id=transition.ids.uuid(),
        digits="",
        turn=gathering.turn + 1,
        tries_left=gathering.tries_left - 1,
    )
    prompt = gathering.again if status == "invalid" and gathering.again else gathering.prompt
    return _begin_attempt(
        transition, leg, next_attempt, prompt and replace(prompt, gather_id=next_attempt.id)
    )


def _end(
    transition: Transition, leg: SimulatedLeg, gathering: Gathering, status: str
) -> SimulatedLeg:
    reason = status if status == "call_hangup" else "cancelled"
    leg = stop_prompt(transition, leg, gathering.id, reason=reason)
    leg = transition.put(replace(leg, gathering=None))
    transition.emit(
        "call.gather.ended", leg, digits=gathering.digits, status=status, **gathering.told
    )
    return leg


def _seconds(milliseconds: int | None, default: int) -> float:
    return (default if milliseconds is None else milliseconds) / 1000
