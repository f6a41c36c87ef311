"""Any event on request: each type goes over the wire and reads back, and wrong ones are refused."""

import json
import time
from typing import Any

import httpx
import pytest

from offhook.carrier_events import BY_TYPE, OF_A_CONFERENCE_ALONE, ConferenceFloorChanged
from offhook.codec.webhooks import read_webhook, wire_body
from offhook.telnyx.signature import public_keys_from, verify
from tests.example_events import example_event
from tests.simulator.stand import CALLER, CONNECTION, OURS, Stand, stand

ACTED_OUT = {
    "call.initiated": "POST /simulator/calls",
    "call.answered": "an answer",
    "call.bridged": "a bridge",
    "call.hangup": "a hangup",
}
ON_REQUEST = sorted(BY_TYPE.keys() - ACTED_OUT.keys())
OF_NO_LEG = {kind.event_type for kind in OF_A_CONFERENCE_ALONE}
STATE = "aGVsbG8="


async def tell(carrier: Stand, leg: str, event_type: object, **payload: Any) -> httpx.Response:
    body = {"event_type": event_type, "payload": payload}
    return await carrier.http.post(f"/simulator/calls/{leg}/events", json=body)


async def test_every_event_on_request_has_the_ids_of_its_leg() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        state = {"client_state": STATE}
        path = f"/v2/calls/{leg}/actions/client_state_update"
        assert (await carrier.http.put(path, json=state)).status_code == 200
        before = (await carrier.settled())["legs"]
        for event_type in ON_REQUEST:
            response = await tell(carrier, leg, event_type)
            assert response.status_code == 204, (event_type, response.text)
        assert (await carrier.settled())["legs"] == before
        (ring,) = carrier.receiver.of("call.initiated", leg)
        for event_type in ON_REQUEST:
            (received,) = carrier.receiver.of(event_type)
            event = read_webhook(received.text.encode()).event
            assert type(event) is BY_TYPE[event_type]
            assert event.occurred_at is not None
            assert event.connection_id == CONNECTION
            assert event.client_state == (None if event_type in OF_NO_LEG else STATE)
            ids = ["call_control_id", "call_leg_id", "call_session_id"]
            given = [None] * 3 if event_type in OF_NO_LEG else [ring.payload[one] for one in ids]
            assert [getattr(event, one) for one in ids] == given
            assert getattr(event, "from_", CALLER) == CALLER
            assert getattr(event, "to", OURS) == OURS


async def test_every_field_of_every_event_can_be_given() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        for event_type in ON_REQUEST:
            example = json.loads(wire_body(example_event(event_type)))["data"]["payload"]
            response = await tell(carrier, leg, event_type, **example)
            assert response.status_code == 204, (event_type, response.text)
        await carrier.settled()
        for event_type in ON_REQUEST:
            (received,) = carrier.receiver.of(event_type)
            read = read_webhook(received.text.encode()).event
            wanted = example_event(
                event_type,
                event_id=read.event_id,
                occurred_at=read.occurred_at,
                payload=read.payload,
            )
            assert read == wanted


async def test_a_change_of_the_floor_is_flat_signed_and_of_the_legs_conference() -> None:
    async with stand() as carrier:
        leg = await carrier.ring_answered()
        body = {"call_control_id": leg, "name": "daily"}
        created = (await carrier.http.post("/v2/conferences", json=body)).json()["data"]
        assert (await tell(carrier, leg, "conference.floor.changed")).status_code == 204
        assert (await tell(carrier, leg, "conference.speak.started")).status_code == 204
        await carrier.settled()
        (floor,) = carrier.receiver.of("conference.floor.changed")
        (spoken,) = carrier.receiver.of("conference.speak.started")
        (joined,) = carrier.receiver.of("conference.created")
        assert sorted(floor.envelope) == ["event_type", "id", "payload", "record_type"]
        read = read_webhook(floor.text.encode())
        assert (read.form, read.session_id) == ("flat", joined.payload["call_session_id"])
        assert isinstance(read.event, ConferenceFloorChanged)
        assert read.event.conference_id == created["id"]
        keys = public_keys_from([carrier.public_key])
        assert verify(floor.text.encode(), floor.headers, keys, time.time())
        assert spoken.payload == {
            "connection_id": CONNECTION,
            "conference_id": created["id"],
            "creator_call_session_id": joined.payload["call_session_id"],
        }


