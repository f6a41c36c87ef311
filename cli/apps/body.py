"""The body of a request about a Call Control Application, from the options of `offhook apps`.

Every documented field has one option, named after it. A field inside an object has the object's
name in front: `inbound_channel_limit` is `channel_limit` of the object `inbound`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.inspect import IntType, NoneType, StructType, Type, UnionType

from offhook.telnyx.applications import ChangedApplication, Inbound, Outbound

_OBJECTS: dict[str, type[msgspec.Struct]] = {"inbound": Inbound, "outbound": Outbound}


@dataclass(frozen=True, kw_only=True)
class Field:
    """A documented field: its name, its type, and the object it is in ("" for the body itself)."""

    inside: str
    name: str
    type: Type


def _documented() -> dict[str, Field]:
    found = {}
    for inside, kind in {"": ChangedApplication, **_OBJECTS}.items():
        described = msgspec.inspect.type_info(kind)
        assert isinstance(described, StructType)
        for field in described.fields:
            if field.name in _OBJECTS and not inside:
                continue
            # `outbound_voice_profile_id` is in `outbound` and has the prefix already.
            named = not inside or field.name.startswith(f"{inside}_")
            option = field.name if named else f"{inside}_{field.name}"
            found[option] = Field(inside=inside, name=field.name, type=field.type)
    return found


FIELDS: Mapping[str, Field] = _documented()
"""By the name of the option."""


def body_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose options were given, each text read as its field's type."""
    body: dict[str, Any] = {}
    for option, field in FIELDS.items():
        value = options.get(option)
        if value is None or value in ([], ()):
            continue
        place = body.setdefault(field.inside, {}) if field.inside else body
        place[field.name] = _value(value, field.type) if isinstance(value, str) else value
    return body


def change_of(current: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an update: the changes, and what the carrier requires in every update.

    That is name and webhook URL. Whether an object is merged or replaced is not documented, so it
    is sent whole.
    """
    body = {name: current.get(name) for name in ("application_name", "webhook_event_url")}
    body |= changes
    for name in _OBJECTS:
        if name in changes:
            kept = current.get(name) or {}
            known = {key: value for key, value in kept.items() if value is not None}
            body[name] = known | changes[name]
    return body


def _value(text: str, kind: Type) -> Any:
    """A number or null where the field may be one; else the text, which the check then judges."""
    kinds = kind.types if isinstance(kind, UnionType) else (kind,)
    if text == "null" and any(isinstance(each, NoneType) for each in kinds):
        return None
    if any(isinstance(each, IntType) for each in kinds):
        try:
            return int(text)
        except ValueError:
            return text
    return text
