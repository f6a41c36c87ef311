"""The commands against the official SDK: nothing invented, nothing missing."""

import dataclasses
import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin

import pytest
from msgspec import inspect
from typing_extensions import get_type_hints, is_typeddict

from offhook.commands import (
    COMMANDS,
    Answer,
    Bridge,
    Dial,
    Gather,
    Pay,
    SendSipInfo,
    SwitchSupervisorRole,
    UpdateClientState,
)
from scripts.command_refinements import BY_HAND
from scripts.generate_commands import generated
from scripts.sdk import SdkOperation, sdk_operations

SDK = {operation.name: operation for operation in sdk_operations()}
OPERATIONS = sorted(COMMANDS)
SCALARS = (str, int, float, bool)

# The last part of a place -> why our enum differs, on purpose.
OTHER_ENUM = {
    "loop": "text or a number there; the description knows the one text `infinity`",
    "park_after_unbridge": "text there; the description knows the one value `self`",
    "preferred_codecs": "answer's one enum value is an example list; dial and transfer have text",
    "stop": "text there; the description knows `current` and `all`",
    "target_legs": "text in playback_start; its description has speak's three values",
    "track": "text there; the description knows `inbound` and `outbound`",
    "transcription_tracks": "text there; the description knows three values",
}
OTHER_REQUIRED = {
    ("bridge", "call_control_id"): "the documents offer queue and video_room_id instead; exactly "
    "one of the three is required here",
}

OTHER_SCALARS = {
    "webhook_urls{}": "a list there; the specification has one URL, and both are taken here",
}


@dataclasses.dataclass(frozen=True)
class Place:
    """What can be compared of a parameter, or of an entry inside one."""

    required: bool
    choices: frozenset[object]
    scalars: frozenset[type]


Places = dict[str, Place]


def places_in(kind: Any, place: str, required: bool = False) -> Places:
    """The place itself and everything inside it, by name: `languages[].voice_settings.type`.

    A union of objects is one object with the entries of all; an entry of it is required if all
    members have and require it.
    """
    members = list(members_of(kind))
    objects = [objects_in(member, place) for member in members]
    literals = [member for member in members if get_origin(member) is Literal]
    choices = frozenset(value for one in literals for value in get_args(one))
    scalars = frozenset({one for one in members if one in SCALARS} | {type(v) for v in choices})
    is_bool = choices == {True, False}
    found = {place: Place(required, frozenset() if is_bool else choices, scalars)}
    inside = [one for one in objects if one]
    for name in dict.fromkeys(name for one in inside for name in one):
        same = [one[name] for one in inside if name in one]
        is_entry = not re.search(r"[.[{]", name[len(place) + 1 :])
        found[name] = Place(
            all(one.required for one in same) and (not is_entry or len(same) == len(inside)),
            frozenset(value for one in same for value in one.choices),
            frozenset(kind for one in same for kind in one.scalars),
        )
    return found


def members_of(kind: Any) -> Iterator[Any]:
    """The members of a union, those of unions in it too; None is left out."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        for member in get_args(kind):
            yield from members_of(member)
    elif kind is not type(None):
        yield kind


def objects_in(kind: Any, place: str) -> Places:
    """What is inside a value of this type, which is no union."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        return entries_of(kind, f"{place}.")
    if origin is dict:
        return places_in(arguments[1], f"{place}{{}}")
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return places_in(arguments[0], f"{place}[]")
    return {}


def entries_of(typed_dict: Any, before: str = "") -> Places:
    found: Places = {}
    hints: dict[str, Any] = get_type_hints(typed_dict, include_extras=True)
    for name, hint in hints.items():
        origin: Any = get_origin(hint)
        required = origin is Required
        kind = get_args(hint)[0] if required else hint
        extras = getattr(kind, "__metadata__", ())
        wire_name = next((one.alias for one in extras if getattr(one, "alias", None)), name)
        found |= places_in(kind, before + wire_name, required)
    return found


def sdk_places(operation: SdkOperation) -> Places:
    """The path's call_control_id and the command_id have places of their own with us."""
    found = entries_of(operation.parameters)
    found.pop("command_id", None)
    return found


def our_places(operation: str) -> Places:
    renamed = {"from_": "from", "call_control_id_to_bridge_with": "call_control_id"}
    kind = COMMANDS[operation]
    hints = get_type_hints(kind, include_extras=True)
    found: Places = {}
    for field in dataclasses.fields(kind):
        if field.name != "call_control_id":
            place = renamed.get(field.name, field.name)
            found |= places_in(hints[field.name], place, field.default is dataclasses.MISSING)
    return found


def untyped(operation: str) -> set[str]:
    """The places where anything goes: `dict[str, Any]`, with nothing inside to compare."""
    places = our_places(operation)
    theirs = sdk_places(SDK[operation])
    return {
        place
        for place in places
        if not any(other.startswith((f"{place}.", f"{place}[]")) for other in places)
        and any(other.startswith(f"{place}.") for other in theirs)
    }


def compared(operation: str) -> tuple[Places, Places]:
    """Ours and theirs, without what is inside an untyped object."""
    hidden = tuple(f"{place}{inside}" for place in untyped(operation) for inside in (".", "{}"))
    ours, theirs = (
        {name: place for name, place in places.items() if not name.startswith(hidden)}
        for places in (our_places(operation), sdk_places(SDK[operation]))
    )
    return ours, theirs


def test_the_committed_files_are_what_the_generator_makes() -> None:
    for path, contents in generated().items():
        assert path.read_text() == contents, f"run scripts/generate_commands.py: {path} is old"