async def test_an_event_after_the_hangup_is_retried_and_reported() -> None:
    async with stand() as carrier:
        leg = await carrier.ring_answered()
        await carrier.act(leg, "hangup")
        await carrier.event("call.hangup", leg)
        carrier.receiver.answer = lambda one: 200 if one.envelope["meta"]["attempt"] > 1 else 500
        other = {"call_control_id": "v3:other", "connection_id": "7", "call_session_id": None}
        assert (await tell(carrier, leg, "call.analyzed", **other)).status_code == 204
        report = await carrier.settled()
        (told,) = (one for one in report["events"] if one["event_type"] == "call.analyzed")
        assert (told["call_control_id"], told["attempts"], told["delivered"]) == (leg, 2, True)
        assert other.items() <= carrier.receiver.of("call.analyzed")[-1].payload.items()
        tries = (await carrier.http.get("/v2/webhook_deliveries")).json()["data"]
        assert "call.analyzed" in [one["webhook"]["event_type"] for one in tries]


@pytest.mark.parametrize(
    ("body", "code", "pointer", "words"),
    [
        ({"event_type": "call.held"}, "10032", "/event_type", "'call.held'"),
        ({"event_type": "call.hold", "payload": {"frm": None}}, "10015", "/payload/frm", "'frm'"),
        ({"event_type": "call.hold", "payload": {"id": 7}}, "10015", "/payload/id", "given as 7"),
        (
            {"event_type": "call.hold", "payload": {"occurred_at": "now"}},
            "10015",
            "/payload/occurred_at",
            "'now'",
        ),
        (
            {"event_type": "call.hold", "payload": {"from": 7}},
            "10026",
            "/payload/from",
            "from of call.hold is 7: Expected `str | null`, got `int`",
        ),
        (
            {
                "event_type": "conference.recording.saved",
                "payload": {"recording_ended_at": "yesterday"},
            },
            "10026",
            "/payload/recording_ended_at",
            "'yesterday'",
        ),
    ],
)
async def test_an_unknown_event_or_field_is_refused_by_name_and_value(
    body: dict[str, Any], code: str, pointer: str, words: str
) -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        response = await carrier.http.post(f"/simulator/calls/{leg}/events", json=body)
        (error,) = response.json()["errors"]
        assert (response.status_code, error["code"]) == (422, code)
        assert error["source"] == {"pointer": pointer}
        assert words in error["detail"]
        await carrier.settled()
        assert carrier.receiver.types() == ["call.initiated"]


async def test_an_event_that_the_simulator_causes_is_refused_with_its_cause() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        for event_type, how in ACTED_OUT.items():
            response = await tell(carrier, leg, event_type)
            (error,) = response.json()["errors"]
            assert (response.status_code, error["code"]) == (422, "10027")
            assert error["detail"].startswith(event_type)
            assert how in error["detail"]


async def test_an_event_needs_a_known_leg_and_a_valid_body() -> None:
    async with stand() as carrier:
        leg = await carrier.ring()
        response = await tell(carrier, "v3:nobody", "call.hold")
        assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "90015")
        bodies: list[Any] = [{}, {"event_type": 7}, {"event_type": "call.hold", "more": 1}, []]
        for body in bodies:
            response = await carrier.http.post(f"/simulator/calls/{leg}/events", json=body)
            assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "10027")
        for content in (b"{", b'{"event_type": "call.hold", "payload": {"from": ' + b"[" * 5000):
            response = await carrier.http.post(f"/simulator/calls/{leg}/events", content=content)
            assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "10023")
