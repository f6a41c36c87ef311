"""Which attempts of a command fail, by the number it concerns."""

import httpx
import pytest

from tests.simulator.stand import CONNECTION, DEADLINE_S, FRIEND, OURS, code_of, stand

DIAL = {"to": FRIEND, "from": OURS, "connection_id": CONNECTION}


async def test_a_number_that_fails_once_is_performed_by_the_second_attempt() -> None:
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


async def test_a_failure_of_one_number_is_not_the_first_attempt_of_another() -> None:
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


async def test_an_unavailable_number_never_gets_through() -> None:
    async with stand() as carrier:
        body = {**DIAL, "to": "sip:+12025550153@example.com"}
        for _ in range(3):
            assert code_of(await carrier.http.post("/v2/calls", json=body)) == (503, "10007")
        assert carrier.report()["totals"] == {}


async def test_a_limited_number_says_when_to_retry() -> None:
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


async def test_a_transfer_to_a_number_without_a_channel_is_refused() -> None:
    async with stand() as carrier:
        leg = await carrier.ring(to="+12025550101")
        assert (await carrier.act(leg, "answer")).status_code == 200
        refused = await carrier.act(leg, "transfer", to="+12025550155")
        assert code_of(refused) == (422, "90041")
        assert (await carrier.act(leg, "transfer", to=FRIEND)).status_code == 200
        assert carrier.report()["totals"] == {"answer": 1, "transfer": 1}


async def test_too_many_dials_are_reported_once() -> None:
    async with stand() as carrier:
        body = {**DIAL, "to": "+12025550156"}
        assert code_of(await carrier.http.post("/v2/calls", json=body)) == (429, "90103")
        assert (await carrier.http.post("/v2/calls", json=body)).status_code == 200
        leg = await carrier.ring(to="+12025550156")
        assert (await carrier.act(leg, "answer")).status_code == 200  # it is no dial


async def test_a_slow_number_performs_before_it_answers() -> None:
    async with stand(slow_answer_s=1.0) as carrier:
        body = {**DIAL, "to": "+12025550152", "command_id": "one"}
        impatient = httpx.Timeout(DEADLINE_S, read=0.2)
        with pytest.raises(httpx.ReadTimeout):
            await carrier.http.post("/v2/calls", json=body, timeout=impatient)
        assert (await carrier.http.post("/v2/calls", json=body)).status_code == 200
        assert carrier.report()["totals"] == {"dial": 1}
