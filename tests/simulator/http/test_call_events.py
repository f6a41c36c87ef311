"""Call events and webhook deliveries, by the official SDK."""

from datetime import timedelta
from typing import Any

import pytest
from telnyx import AsyncTelnyx

from tests.simulator.stand import Stand, stand


async def listed(carrier: Stand, path: str, **filters: str) -> list[dict[str, Any]]:
    query = {f"filter{name}": value for name, value in filters.items()} | {"page[size]": "250"}
    response = await carrier.http.get(path, params=query)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found


async def test_the_events_of_a_call_are_its_webhooks_and_commands_in_order() -> None:
    async with stand() as carrier:
        other = await carrier.ring()
        leg = await carrier.ring_answered()
        await carrier.act(leg, "hangup", command_id="two")
        await carrier.settled()
        async with AsyncTelnyx(api_key="k", base_url=f"{carrier.url}/v2") as telnyx:
            session = (await telnyx.calls.retrieve_status(leg)).data
            assert session is not None
            pages = telnyx.call_events.list(
                filter={"application_session_id": session.call_session_id}, page_size=2
            )
            events = [event async for event in pages]
        assert sorted(event.name for event in events) == sorted(
            ["call.initiated", "answer", "call.answered", "hangup", "call.hangup"]
        )
        assert [event.event_timestamp for event in events] == sorted(
            event.event_timestamp for event in events
        )
        (initiated,) = (event for event in events if event.name == "call.initiated")
        raw = initiated.metadata["event"]
        assert raw == carrier.receiver.of("call.initiated", leg)[0].envelope["data"]
        assert {"status": "delivered", "attempt": 1}.items() <= initiated.metadata.items()
        (hangup,) = (event for event in events if event.name == "hangup")
        assert (hangup.type, hangup.metadata) == ("command", {"command_id": "two"})
        others = await listed(carrier, "/v2/call_events", **{"[type]": "webhook"})
        assert len(others) == 4
        assert others[0]["metadata"]["event"]["payload"]["call_control_id"] == other


async def test_without_a_call_only_the_last_day_is_listed() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        one = await carrier.event("call.initiated", leg)
        await carrier.settled()
        carrier.clock.ahead += timedelta(hours=25)
        assert await listed(carrier, "/v2/call_events") == []
        by_leg = {"[leg_id]": one.payload["call_leg_id"]}
        assert len(await listed(carrier, "/v2/call_events", **by_leg)) == 1
        early = {"[occurred_at][lt]": "2020-01-01T00:00:00Z"}
        assert await listed(carrier, "/v2/call_events", **by_leg, **early) == []


async def test_a_delivery_has_every_attempt_newest_first() -> None:
    async with stand() as carrier:
        carrier.receiver.answer = lambda one: 500 if one.envelope["meta"]["attempt"] < 3 else 200
        leg = await carrier.ring()
        await carrier.settled()
        carrier.receiver.answer = lambda _: 404
        await carrier.act(leg, "hangup")
        await carrier.settled()
        refused, delivered = await listed(carrier, "/v2/webhook_deliveries")
        assert (refused["status"], delivered["status"]) == ("failed", "delivered")
        assert refused["webhook"]["event_type"] == "call.hangup"
        codes = [one["http"]["response"]["status"] for one in delivered["attempts"]]
        assert codes == [200, 500, 500]
        assert delivered["started_at"] <= delivered["finished_at"]
        async with AsyncTelnyx(api_key="k", base_url=f"{carrier.url}/v2") as telnyx:
            alone = (await telnyx.webhook_deliveries.retrieve(delivered["id"])).data
            assert alone is not None
            assert alone.webhook is not None
            assert alone.webhook.event_type == "call.initiated"
        for filters, expected in [
            ({"[status][eq]": "failed"}, [refused]),
            ({"[event_type]": "call.initiated,call.bridged"}, [delivered]),
            ({"[webhook][contains]": leg}, [refused, delivered]),
            ({"[attempts][contains]": "nowhere.example"}, []),
            ({"[started_at][gte]": "2999-01-01T00:00:00Z"}, []),
        ]:
            assert await listed(carrier, "/v2/webhook_deliveries", **filters) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/v2/call_events?filter[occurred_at][gt]=yesterday",
        "/v2/call_events?filter[occurred_at][gt]=9999-12-31T23:59:59-14:00",
        "/v2/webhook_deliveries?filter[started_at][gte]=0001-01-01T00:00:00%2B14:00",
        "/v2/call_events?filter[occurred_at][gt]=2026-01-01&filter[occurred_at][lt]=2026-02-01",
        "/v2/webhook_deliveries?filter[status][eq]=lost",
        "/v2/webhook_deliveries?page[size]=251",
    ],
)
async def test_an_impossible_filter_is_refused(path: str) -> None:
    async with stand() as carrier:
        response = await carrier.http.get(path)
        assert response.status_code == 422
        assert "parameter" in response.json()["errors"][0]["source"]
