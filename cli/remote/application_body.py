"""The body of a request about a Call Control Application, from the options of `offhook apps`."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.inspect import IntType, NoneType, StructType, Type, UnionType

from offhook.telnyx.applications import ChangedApplication, Inbound, Outbound

_PARTS: dict[str, type[msgspec.Struct]] = {"inbound": Inbound, "outbound": Outbound}


def body_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of the documented parameters, each text read as its parameter's type.

    `inbound_channel_limit` is `channel_limit` of the object `inbound`, and so on.
    """
    body = _given(options, ChangedApplication)
    for part, kind in _PARTS.items():
        inside = {
            name.removeprefix(f"{part}_"): value
            for name, value in options.items()
            if name.startswith(f"{part}_")
        }
        if given := _given(inside, kind):
            body[part] = given
    return body


def change_of(there: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an update: the changes, and what the carrier wants to be told with any of them.

    That is name and webhook URL. Whether an object is merged or replaced is not documented, so it
    is sent whole.
    """
    body = {name: there.get(name) for name in ("application_name", "webhook_event_url")}
    body |= changes
    for part in _PARTS:
        if part in changes:
            kept = there.get(part) or {}
            known = {name: value for name, value in kept.items() if value is not None}
            body[part] = known | changes[part]
    return body


def _given(options: Mapping[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Those of the options that are fields of `kind` and were given."""
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, StructType)
    return {
        field.name: _value(value, field.type) if isinstance(value, str) else value
        for field in described.fields
        if (value := options.get(field.name)) is not None and value not in ([], ())
    }


def _value(text: str, kind: Type) -> Any:
    """A number or null where the field may be one; else the text, about which the check decides."""
    kinds = kind.types if isinstance(kind, UnionType) else (kind,)
    if text == "null" and any(isinstance(each, NoneType) for each in kinds):
        return None
    if any(isinstance(each, IntType) for each in kinds):
        try:
            return int(text)
        except ValueError:
            return text
    return text
