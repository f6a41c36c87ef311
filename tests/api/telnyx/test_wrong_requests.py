"""The same wrong requests to the API and to the simulated carrier: status, code and pointer agree.

Each maps what is wrong to a code with a table of its own. `DOCUMENTED` is what the carrier's
documents say: its error page, and the examples of its OpenAPI description.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from offhook.api.errors import parameter_invalid
from offhook.commands import COMMANDS
from offhook.commands.catalog import method_of, path_of
from offhook.simulator.applications import DEFAULT_ID
from offhook.simulator.errors import parameter_errors
from tests.api.stack import ADMIN, CARRIER_KEY, DEADLINE_S, Stack
from tests.offhook.commands.test_refused_anywhere import (
    PLACES,
    STRANGE,
    changed,
    full_request,
    refused,
)
from tests.offhook.commands.test_refused_parameters import RIGHT, WRONG

AT_ONCE_MAX = 8
UNKNOWN_LEG = "v3:nobody"
FORM = {"content-type": "application/x-www-form-urlencoded"}
Told = tuple[int, str, str | None]


class Both:
    """The two, one request to each at a time."""

    def __init__(self, api: httpx.AsyncClient, carrier: httpx.AsyncClient) -> None:
        self._clients = api, carrier
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def told(self, method: str, path: str, **sent: Any) -> tuple[Told, Told]:
        """What the API answers, and what the carrier answers."""
        async with self._room:
            api, carrier = [
                _told(await each.request(method, path, **sent)) for each in self._clients
            ]
        return api, carrier

    async def agreed(self, method: str, path: str, **sent: Any) -> Told:
        api, carrier = await self.told(method, path, **sent)
        assert api == carrier, (method, path, sent)
        return api


def _told(response: httpx.Response) -> Told:
    if response.is_success:
        return response.status_code, "", None
    (error,) = response.json()["errors"]
    return response.status_code, error["code"], error.get("source", {}).get("pointer")


@pytest.fixture
async def both(stack: Stack) -> AsyncIterator[Both]:
    def at(url: str, key: str) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(
            base_url=f"{url}/v2", headers=headers, timeout=DEADLINE_S, trust_env=False, verify=False
        )

    async with at(stack.api_url, ADMIN) as api, at(stack.simulator_url, CARRIER_KEY) as carrier:
        yield Both(api, carrier)


@pytest.fixture
async def leg(stack: Stack) -> str:
    """A call that is up, for what needs one."""
    return (await stack.ring(DEFAULT_ID))["call_control_id"]


def right(operation: str) -> dict[str, Any]:
    own = {"connection_id": DEFAULT_ID} if operation == "dial" else {}
    return {**RIGHT.get(operation, {}), **own}


def place(operation: str, leg: str) -> tuple[str, str]:
    return method_of(operation), path_of(operation, None if operation == "dial" else leg)


DOCUMENTED: list[tuple[str, dict[str, Any], str, str]] = [
    ("dial", {"to": None}, "10004", "/to"),
    ("dial", {"to": ""}, "10004", "/to"),
    ("dial", {"connection_id": None}, "10004", "/connection_id"),
    ("speak", {"payload": None}, "10004", "/payload"),
    ("dial", {"to": "12025550123"}, "10016", "/to"),
    ("transfer", {"from": "Anna"}, "10016", "/from"),
    ("dial", {"record_channels": "triple"}, "10032", "/record_channels"),
    ("dial", {"record_max_length": 43201}, "10033", "/record_max_length"),
    ("enqueue", {"max_size": "ten"}, "10026", "/max_size"),
    ("dial", {"from_display_name": "x" * 129}, "10025", "/from_display_name"),
    ("dial", {"audio_url": "hello.mp3"}, "10003", "/audio_url"),
    ("dial", {"billing_group_id": "1234"}, "10006", "/billing_group_id"),
    ("dial", {"client_state": "not base64!"}, "90017", "/client_state"),
    ("answer", {"client_state": 7}, "90017", "/client_state"),
    ("dial", {"timeout_secs": 4}, "90028", "/timeout_secs"),
    ("dial", {"timeout_secs": "ten"}, "90028", "/timeout_secs"),
    ("dial", {"time_limit_secs": 14401}, "90029", "/time_limit_secs"),
    ("record_start", {"format": "ogg"}, "90000", "/format"),
    ("record_start", {"channels": "mono"}, "90001", "/channels"),
    ("record_start", {"recording_track": "none"}, "90059", "/recording_track"),
    ("gather", {"terminating_digit": "##"}, "90007", "/terminating_digit"),
    ("gather", {"minimum_digits": 0}, "90022", "/minimum_digits"),
    ("gather", {"maximum_digits": 129}, "90023", "/maximum_digits"),
    ("gather", {"timeout_millis": "ten"}, "90025", "/timeout_millis"),
    ("gather", {"initial_timeout_millis": "1"}, "90056", "/initial_timeout_millis"),
    ("gather", {"inter_digit_timeout_millis": "ten"}, "90026", "/inter_digit_timeout_millis"),
    ("gather_using_audio", {"maximum_tries": "three"}, "90024", "/maximum_tries"),
    ("playback_start", {"loop": 101}, "90009", "/loop"),
    ("playback_stop", {"stop": "everything"}, "90016", "/stop"),
    ("send_dtmf", {"digits": "1 2"}, "90014", "/digits"),
    ("send_dtmf", {"duration_millis": 99}, "90027", "/duration_millis"),
    ("speak", {"payload": 1}, "90010", "/payload"),
    ("speak", {"payload_type": "html"}, "90011", "/payload_type"),
    ("speak", {"language": "de"}, "90013", "/language"),
    ("speak", {"service_level": "gold"}, "90030", "/service_level"),
    ("dial", {"webhook_urls": {"call.x": "https://a.example"}}, "90057", "/webhook_urls/call.x"),
    ("dial", {"connection_id": "2"}, "10015", "/connection_id"),
    ("dial", {"link_to": UNKNOWN_LEG}, "90015", "/link_to"),
    ("hangup", {"colour": "blue"}, "10015", "/colour"),
    ("hangup", {"command_id": 7}, "10026", "/command_id"),
]


@pytest.mark.parametrize(
    ("operation", "change", "code", "pointer"),
    DOCUMENTED,
    ids=[f"{operation} {[*change]} {code}" for operation, change, code, _ in DOCUMENTED],
)
async def test_a_wrong_value_has_its_documented_code(
    both: Both, leg: str, operation: str, change: dict[str, Any], code: str, pointer: str
) -> None:
    method, path = place(operation, leg)
    agreed = await both.agreed(method, path, json={**right(operation), **change})
    assert agreed == (422, code, pointer)


async def test_every_wrong_parameter_is_answered_alike(both: Both, leg: str) -> None:
    async def ask(operation: str, change: dict[str, Any]) -> Told:
        method, path = place(operation, leg)
        return await both.agreed(method, path, json={**right(operation), **change})

    wrong = [(operation, change) for operation, change in WRONG if "command_id" not in change]
    told = await asyncio.gather(*(ask(*each) for each in wrong))
    assert {status for status, _, _ in told} == {422}
    assert len({code for _, code, _ in told}) > 20


def test_a_strange_value_at_any_place_has_the_same_code_and_pointer() -> None:
    """Without HTTP: there are thousands."""
    seen = set()
    for path, operation in PLACES.items():
        for value in STRANGE:
            error = refused(operation, changed(full_request(operation), path, value))
            if error is not None:
                ours, theirs = parameter_invalid(error), parameter_errors.parameter_invalid(error)
                assert ours.status == theirs.status == 422
                found = {key: ours.errors[0][key] for key in ("code", "source")}
                expected = {key: theirs.body["errors"][0][key] for key in ("code", "source")}
                assert found == expected, error
                seen.add(theirs.code)
    assert len(seen) > 20


async def test_what_any_operation_may_be_asked_wrongly(both: Both, leg: str, stack: Stack) -> None:
    """Each of the operations, each way of being wrong that does not depend on its parameters."""
    ended = (await stack.ring(DEFAULT_ID))["call_control_id"]
    assert (await both.told("POST", f"/calls/{ended}/actions/hangup"))[0][0] == 200
    await stack.in_state(ended, "ended")

    async def ask(operation: str) -> None:
        method, path = place(operation, leg)
        body = right(operation)

        async def agreed(path: str = path, **sent: Any) -> Told:
            return await both.agreed(method, path, **sent)

        assert await agreed(json={**body, "{surprise}": 1}) == (422, "10015", "/{surprise}")
        assert await agreed(content=b'{"to":') == (400, "10023", None)
        assert await agreed(json=[body]) == (400, "10023", None)
        assert await agreed(content=b'{"to":"\xff"}') == (400, "10028", None)
        assert await agreed(data={"to": "1"}) == (400, "10023", None)
        for key in ("Bearer nobody", "Bearer", "Basic x", ""):
            headers = {"authorization": key}
            assert await agreed(json=body, headers=headers) == (401, "10009", None)
        if "client_state" in full_request(operation):
            state = {**body, "client_state": "not base64!"}
            assert await agreed(json=state) == (422, "90017", "/client_state")
        if operation == "dial":
            return
        _, nobody = place(operation, UNKNOWN_LEG)
        assert await agreed(nobody, json=body) == (422, "90015", "/call_control_id")
        _, over = place(operation, ended)
        api, carrier = await both.told(method, over, json=body)
        assert carrier == (422, "90018", None)
        # A hangup of a call that has ended has done what it was for.
        assert api == ((200, "", None) if operation == "hangup" else carrier)

    assert len(COMMANDS) == 42
    await asyncio.gather(*map(ask, COMMANDS))


async def test_json_is_read_whatever_the_content_type_says(both: Both, stack: Stack) -> None:
    """No document says with which status another type is refused."""
    parked = (await stack.ring(DEFAULT_ID))["call_control_id"]
    state = b'{"client_state":"aGVsbG8="}'
    path = f"/calls/{parked}/actions/client_state_update"
    assert await both.agreed("PUT", path, content=state, headers=FORM) == (200, "", None)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"/calls/{UNKNOWN_LEG}", (422, "90015", "/call_control_id")),
        ("POST", f"/calls/{UNKNOWN_LEG}/actions/levitate", (404, "10005", None)),
        ("GET", "/nowhere", (404, "10005", None)),
        ("GET", "/calls", (405, "10030", None)),
        ("POST", f"/calls/{UNKNOWN_LEG}/actions/client_state_update", (405, "10030", None)),
        ("PUT", f"/calls/{UNKNOWN_LEG}/actions/hangup", (405, "10030", None)),
        ("GET", "/connections/2/active_calls", (200, "", None)),
        ("GET", "/connections/2/active_calls?page[size]=0", (422, "10033", None)),
        ("GET", "/connections/2/active_calls?page[size]=many", (422, "10033", None)),
        ("GET", "/connections/2/active_calls?page[after]=@", (422, "10015", None)),
        ("GET", "/call_control_applications/2", (404, "10005", None)),
    ],
)
async def test_what_is_not_there(both: Both, method: str, path: str, expected: Told) -> None:
    assert await both.agreed(method, path) == expected


@pytest.mark.parametrize("answered", [False, True])
async def test_a_call_lasts_from_its_answer_on(both: Both, stack: Stack, answered: bool) -> None:
    ids = await stack.ring(DEFAULT_ID)
    leg = ids["call_control_id"]
    await asyncio.sleep(1.1)
    if answered:
        assert await both.agreed("POST", f"/calls/{leg}/actions/answer") == (200, "", None)
        await asyncio.sleep(1.1)
    await both.told("POST", f"/calls/{leg}/actions/hangup")
    await stack.session(ids["call_session_id"], "ended")
    times = await stack.leg(leg)
    started, ended = (datetime.fromisoformat(times[name]) for name in ("started_at", "ended_at"))
    talk_s = 0.0
    if answered:
        talk_s = (ended - datetime.fromisoformat(times["answered_at"])).total_seconds()
    assert int(talk_s) < int((ended - started).total_seconds())
    lasted = [
        (await each.get(f"/calls/{leg}")).json()["data"]["call_duration"] for each in both._clients
    ]
    assert lasted == [int(talk_s)] * 2
