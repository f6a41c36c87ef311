"""The official SDK's surface, walked: what it sends through the API reaches the carrier unchanged.

Every method is called with all its parameters, once at the API and once at the carrier itself,
which notes what it is asked: method, path, query and body must be the same, numbers as they are
written. Only a command_id is added where the caller gave none.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from telnyx import AsyncTelnyx
from telnyx.resources.call_control_applications import (
    AsyncCallControlApplicationsResource,
    CallControlApplicationsResource,
)
from telnyx.resources.calls.actions import ActionsResource, AsyncActionsResource
from telnyx.resources.calls.calls import AsyncCallsResource, CallsResource

from tests.api.recorder import Answer, Asked, Recorder
from tests.api.stack import ADMIN, CARRIER_KEY, Stack, sdk_at
from tests.api.surface import Call, calls_of, methods_of

ACTIONS = sorted(methods_of(AsyncActionsResource))
APPLICATIONS = sorted(methods_of(AsyncCallControlApplicationsResource))
PAGE = {
    "data": [{"id": "12", "application_name": "desk"}],
    "meta": {"page_number": 1, "page_size": 20, "total_pages": 1, "total_results": 1},
}


@pytest.fixture
async def through(recorded: Stack) -> AsyncIterator[AsyncTelnyx]:
    """The SDK at the API."""
    async with sdk_at(f"{recorded.api_url}/v2", ADMIN) as sdk:
        yield sdk


@pytest.fixture
async def directly(recorder: Recorder) -> AsyncIterator[AsyncTelnyx]:
    """The SDK at the carrier."""
    async with sdk_at(recorder.url, CARRIER_KEY) as sdk:
        yield sdk


def resource_of(sdk: AsyncTelnyx, resource: type) -> Any:
    if resource is AsyncActionsResource:
        return sdk.calls.actions
    return sdk.calls if resource is AsyncCallsResource else sdk.call_control_applications


def told_apart(call: Call) -> tuple[str, dict[str, Any]]:
    """A text that is in this call's requests alone, and the arguments with it.

    Every other turn gives no command_id.
    """
    mark = secrets.token_hex(12)
    arguments = dict(call.arguments)
    of_the_path = ("call_control_id_to_bridge", "call_control_id", "connection_id", "id")
    place = next((name for name in of_the_path if name in arguments), None)
    if place is not None:
        arguments[place] = mark
    elif "application_name" in arguments:
        arguments["application_name"] = mark
    else:
        arguments["filter"] = {**arguments.get("filter", {}), "leg_id": mark}
    if "command_id" in arguments:
        arguments["command_id"] = f"command {mark}"
        if call.turn % 2:
            del arguments["command_id"]
    return mark, arguments


async def both(
    recorder: Recorder, resource: type, call: Call, directly: AsyncTelnyx, through: AsyncTelnyx
) -> tuple[Asked, Asked]:
    """What the carrier was asked directly, and through the API."""
    mark, arguments = told_apart(call)
    if call.method == "list":
        recorder.answer(mark, Answer(body=PAGE))
    answers = [
        (await getattr(resource_of(sdk, resource), call.method)(**arguments)).model_dump()
        for sdk in (directly, through)
    ]
    assert answers[0] == answers[1], call
    asked = recorder.asked(mark)
    assert len(asked) == 2, call
    return asked[0], asked[1]


@pytest.mark.parametrize("method", ["dial", *ACTIONS])
async def test_a_command_reaches_the_carrier_as_the_sdk_would_send_it(
    method: str, recorder: Recorder, directly: AsyncTelnyx, through: AsyncTelnyx
) -> None:
    resource = AsyncCallsResource if method == "dial" else AsyncActionsResource
    calls = list(calls_of(resource, method))
    pairs = await asyncio.gather(
        *(both(recorder, resource, call, directly, through) for call in calls)
    )
    for call, (plain, ours) in zip(calls, pairs, strict=True):
        assert (ours.method, ours.target) == (plain.method, plain.target), call
        assert ours.headers["content-type"] == plain.headers["content-type"], call
        is_made_here = "command_id" in call.arguments and "command_id" not in plain.json
        added = "command_id" if is_made_here else ""
        assert ours.json_text(without=added) == plain.json_text(), call


@pytest.mark.parametrize("method", APPLICATIONS)
async def test_what_is_asked_of_applications_reaches_the_carrier_byte_by_byte(
    method: str, recorder: Recorder, directly: AsyncTelnyx, through: AsyncTelnyx
) -> None:
    resource = AsyncCallControlApplicationsResource
    for call in calls_of(resource, method):
        plain, ours = await both(recorder, resource, call, directly, through)
        assert (ours.method, ours.target, ours.body) == (plain.method, plain.target, plain.body)


def test_nothing_of_the_sdks_is_left_out() -> None:
    """Status and active calls are answered from the views: see test_official_sdk and test_reads."""
    assert set(methods_of(AsyncCallsResource)) == {"dial", "retrieve_status"}
    assert set(APPLICATIONS) == {"create", "delete", "list", "retrieve", "update"}
    for synchronous, other in (
        (CallsResource, AsyncCallsResource),
        (ActionsResource, AsyncActionsResource),
        (CallControlApplicationsResource, AsyncCallControlApplicationsResource),
    ):
        assert methods_of(synchronous).keys() == methods_of(other).keys()
