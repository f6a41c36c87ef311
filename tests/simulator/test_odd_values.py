"""Values that the documents allow and nobody expects: taken or refused, never a mistake of ours."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from offhook.commands import COMMANDS, Bridge, Command, Hangup
from offhook.commands.catalog import command_from
from offhook.errors import ParameterInvalid
from offhook.simulator.errors.carrier_error import CarrierError
from tests.offhook.commands.test_refused_anywhere import STRANGE, changed, full_request, paths_in
from tests.offhook.commands.test_refused_parameters import RIGHT
from tests.simulator.calls import SILENT, Calls
from tests.simulator.stand import CALLER, CONNECTION, FRIEND, OURS, stand

ODD = (*STRANGE, None, "wss://[", "http://[", "\x00", "é" * 64, -0.5, 10**9)
EACH = 25
NO_URLS = ["http://a..b/", "http://[", "http://xn--/", "x://y", "http://127.0.0.1:99999/"]
TOO_FAR = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]


def odd_requests(operation: str, other: str) -> Iterator[Command]:
    """Some that the catalog lets through."""
    dice = Random(operation)
    full, least = full_request(operation), RIGHT.get(operation, {})
    places = list(paths_in(full))
    for _ in range(EACH if places else 1):
        place, value = dice.choice(places or [()]), dice.choice(ODD)
        body: dict[str, Any] = changed(full, place, value) if place else dict(full)
        if len(place) == 1:  # most do not go together
            body = {**least, str(place[0]): value}
        for name in {"link_to", "supervise_call_control_id", "call_control_id"} & body.keys():
            body[name] = other
        try:
            yield command_from(operation, body, None if operation == "dial" else "v3:any")
        except ParameterInvalid:
            continue


@pytest.mark.parametrize("operation", COMMANDS)
def test_every_operation_accepts_or_refuses_odd_values(operation: str) -> None:
    for state in ("parked", "answered", "bridged", "dialled"):
        calls = Calls()
        other = calls.up()
        for command in odd_requests(operation, other):
            match state:
                case "parked":
                    leg = calls.ring()
                case "dialled":
                    leg = calls.dial(SILENT, timeout_secs=600)
                case _:
                    leg = calls.up(keys=("1", "12#"))
            if calls.legs[other].ended:
                other = calls.up()
            if state == "bridged":
                calls.do(Bridge(call_control_id_to_bridge_with=other), leg)
            try:
                done_to = calls.do(command, None if operation == "dial" else leg)
            except CarrierError:
                done_to = leg
            calls.wait(20)
            for each in {leg, done_to}:
                if not calls.legs[each].ended:
                    calls.do(Hangup(), each)
                calls.wait(5)
                assert calls.events(each).count("call.hangup") == 1


async def test_a_webhook_address_that_cannot_be_used_is_undelivered_not_pending() -> None:
    async with stand() as carrier:
        for url in NO_URLS:
            await carrier.dial(FRIEND, webhook_url=url)
        webhooks = (await carrier.settled())["webhooks"]
        assert webhooks["undelivered"] >= len(NO_URLS)


async def test_a_filter_may_name_any_time() -> None:
    async with stand() as carrier:
        await carrier.ring()
        for path in (
            "/v2/call_events?filter[occurred_at][gt]",
            "/v2/webhook_deliveries?filter[started_at][gte]",
        ):
            for moment in TOO_FAR:
                response = await carrier.http.get(f"{path}={moment.replace('+', '%2B')}")
                assert response.status_code in (200, 422)


async def test_controls_accept_or_refuse_any_body() -> None:
    async with stand() as carrier:
        leg = await carrier.ring_answered()
        controls: dict[str, dict[str, Any]] = {
            "/simulator/calls": {"from": CALLER, "to": OURS, "connection_id": CONNECTION},
            f"/simulator/calls/{leg}/keys": {"keys": "1"},
            f"/simulator/calls/{leg}/events": {"event_type": "call.hold", "payload": {}},
            "/v2/conferences": {"call_control_id": leg, "name": "x"},
        }
        for path, body in controls.items():
            for name in body:
                for value in ODD[::4]:
                    answer = await carrier.http.post(path, json={**body, name: value})
                    assert answer.status_code < 500