def test_every_operation_of_the_sdk_is_a_command_with_its_method_and_id() -> None:
    assert set(COMMANDS) == set(SDK)
    for operation, kind in COMMANDS.items():
        sdk = SDK[operation]
        takes_id = "command_id" in get_type_hints(sdk.parameters)
        assert kind.__name__ == sdk.class_name
        assert (kind.operation, kind.method) == (operation, sdk.http_method)
        assert kind.takes_command_id is takes_id, operation


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_names_are_those_of_the_sdk(operation: str) -> None:
    ours, theirs = compared(operation)
    assert set(ours) == set(theirs)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_enums_are_those_of_the_sdk(operation: str) -> None:
    ours, theirs = compared(operation)
    different = {name for name in ours if ours[name].choices != theirs[name].choices}
    assert {name.rpartition(".")[2] for name in different} <= set(OTHER_ENUM)


def test_every_exception_of_an_enum_is_needed() -> None:
    different = set()
    for operation in OPERATIONS:
        ours, theirs = compared(operation)
        different |= {name for name in ours if ours[name].choices != theirs[name].choices}
    assert {name.rpartition(".")[2] for name in different} == set(OTHER_ENUM)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_required_is_so_in_the_sdk(operation: str) -> None:
    ours, theirs = compared(operation)
    different = {name for name in ours if ours[name].required != theirs[name].required}
    assert different == {name for owner, name in OTHER_REQUIRED if owner == operation}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_texts_and_numbers_are_those_of_the_sdk(operation: str) -> None:
    ours, theirs = compared(operation)
    different = {name for name in ours if ours[name].scalars != theirs[name].scalars}
    assert different == set(OTHER_SCALARS) & set(ours)


def test_only_what_a_provider_makes_is_left_untyped() -> None:
    places = {place for operation in OPERATIONS for place in untyped(operation)}
    assert {place.rpartition(".")[2] for place in places} == {
        "external_llm",
        "fallback_config",
        "tools[]",
        "transcription_engine_config",
        "voice_settings",
    }


def test_a_parameter_of_two_commands_written_by_hand_has_one_type() -> None:
    kinds_of: dict[str, set[str]] = {}
    for operation in BY_HAND:
        fields = get_type_hints(COMMANDS[operation], include_extras=True)
        for field in dataclasses.fields(COMMANDS[operation]):
            kinds_of.setdefault(field.name, set()).add(str(fields[field.name]))
    # Dial rings several at once; its `from` is required, as are the bodies of other commands.
    assert {name for name, kinds in kinds_of.items() if len(kinds) > 1} == {"to", "from_"}


def test_bytes_and_not_characters_bound_the_body_of_a_sip_info() -> None:
    SendSipInfo(content_type="text/plain", body="ü" * 700)
    with pytest.raises(ValueError, match="body: it has 1402 bytes; at most 1400 are allowed"):
        SendSipInfo(content_type="text/plain", body="ü" * 701)


def test_rules_over_several_parameters_hold_where_the_command_is_made() -> None:
    Gather(minimum_digits=3, maximum_digits=3)
    with pytest.raises(ValueError, match="minimum_digits: it cannot be greater than maximum_"):
        Gather(minimum_digits=4, maximum_digits=3)
    Pay(transaction_type="charge", amount=1, postal_code=True)
    with pytest.raises(ValueError, match="amount: it is required when transaction_type is 'ch"):
        Pay(transaction_type="charge")
    Bridge(video_room_id="0ccc7b54-4df3-4bca-a65a-3da1ecc777f0", video_room_context="Alice")
    with pytest.raises(ValueError, match="video_room_id: it is required with video_room_context"):
        Bridge(queue="support", video_room_context="Alice")


def test_the_rules_of_every_base_hold() -> None:
    policies: Any = {"call.hangup": {"retries_ms": [30_000, 30_001]}}
    with pytest.raises(ValueError, match="webhook_retries_policies: the delays for call"):
        Answer(webhook_retries_policies=policies)
    with pytest.raises(ValueError, match="audio_url: it cannot be used together with media_name"):
        Dial(
            to="+12025550123",
            from_="+12025550199",
            connection_id="1",
            audio_url="https://a.example/x.mp3",
            media_name="x",
        )


def test_two_commands_have_no_id_of_their_own_and_one_is_a_put() -> None:
    assert (UpdateClientState.method, UpdateClientState.takes_command_id) == ("PUT", False)
    assert not SwitchSupervisorRole.takes_command_id
    with pytest.raises(TypeError, match="client_state"):
        UpdateClientState()  # type: ignore[call-arg]


def test_commands_are_values() -> None:
    one = Dial(to="+12025550123", from_="+12025550199", connection_id="1")
    other = Dial(to="+12025550123", from_="+12025550199", connection_id="1")
    assert one == other
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.to = "+12025550124"  # type: ignore[misc]


def test_no_pattern_stands_in_a_union_with_a_list_or_a_map() -> None:
    """msgspec 0.22 takes the list's type for the pattern there, and crashes."""

    def inside(kind: inspect.Type) -> Iterator[inspect.Type]:
        yield kind
        for name in ("types", "fields"):
            for one in getattr(kind, name, ()):
                yield from inside(getattr(one, "type", one))
        for name in ("item_type", "value_type", "key_type"):
            if hasattr(kind, name):
                yield from inside(getattr(kind, name))

    for kind in COMMANDS.values():
        for union in inside(inspect.type_info(kind)):
            if isinstance(union, inspect.UnionType):
                # A type with a description stands in a wrapper.
                members = [getattr(one, "type", one) for one in union.types]
                patterns = [getattr(one, "pattern", None) for one in members]
                boxes = (inspect.ListType, inspect.DictType, inspect.TypedDictType)
                several = any(isinstance(one, boxes) for one in members)
                assert not (several and any(patterns)), f"{kind.__name__}: {union}"
