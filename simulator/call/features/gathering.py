"""Keys: gather, gather_using_speak, gather_using_audio, gather_stop, send_dtmf, and who types.

    started ─▶ (prompt) ─▶ first key ─▶ next key ─▶ …                call.dtmf.received for each
                  │  ▲         │            │
                  │  └ again ──┴────────────┤ wrong or none, and there are tries left
                  ▼                         ▼
               call.gather.ended: valid, invalid, timeout, cancelled, call_hangup

    valid      the greatest number of keys, or the terminating one, or a pause after enough of them
    invalid    a key that is not valid, or too few of them
    timeout    none at all

The first key ends a prompt. Tries are those of the prompt (3 without `maximum_tries`); a plain
gather has one. The party types what its number or its caller says (`call.numbers`),
1 s after being asked, a key each 0.3 s; or whatever is posted to /simulator/calls/{id}/keys. A
caller with several entries types the next one at each try, the last one again and again.
"""

from dataclasses import replace
from typing import Any

from offhook.commands import Gather, GatherUsingAudio, GatherUsingSpeak, SendDtmf, StopGather
from offhook.simulator.call.activities import Gathering, Sound
from offhook.simulator.call.features.sounds import cut, hear, playback, spoken_s
from offhook.simulator.call.legs import Leg
from offhook.simulator.call.steps import GatherTimesOut, KeysPressed
from offhook.simulator.call.transition import Turn
from offhook.telnyx.defaults import DEFAULTS

FIRST_KEY_S = 1.0
NEXT_KEY_S = 0.3


def gather(turn: Turn, leg: Leg, command: Gather) -> bool:
    own = DEFAULTS[command.operation]
    told = {"gather_id": command.gather_id or turn.new_id()}
    gathering = replace(
        _gathering(turn, command, told),
        first_s=_seconds(command.initial_timeout_millis, own["initial_timeout_millis"]),
    )
    leg = _begin(turn, leg, gathering)
    over = GatherTimesOut(call_control_id=leg.call_control_id, gather_id=gathering.id, turn=None)
    turn.later(_seconds(command.timeout_millis, own["timeout_millis"]), over)
    return False


def gather_using_speak(turn: Turn, leg: Leg, command: GatherUsingSpeak) -> bool:
    gathering = _gathering(turn, command, {})
    prompt = _said(command.payload, gathering.id)
    again = _said(command.invalid_payload, gathering.id) if command.invalid_payload else None
    _begin(turn, leg, _prompted(gathering, prompt, again, command))
    return False


def gather_using_audio(turn: Turn, leg: Leg, command: GatherUsingAudio) -> bool:
    gathering = _gathering(turn, command, {})
    prompt = playback(turn, command.audio_url, command.media_name, False)
    again = None
    if command.invalid_audio_url or command.invalid_media_name:
        again = playback(turn, command.invalid_audio_url, command.invalid_media_name, False)
        again = replace(again, gather_id=gathering.id)
    prompt = replace(prompt, gather_id=gathering.id)
    _begin(turn, leg, _prompted(gathering, prompt, again, command))
    return False


def stop_gather(turn: Turn, leg: Leg, _: StopGather) -> bool:
    """Nothing, if nothing is gathered: what the carrier says then is not documented."""
    release_gathering(turn, leg, because="cancelled")
    return False


def send_dtmf(turn: Turn, leg: Leg, command: SendDtmf) -> bool:
    """The other leg of a bridge hears the keys; without one they go to the party, who is silent."""
    other = turn.find(leg.bridged_with) if leg.bridged_with else None
    for key in command.digits:
        if other is not None and key not in "wW":
            other = press(turn, other, key)
    return False


def keys_pressed(turn: Turn, leg: Leg, pressed: KeysPressed) -> None:
    asked = leg.gathering.id if leg.gathering else None
    if not pressed.keys or pressed.gather_id not in (None, asked):
        return
    press(turn, leg, pressed.keys[0])
    turn.later(NEXT_KEY_S, replace(pressed, keys=pressed.keys[1:]))


def press(turn: Turn, leg: Leg, key: str) -> Leg:
    """One key of the leg's party."""
    turn.tell("call.dtmf.received", leg, digit=key)
    gathering = leg.gathering
    if gathering is None:
        return leg
    leg = cut(turn, leg, gathering.id)
    if key == gathering.terminator:
        return _settle(turn, leg, gathering)
    gathering = replace(gathering, digits=gathering.digits + key, turn=gathering.turn + 1)
    leg = turn.put(replace(leg, gathering=gathering))
    if key not in gathering.valid:
        return _wrong(turn, leg, gathering, "invalid")
    if len(gathering.digits) >= gathering.digits_max:
        return _settle(turn, leg, gathering)
    _wait(turn, leg, gathering, gathering.between_s)
    return leg


