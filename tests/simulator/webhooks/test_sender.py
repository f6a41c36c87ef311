"""Webhooks over real HTTP: envelope, retries, addresses, and the seeded faults."""

import re
from collections import Counter

import pytest

from tests.simulator.stand import (
    CONNECTION,
    FRIEND,
    OURS,
    PATIENT_S,
    Received,
    Stand,
    stand,
    until,
)


async def one_call(carrier: Stand) -> str:
    """A transferred call from ring to hangup; its eight events in one session."""
    leg = await carrier.ring_answered()
    await carrier.act(leg, "transfer", to=FRIEND)
    await carrier.event("call.bridged", leg)
    await carrier.act(leg, "hangup")
    return leg


async def test_an_event_has_the_envelope_and_the_headers_of_the_real_ones() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        one = await carrier.event("call.initiated", leg)
        data, meta = one.envelope["data"], one.envelope["meta"]
        assert set(data) == {"event_type", "id", "occurred_at", "payload", "record_type"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", data["occurred_at"])
        assert meta["attempt"] == 1
        assert meta["delivered_to"].endswith("/webhooks/telnyx")
        assert one.headers["user-agent"] == "telnyx-webhooks"
        assert one.headers["content-type"] == "application/json"


async def test_without_faults_the_events_of_a_session_arrive_in_order() -> None:
    async with stand() as carrier:
        await one_call(carrier)
        report = await carrier.settled()
        assert [one.envelope["data"]["id"] for one in carrier.receiver.deliveries] == [
            event["id"] for event in report["events"]
        ]
        assert report["webhooks"] == {
            "events": 8,
            "attempts": 8,
            "duplicates": 0,
            "held_back": 0,
            "lost": 0,
            "delivered": 8,
            "undelivered": 0,
            "pending": 0,
        }


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_passing_failure_is_retried_with_the_next_attempt(status: int) -> None:
    def first_try_fails(one: Received) -> int:
        return status if one.envelope["meta"]["attempt"] == 1 else 200

    async with stand() as carrier:
        carrier.receiver.answer = first_try_fails
        await carrier.ring()
        (event,) = (await carrier.settled())["events"]
        assert (event["attempts"], event["delivered"]) == (2, True)
        assert len({one.envelope["data"]["id"] for one in carrier.receiver.deliveries}) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 302])
async def test_a_refused_webhook_is_not_sent_again(status: int) -> None:
    async with stand() as carrier:
        carrier.receiver.answer = lambda _: status
        await carrier.ring()
        (event,) = (await carrier.settled())["events"]
        assert (event["attempts"], event["delivered"]) == (1, False)


async def test_a_webhook_is_undelivered_when_its_attempts_are_used_up() -> None:
    async with stand(webhook_url="http://127.0.0.1:9/nobody") as carrier:
        await carrier.ring()
        (event,) = (await carrier.settled())["events"]
        assert (event["attempts"], event["delivered"]) == (3, False)


async def test_a_command_may_name_its_own_webhook_address() -> None:
    async with stand() as carrier:
        here = (await carrier.event("call.initiated", await carrier.ring())).envelope["meta"]
        there = here["delivered_to"].replace("/webhooks/telnyx", "/elsewhere")
        leg = await carrier.dial_answered(webhook_url=there)
        assert {one.path for one in carrier.receiver.of("call.answered", leg)} == {"/elsewhere"}


async def test_a_command_may_name_addresses_by_event_a_method_and_its_own_pauses() -> None:
    async with stand() as carrier:
        here = carrier.webhook_url
        two = here.replace("/webhooks/telnyx", "/two")
        carrier.receiver.answer = lambda one: 500 if one.path == "/two" else 200
        leg = await carrier.ring()
        await carrier.act(
            leg,
            "answer",
            webhook_url=here.replace("/webhooks/telnyx", "/asked"),
            webhook_url_method="GET",
            webhook_urls={"call.hangup": two},
            webhook_retries_policies={"call.hangup": {"retries_ms": [10, 10, 10]}},
        )
        await carrier.act(leg, "hangup")
        await carrier.settled()
        paths = Counter(received.path for received in carrier.receiver.deliveries)
        assert paths == {"/webhooks/telnyx": 1, "/asked": 1, "/two": 4}
        (asked,) = (each for each in carrier.receiver.deliveries if each.path == "/asked")
        assert asked.text == ""
        assert asked.query["event_type"] == "call.answered"
        assert asked.query["call_control_id"] == leg
        assert "telnyx-signature-ed25519" in asked.headers


async def test_a_lost_event_is_counted_and_never_sent() -> None:
    async with stand(loss=0.5, seed=5) as carrier:
        for _ in range(20):
            await carrier.ring()
        report = await carrier.settled()
        lost = {event["id"] for event in report["events"] if event["lost"]}
        assert 0 < len(lost) < 20
        assert report["webhooks"]["lost"] == report["webhooks"]["undelivered"] == len(lost)
        arrived = {one.envelope["data"]["id"] for one in carrier.receiver.deliveries}
        assert arrived == {event["id"] for event in report["events"]} - lost


async def test_a_duplicated_event_comes_twice_under_one_id() -> None:
    async with stand(duplicates=1.0) as carrier:
        await one_call(carrier)
        report = await carrier.settled()
        assert report["webhooks"]["duplicates"] == len(report["events"])
        expected = {event["id"]: 2 for event in report["events"]}
        copies = 2 * len(expected)
        await until(lambda: len(carrier.receiver.deliveries) >= copies, "every copy")
        assert Counter(one.envelope["data"]["id"] for one in carrier.receiver.deliveries) == (
            expected
        )


async def test_held_back_events_are_overtaken_and_still_arrive() -> None:
    async with stand(disorder=0.5, seed=3) as carrier:
        leg = await carrier.ring_answered()
        for _ in range(10):
            await carrier.act(leg, "refer", sip_address="sip:friend@example.com")
        await carrier.act(leg, "hangup")
        report = await carrier.settled()
        arrived = [one.envelope["data"]["id"] for one in carrier.receiver.deliveries]
        happened = [event["id"] for event in report["events"]]
        assert sorted(arrived) == sorted(happened)
        assert arrived != happened
        assert report["webhooks"]["held_back"] > 0


async def test_the_same_seed_disturbs_the_same_calls_in_the_same_way() -> None:
    drawn = []
    for _ in range(2):
        async with stand(duplicates=0.5, disorder=0.5, seed=7) as carrier:
            for _ in range(20):
                await carrier.ring()
            events = (await carrier.settled())["events"]
            drawn.append([(event["copies"], event["held_back"]) for event in events])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 1


async def test_the_report_has_how_every_leg_ended() -> None:
    async with stand() as carrier:
        patient = {"patience_s": PATIENT_S, "hangup_after_s": 1.0}
        inbound = await carrier.ring_answered(**patient)
        outbound = (await carrier.dial("+12025550186"))["call_control_id"]
        await carrier.event("call.hangup", inbound)
        await carrier.event("call.hangup", outbound)
        legs = {leg["call_control_id"]: leg for leg in (await carrier.settled())["legs"]}
        assert legs[inbound]["state"] == legs[outbound]["state"] == "ended"
        assert legs[inbound]["hangup_source"] == "caller"
        assert legs[inbound]["answered_at"] < legs[inbound]["ended_at"]
        assert legs[outbound]["hangup_cause"] == "user_busy"
        assert legs[outbound]["answered_at"] is None
        assert (legs[outbound]["from"], legs[outbound]["connection_id"]) == (OURS, CONNECTION)
