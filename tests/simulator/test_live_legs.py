"""The timers of legs, and events that outlive them."""

from tests.simulator.stand import CONNECTION, stand, until


async def test_timers_that_fired_are_not_kept() -> None:
    async with stand() as carrier:
        leg = await carrier.ring_answered()
        for _ in range(3):
            await carrier.act(leg, "gather", initial_timeout_millis=1, timeout_millis=1)
        timers = carrier.exchange.legs._timers[leg]
        # The caller's patience, its hang-up and the time limit are still to come.
        await until(lambda: len(timers) == 3, "the end of the gathers")


async def test_an_event_due_after_a_hangup_counts_as_pending() -> None:
    async with stand(speed=1) as carrier:
        leg = await carrier.ring_answered()
        await carrier.act(leg, "record_start", channels="dual", format="mp3")
        await carrier.act(leg, "hangup")
        assert carrier.report()["webhooks"]["pending"] > 0
        report = await carrier.settled()
        assert [event["event_type"] for event in report["events"]][-1] == "call.recording.saved"


async def test_an_application_that_wants_costs_receives_them() -> None:
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
