"""The application's parameters against the official SDK: nothing invented, nothing missing."""

from typing import Any, Literal, Required, get_args, get_origin, get_type_hints

import msgspec
import pytest
from telnyx.types.call_control_application_create_params import CallControlApplicationCreateParams
from telnyx.types.call_control_application_inbound_param import CallControlApplicationInboundParam
from telnyx.types.call_control_application_outbound_param import (
    CallControlApplicationOutboundParam,
)
from telnyx.types.call_control_application_update_params import CallControlApplicationUpdateParams

from offhook.telnyx.applications import ChangedApplication, Inbound, NewApplication, Outbound

PAIRS = [
    (NewApplication, CallControlApplicationCreateParams),
    (ChangedApplication, CallControlApplicationUpdateParams),
    (Inbound, CallControlApplicationInboundParam),
    (Outbound, CallControlApplicationOutboundParam),
]


def choices_in(hint: Any) -> frozenset[object]:
    """The values of every Literal inside a type."""
    if get_origin(hint) is Literal:
        return frozenset(get_args(hint))
    return frozenset(value for part in get_args(hint) for value in choices_in(part))


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_names_enums_and_what_is_required_are_the_sdks(
    ours: type[msgspec.Struct], theirs: type
) -> None:
    own, sdk = get_type_hints(ours), get_type_hints(theirs, include_extras=True)
    assert set(own) == set(sdk)
    assert {name: choices_in(own[name]) for name in own} == {
        name: choices_in(sdk[name]) for name in sdk
    }
    required = {field.name for field in msgspec.structs.fields(ours) if field.required}
    assert required == {name for name, hint in sdk.items() if get_origin(hint) is Required}
