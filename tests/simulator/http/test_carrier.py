"""The carrier's operations over HTTP: statuses, codes, status reads and lists."""

from datetime import timedelta
from typing import Any

import pytest

from tests.simulator.stand import CONNECTION, FRIEND, OURS, code_of, source_of, stand

DIAL = {"to": FRIEND, "from": OURS, "connection_id": CONNECTION}


async def test_a_request_without_a_bearer_token_is_401() -> None:
    async with stand() as carrier:
        for headers in ({"authorization": ""}, {"authorization": "Basic x"}):
            response = await carrier.http.post("/v2/calls", json=DIAL, headers=headers)
            assert code_of(response) == (401, "10009")


async def test_a_configured_key_is_the_only_one() -> None:
    async with stand(key="secret") as carrier:
        assert code_of(await carrier.http.post("/v2/calls", json=DIAL)) == (401, "10009")
        headers = {"authorization": "Bearer secret"}
        response = await carrier.http.post("/v2/calls", json=DIAL, headers=headers)
        assert response.status_code == 200


async def test_an_unknown_route_is_404_and_a_wrong_method_405() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        assert code_of(await carrier.http.get("/v2/nothing")) == (404, "10005")
        assert code_of(await carrier.act(leg, "levitate")) == (404, "10005")
        assert code_of(await carrier.act(leg, "dial")) == (404, "10005")
        assert code_of(await carrier.http.get("/v2/calls")) == (405, "10030")


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"to": "12025550110"}, "10016", "/to"),
        ({"from": "nobody"}, "10016", "/from"),
        ({"to": None}, "10004", "/to"),
        ({"to": ""}, "10004", "/to"),
        ({"connection_id": None}, "10004", "/connection_id"),
        ({"connection_id": "1"}, "10015", "/connection_id"),
        ({"timeout_secs": 4}, "90028", "/timeout_secs"),
        ({"timeout_secs": "ten"}, "90028", "/timeout_secs"),
        ({"record_max_length": 43201}, "10033", "/record_max_length"),
        ({"record_max_length": "long"}, "10026", "/record_max_length"),
        ({"command_id": 7}, "10026", "/command_id"),
        ({"record_channels": "triple"}, "10032", "/record_channels"),
        ({"from_display_name": "x" * 129}, "10025", "/from_display_name"),
        ({"client_state": "not base64!"}, "90017", "/client_state"),
        ({"bridge_on_answer": True}, "10004", "/link_to"),
        ({"link_to": "v3:nobody"}, "90015", "/link_to"),
        ({"{surprise}": 1}, "10015", "/{surprise}"),
    ],
)
async def test_a_wrong_dial_is_422_and_names_the_parameter(
    change: dict[str, Any], code: str, pointer: str
) -> None:
    async with stand() as carrier:
        response = await carrier.http.post("/v2/calls", json={**DIAL, **change})
        assert code_of(response) == (422, code)
        assert source_of(response) == {"pointer": pointer}
        assert carrier.report()["totals"] == {}


async def test_a_body_that_is_not_a_json_object_is_400() -> None:
    async with stand() as carrier:
        deep = b'{"a":' * 100_000
        for path in ("/v2/calls", "/v2/call_control_applications", "/simulator/calls"):
            for content in (b"{", b'{"to":1} x', b'{"from":1,"x":' + deep):
                response = await carrier.http.post(path, content=content)
                assert code_of(response) == (400, "10023")
            for content in (b"\xff", b'{"from":1,"to":"\xff"}'):
                response = await carrier.http.post(path, content=content)
                assert code_of(response) == (400, "10028")
        for path in ("/v2/calls", "/v2/call_control_applications"):
            for content in (b"[]", b'"x"', deep):
                response = await carrier.http.post(path, content=content)
                assert code_of(response) == (400, "10023")


async def test_the_legs_state_refuses_what_it_does_not_allow() -> None:
    async with stand() as carrier:
        parked = await carrier.ring()
        outgoing = (await carrier.dial("+12025550188", timeout_secs=600))["call_control_id"]
        assert code_of(await carrier.act("v3:nobody", "hangup")) == (422, "90015")
        assert code_of(await carrier.act(parked, "transfer", to=FRIEND)) == (422, "90034")
        assert code_of(await carrier.act(outgoing, "answer")) == (422, "90102")
        assert code_of(await carrier.act(outgoing, "reject", cause="USER_BUSY")) == (422, "10027")
        assert (await carrier.act(parked, "hangup")).status_code == 200
        assert code_of(await carrier.act(parked, "hangup")) == (422, "90018")
        assert carrier.report()["refused"]["90018"] == 1


@pytest.mark.parametrize("url", ["wss://[", "wss://[::1", "wss://:443/media", "ws:///media"])
async def test_a_stream_to_nowhere_is_refused(url: str) -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        for refused in (
            await carrier.http.post("/v2/calls", json={**DIAL, "stream_url": url}),
            await carrier.act(leg, "answer", stream_url=url),
        ):
            assert code_of(refused) == (422, "10003")
            assert source_of(refused) == {"pointer": "/stream_url"}
        await carrier.act(leg, "answer")
        refused = await carrier.act(leg, "streaming_start", stream_url=url)
        assert code_of(refused) == (422, "10003")


async def test_the_client_state_is_updated_by_put_without_a_command_id() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        path = f"/v2/calls/{leg}/actions/client_state_update"
        state = {"client_state": "aGVsbG8="}
        assert (await carrier.http.put(path, json=state)).status_code == 200
        assert code_of(await carrier.http.post(path, json=state)) == (405, "10030")
        assert code_of(await carrier.http.put(path, json={**state, "command_id": "x"})) == (
            422,
            "10015",
        )
        assert code_of(await carrier.http.put(f"/v2/calls/{leg}/actions/hangup")) == (405, "10030")


async def test_a_status_is_readable_for_ten_minutes_after_the_end() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        await carrier.act(leg, "hangup")
        carrier.clock.ahead += timedelta(minutes=9)
        status = (await carrier.http.get(f"/v2/calls/{leg}")).json()["data"]
        assert status["is_alive"] is False
        assert status["end_time"] >= status["start_time"]
        carrier.clock.ahead += timedelta(minutes=2)
        assert code_of(await carrier.http.get(f"/v2/calls/{leg}")) == (422, "90015")


async def test_cursors_lead_through_all_active_calls_and_back() -> None:
    async with stand() as carrier:
        placed = [await carrier.ring() for _ in range(5)]
        path = f"/v2/connections/{CONNECTION}/active_calls?page[limit]=2"
        seen, previous = [], None
        while path:
            page = (await carrier.http.get(path)).json()
            seen += [call["call_control_id"] for call in page["data"]]
            path, previous = page["meta"].get("next"), page["meta"].get("previous", previous)
        assert seen == placed
        back = (await carrier.http.get(str(previous))).json()["data"]
        assert [call["call_control_id"] for call in back] == placed[2:4]
