"""A command is performed once for each command_id, for 60 s."""

from datetime import timedelta

from tests.simulator.stand import CONNECTION, FRIEND, OURS, code_of, stand

DIAL = {"to": FRIEND, "from": OURS, "connection_id": CONNECTION}


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
        carrier.clock.ahead += timedelta(seconds=30)
        await carrier.dial(FRIEND, command_id="one")
        assert carrier.report()["doubled"] == []
        carrier.clock.ahead += timedelta(seconds=31)
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


async def test_an_empty_command_id_counts_as_none() -> None:
    async with stand() as carrier:
        legs = [await carrier.dial(FRIEND, command_id="") for _ in range(2)]
        assert legs[0] != legs[1]
