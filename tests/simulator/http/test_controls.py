"""The controls: inbound calls, keys, hangups and health."""

from typing import Any

from tests.simulator.calls import SILENT
from tests.simulator.stand import CALLER, CONNECTION, OURS, code_of, stand, until


async def test_a_caller_may_be_wrong_first_and_right_later() -> None:
    async with stand() as carrier:
        leg = await carrier.ring_answered(keys=["9", "8", "1"])
        asked = {"payload": "Press 1.", "voice": "female", "valid_digits": "1"}
        await carrier.act(leg, "gather_using_speak", **asked, maximum_digits=1, maximum_tries=3)
        ended = await carrier.event("call.gather.ended", leg)
        assert (ended.payload["digits"], ended.payload["status"]) == ("1", "valid")


async def test_a_control_makes_the_party_of_a_leg_press_keys() -> None:
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


async def test_a_control_makes_the_party_of_a_leg_hang_up() -> None:
    async with stand() as carrier:
        leg = await carrier.dial_answered()
        assert (await carrier.http.post(f"/simulator/calls/{leg}/hangup")).status_code == 204
        ended = (await carrier.event("call.hangup", leg)).payload
        assert (ended["hangup_cause"], ended["hangup_source"]) == ("normal_clearing", "callee")
        again = await carrier.http.post(f"/simulator/calls/{leg}/hangup")
        assert code_of(again) == (422, "90018")


async def test_only_a_caller_can_hang_up_before_the_answer() -> None:
    async with stand() as carrier:
        caller = await carrier.ring()
        assert (await carrier.http.post(f"/simulator/calls/{caller}/hangup")).status_code == 204
        ended = (await carrier.event("call.hangup", caller)).payload
        assert (ended["hangup_cause"], ended["hangup_source"]) == ("originator_cancel", "caller")
        called = (await carrier.dial(SILENT, timeout_secs=600))["call_control_id"]
        ringing = await carrier.http.post(f"/simulator/calls/{called}/hangup")
        assert code_of(ringing) == (422, "90034")


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