def gather_times_out(turn: Turn, leg: Leg, timeout: GatherTimesOut) -> None:
    gathering = leg.gathering
    if gathering is None or gathering.id != timeout.gather_id:
        return
    if timeout.turn is None:
        _ended(turn, leg, gathering, "invalid" if gathering.digits else "timeout")
    elif timeout.turn == gathering.turn:
        if gathering.digits:
            _settle(turn, leg, gathering)
        else:
            _wrong(turn, leg, gathering, "timeout")


def release_gathering(turn: Turn, leg: Leg, *, because: str) -> Leg:
    """End what is gathered, if anything is."""
    if leg.gathering is None:
        return leg
    return _ended(turn, leg, leg.gathering, because)


def _gathering(
    turn: Turn, command: Gather | GatherUsingSpeak | GatherUsingAudio, told: dict[str, Any]
) -> Gathering:
    own = DEFAULTS[command.operation]
    terminator = command.terminating_digit
    return Gathering(
        id=turn.new_id(),
        told=told,
        digits_min=command.minimum_digits or own["minimum_digits"],
        digits_max=command.maximum_digits or own["maximum_digits"],
        terminator=own["terminating_digit"] if terminator is None else terminator,
        valid=command.valid_digits or own["valid_digits"],
        first_s=_seconds(command.timeout_millis, own["timeout_millis"]),
        between_s=_seconds(command.inter_digit_timeout_millis, own["inter_digit_timeout_millis"]),
    )


def _prompted(
    gathering: Gathering,
    prompt: Sound,
    again: Sound | None,
    command: GatherUsingSpeak | GatherUsingAudio,
) -> Gathering:
    tries = command.maximum_tries or DEFAULTS[command.operation]["maximum_tries"]
    return replace(gathering, prompt=prompt, again=again, tries_left=tries - 1)


def _said(text: str, gather_id: str) -> Sound:
    return Sound(id="", kind="prompt", lasts_s=spoken_s(text), gather_id=gather_id)


def _begin(turn: Turn, leg: Leg, gathering: Gathering) -> Leg:
    """A new gather; one that goes on is cancelled."""
    leg = release_gathering(turn, leg, because="cancelled")
    leg = turn.put(replace(leg, gathers=leg.gathers + 1))
    return _ask(turn, leg, gathering, gathering.prompt)


def _ask(turn: Turn, leg: Leg, gathering: Gathering, prompt: Sound | None) -> Leg:
    """Start a try: the prompt, the party's typing, and the timer for its first key."""
    leg = turn.put(replace(leg, gathering=gathering, prompts=leg.prompts + 1))
    prompt_s = 0.0
    if prompt is not None:
        leg = hear(turn, leg, prompt)
        prompt_s = 0.0 if prompt.missing or prompt.lasts_s is None else prompt.lasts_s
    if leg.keys:
        typed = KeysPressed(
            call_control_id=leg.call_control_id,
            keys=leg.keys[min(leg.prompts, len(leg.keys)) - 1],
            gather_id=gathering.id,
        )
        turn.later(FIRST_KEY_S, typed)
    _wait(turn, leg, gathering, prompt_s + gathering.first_s)
    return leg


def _wait(turn: Turn, leg: Leg, gathering: Gathering, seconds: float) -> None:
    timeout = GatherTimesOut(
        call_control_id=leg.call_control_id, gather_id=gathering.id, turn=gathering.turn
    )
    turn.later(seconds, timeout)


def _settle(turn: Turn, leg: Leg, gathering: Gathering) -> Leg:
    """No more keys will come: were there enough?"""
    if len(gathering.digits) >= gathering.digits_min:
        return _ended(turn, leg, gathering, "valid")
    return _wrong(turn, leg, gathering, "invalid")


def _wrong(turn: Turn, leg: Leg, gathering: Gathering, status: str) -> Leg:
    if gathering.tries_left == 0:
        return _ended(turn, leg, gathering, status)
    # A new id: keys that are still typed for the last try are not meant for this one.
    once_more = replace(
        gathering,
        id=turn.new_id(),
        digits="",
        turn=gathering.turn + 1,
        tries_left=gathering.tries_left - 1,
    )
    prompt = gathering.again if status == "invalid" and gathering.again else gathering.prompt
    return _ask(turn, leg, once_more, prompt and replace(prompt, gather_id=once_more.id))


def _ended(turn: Turn, leg: Leg, gathering: Gathering, status: str) -> Leg:
    because = status if status == "call_hangup" else "cancelled"
    leg = cut(turn, leg, gathering.id, because=because)
    leg = turn.put(replace(leg, gathering=None))
    turn.tell("call.gather.ended", leg, digits=gathering.digits, status=status, **gathering.told)
    return leg


def _seconds(milliseconds: int | None, default: int) -> float:
    return (default if milliseconds is None else milliseconds) / 1000
