"""The HTTP face: statuses, codes, the ledger of command_ids, the magic numbers of the interface."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.simulator.stand import CALLER, CONNECTION, DEADLINE_S, FRIEND, OURS, stand, until

DIAL = {"to": FRIEND, "from": OURS, "connection_id": CONNECTION}


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["errors"][0]["code"]


def source_of(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["source"]


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


async def test_a_body_that_is_no_json_object_is_400() -> None:
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


async def test_a_repeated_command_id_is_answered_as_first_and_changes_nothing() -> None:
    async with stand() as carrier:
        first = await carrier.dial(FRIEND, command_id="one")
        assert await carrier.dial(FRIEND, command_id="one") == first
        leg = await carrier.ring()
        for _ in range(3):
            assert (await carrier.act(leg, "answer", command_id="one")).status_code == 200
        report = await carrier.settled()
        assert report["totals"] == {"dial": 1, "answer": 1}
        assert report["ignored"] == {"dial": 1, "answer": 2}
        assert report["doubled"] == []
        assert len(carrier.receiver.of("call.answered", leg)) == 1


async def test_a_command_id_counts_for_its_own_call_only() -> None:
    async with stand() as carrier:
        for leg in (await carrier.ring(), await carrier.ring()):
            assert (await carrier.act(leg, "answer", command_id="one")).status_code == 200
        assert carrier.report()["totals"] == {"answer": 2}


async def test_a_repeated_dial_may_be_answered_without_ids_or_refused() -> None:
    async with stand(duplicate_answer="empty") as carrier:
        await carrier.dial(FRIEND, command_id="one")
        assert await carrier.dial(FRIEND, command_id="one") == {"result": "ok"}
    async with stand(duplicate_answer="error") as carrier:
        await carrier.dial(FRIEND, command_id="one")
        again = await carrier.http.post("/v2/calls", json={**DIAL, "command_id": "one"})
        assert code_of(again) == (422, "10012")
        assert carrier.report()["totals"] == {"dial": 1}


async def test_after_60_s_a_command_id_is_performed_again_and_counts_as_doubled() -> None:
    async with stand() as carrier:
        await carrier.dial(FRIEND, command_id="one")
        carrier.clock.ahead += timedelta(seconds=59)
        await carrier.dial(FRIEND, command_id="one")
        assert carrier.report()["doubled"] == []
        carrier.clock.ahead += timedelta(seconds=2)
        await carrier.dial(FRIEND, command_id="one")
        (doubled,) = carrier.report()["doubled"]
        assert (doubled["operation"], doubled["command_id"], doubled["count"]) == ("dial", "one", 2)


async def test_answering_an_answered_leg_under_another_command_id_counts_as_doubled() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        for command_id in ("one", "two"):
            assert (await carrier.act(leg, "answer", command_id=command_id)).status_code == 200
        (doubled,) = (await carrier.settled())["doubled"]
        assert (doubled["command_id"], doubled["repeated"]) == ("two", 1)
        assert len(carrier.receiver.of("call.answered", leg)) == 1


async def test_a_number_that_fails_once_is_performed_by_the_second_try() -> None:
    async with stand() as carrier:
        body = {**DIAL, "to": "+12025550150", "command_id": "one"}
        assert code_of(await carrier.http.post("/v2/calls", json=body)) == (500, "10007")
        assert carrier.report()["totals"] == {}
        assert (await carrier.http.post("/v2/calls", json=body)).status_code == 200
        assert carrier.report()["totals"] == {"dial": 1}


async def test_a_number_that_fails_after_performing_is_still_performed_once() -> None:
    async with stand() as carrier:
        leg = await carrier.ring(to="+12025550151")
        assert code_of(await carrier.act(leg, "answer", command_id="one")) == (500, "10007")
        await carrier.event("call.answered", leg)
        assert (await carrier.act(leg, "answer", command_id="one")).status_code == 200
        assert carrier.report()["totals"] == {"answer": 1}


async def test_a_failure_of_one_number_is_not_the_first_try_of_another() -> None:
    """None has a command_id: what they share must not tell them apart."""
    async with stand() as carrier:
        for last, expected in (("59", (429, "10011")), ("50", (500, "10007"))):
            body = {**DIAL, "to": f"+120255501{last}"}
            assert code_of(await carrier.http.post("/v2/calls", json=body)) == expected
        leg = await carrier.ring(to="+12025550150")
        for state in ("YQ==", "Yg=="):
            answer = {"client_state": state}
            assert code_of(await carrier.act(leg, "answer", **answer)) == (500, "10007")
        assert (await carrier.act(leg, "answer", **answer)).status_code == 200
        assert carrier.report()["totals"] == {"answer": 1}


async def test_an_empty_command_id_is_nobodys() -> None:
    async with stand() as carrier:
        legs = [await carrier.dial(FRIEND, command_id="") for _ in range(2)]
        assert legs[0] != legs[1]


async def test_a_caller_may_be_wrong_first_and_right_later() -> None:
    async with stand() as carrier:
        leg = await carrier.ring_answered(keys=["9", "8", "1"])
        asked = {"payload": "Press 1.", "voice": "female", "valid_digits": "1"}
        await carrier.act(leg, "gather_using_speak", **asked, maximum_digits=1, maximum_tries=3)
        ended = await carrier.event("call.gather.ended", leg)
        assert (ended.payload["digits"], ended.payload["status"]) == ("1", "valid")


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


async def test_an_unavailable_number_never_gets_through() -> None:
    async with stand() as carrier:
        body = {**DIAL, "to": "sip:+12025550153@example.com"}
        for _ in range(3):
            assert code_of(await carrier.http.post("/v2/calls", json=body)) == (503, "10007")
        assert carrier.report()["totals"] == {}


async def test_a_limited_number_tells_when_to_come_back() -> None:
    async with stand() as carrier:
        body = {**DIAL, "to": "+12025550159"}
        response = await carrier.http.post("/v2/calls", json=body)
        assert code_of(response) == (429, "10011")
        assert response.headers["x-ratelimit-reset"] == "1"
        assert (await carrier.http.post("/v2/calls", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("last", "expected"), [("54", (403, "10010")), ("55", (422, "90041")), ("57", (403, "20012"))]
)
async def test_some_numbers_are_never_called(last: str, expected: tuple[int, str]) -> None:
    async with stand() as carrier:
        body = {**DIAL, "to": f"+120255501{last}"}
        for _ in range(2):
            assert code_of(await carrier.http.post("/v2/calls", json=body)) == expected
        assert carrier.report()["totals"] == {}


async def test_too_many_dials_are_told_once() -> None:
    async with stand() as carrier:
        body = {**DIAL, "to": "+12025550156"}
        assert code_of(await carrier.http.post("/v2/calls", json=body)) == (429, "90103")
        assert (await carrier.http.post("/v2/calls", json=body)).status_code == 200
        leg = await carrier.ring(to="+12025550156")
        assert (await carrier.act(leg, "answer")).status_code == 200  # it is no dial


async def test_the_state_is_updated_by_put_and_knows_no_command_id() -> None:
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


async def test_the_party_of_a_leg_types_what_a_control_says() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        path = f"/simulator/calls/{leg}/keys"
        assert code_of(await carrier.http.post(path, json={"keys": "1"})) == (422, "90034")
        await carrier.act(leg, "answer")
        await carrier.act(leg, "gather", maximum_digits=2)
        assert (await carrier.http.post(path, json={"keys": "12"})).status_code == 204
        ended = await carrier.event("call.gather.ended", leg)
        assert (ended.payload["digits"], ended.payload["status"]) == ("12", "valid")
        assert code_of(await carrier.http.post(path, json={"keys": "x"})) == (422, "10027")
        await carrier.act(leg, "hangup")
        assert code_of(await carrier.http.post(path, json={"keys": "1"})) == (422, "90018")


async def test_what_has_happened_to_a_leg_is_not_kept() -> None:
    async with stand() as carrier:
        leg = await carrier.ring_answered()
        for _ in range(3):
            await carrier.act(leg, "gather", initial_timeout_millis=1, timeout_millis=1)
        timers = carrier.exchange.legs._timers[leg]
        # The caller's patience, its hang-up and the time limit are still to come.
        await until(lambda: len(timers) == 3, "the end of the gathers")


async def test_what_is_due_after_a_hangup_counts_as_pending_until_it_is_told() -> None:
    async with stand(speed=1) as carrier:
        leg = await carrier.ring_answered()
        await carrier.act(leg, "record_start", channels="dual", format="mp3")
        await carrier.act(leg, "hangup")
        assert carrier.report()["webhooks"]["pending"] > 0
        report = await carrier.settled()
        assert [event["event_type"] for event in report["events"]][-1] == "call.recording.saved"


async def test_an_application_that_wants_costs_is_told_them() -> None:
    async with stand() as carrier:
        path = f"/v2/call_control_applications/{CONNECTION}"
        body = {
            "application_name": "costs",
            "webhook_event_url": carrier.webhook_url,
            "call_cost_in_webhooks": True,
        }
        assert (await carrier.http.patch(path, json=body)).status_code == 200
        for leg in (await carrier.ring_answered(), await carrier.dial_answered()):
            await carrier.act(leg, "hangup")
            cost = await carrier.event("call.cost", leg)
            assert cost.payload["status"] == "success"


async def test_a_slow_number_performs_before_it_answers() -> None:
    async with stand(slow_answer_s=1.0) as carrier:
        body = {**DIAL, "to": "+12025550152", "command_id": "one"}
        impatient = httpx.Timeout(DEADLINE_S, read=0.2)
        with pytest.raises(httpx.ReadTimeout):
            await carrier.http.post("/v2/calls", json=body, timeout=impatient)
        assert (await carrier.http.post("/v2/calls", json=body)).status_code == 200
        assert carrier.report()["totals"] == {"dial": 1}


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


async def test_a_wrong_inbound_call_is_refused() -> None:
    async with stand() as carrier:
        good = {"from": CALLER, "to": OURS, "connection_id": CONNECTION}
        for change in ({"to": "x"}, {"connection_id": "1"}, {"color": "red"}, {"patience_s": -1}):
            response = await carrier.http.post("/simulator/calls", json={**good, **change})
            assert response.status_code == 422
        assert (await carrier.http.post("/simulator/calls", content=b"{")).status_code == 400
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"to": "555"}, "call: to is '555'; expected a number in E.164"),
            ({"from": None}, "call: from is missing; it is required"),
            ({"patience_s": -1}, "Expected `float` >= 0.0 - at `$.patience_s`"),
        ]
        for bad, words in wrong:
            response = await carrier.http.post("/simulator/calls", json={**good, **bad})
            assert response.json()["errors"][0]["detail"].startswith(words)
        response = await carrier.http.post("/simulator/calls", json=[])
        assert response.json()["errors"][0]["detail"] == "Expected `object`, got `array`"


async def test_health_counts_the_live_legs() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        assert (await carrier.http.get("/simulator/health")).json()["live_legs"] == 1
        await carrier.act(leg, "hangup")
        await until(lambda: carrier.exchange.legs.count() == 0, "the end")
