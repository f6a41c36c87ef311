"""A simulator that is killed and started again: its calls end, its applications are still there."""

from pathlib import Path

import pytest

from offhook.commands import (
    Bridge,
    Enqueue,
    GatherUsingSpeak,
    Speak,
    StartRecording,
    StartStreaming,
)
from offhook.errors import SettingInvalid
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.journal import Journal
from tests.simulator.calls import FRIEND, Calls
from tests.simulator.stand import stand
from tests.simulator.test_applications import NEW


def test_a_leg_is_read_as_it_was_kept(tmp_path: Path) -> None:
    calls = Calls()
    busy, queued, other = (calls.up(keys=("1", "2")) for _ in range(3))
    calls.do(Speak(payload="Hello", voice="female"), busy)
    calls.do(GatherUsingSpeak(payload="Press 1.", voice="female"), busy)
    calls.do(StartRecording(channels="dual", format="mp3"), busy)
    calls.do(StartStreaming(stream_url="wss://example.com/media"), busy)
    calls.do(Enqueue(queue_name="support"), queued)
    calls.do(Bridge(call_control_id_to_bridge_with=other), busy)
    urls = {"call.hangup": ["https://a.example", "https://b.example"]}
    calls.dial(FRIEND, record="record-from-answer", webhook_urls=urls)
    journal = Journal(tmp_path / "journal.db")
    for leg in calls.legs.values():
        journal.keep("legs", leg.call_control_id, leg)
    assert Journal(tmp_path / "journal.db").read("legs", SimulatedLeg) == list(calls.legs.values())


def test_a_row_of_another_version_is_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.keep("legs", "v3:old", {"call_control_id": "v3:old"})
    assert journal.read("legs", SimulatedLeg) == []
    assert Journal(tmp_path / "journal.db").read("legs", SimulatedLeg) == []


def test_a_path_that_is_not_a_file_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="OFFHOOK_SIMULATOR_JOURNAL"):
        Journal(tmp_path)


async def test_calls_that_were_up_end_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with stand(journal=Journal(path)) as before:
        parked, answered = await before.ring(), await before.ring_answered()
        bridged, gone = await before.ring_answered(), await before.ring_answered()
        ringing = (await before.dial("+12025550188", timeout_secs=600))["call_control_id"]
        other = await before.dial_answered()
        await before.act(bridged, "bridge", call_control_id=other)
        await before.act(gone, "hangup")
        await before.event("call.hangup", gone)
        await before.settled()
    up = {parked, answered, bridged, ringing, other}
    async with stand(journal=Journal(path)) as after:
        await after.settled()
        hangups = after.receiver.of("call.hangup")
        assert sorted(one.payload["call_control_id"] for one in hangups) == sorted(up)
        assert {one.payload["hangup_cause"] for one in hangups} == {"unspecified"}
        answer = await after.act(answered, "hangup")
        assert answer.json()["errors"][0]["code"] == "90018"
    async with stand(journal=Journal(path)) as again:
        assert (await again.settled())["webhooks"]["events"] == 0


async def test_an_undelivered_hangup_is_sent_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with stand(journal=Journal(path), retry_pauses_s=(600,)) as before:
        leg = await before.ring_answered()
        before.receiver.answer = lambda _: 503
        await before.act(leg, "hangup")
        await before.event("call.hangup", leg)
        # What a kill -9 leaves: the webhook neither delivered nor given up.
        before.exchange.sender._posting.pop().cancel()
    async with stand(journal=Journal(path)) as after:
        hangup = await after.event("call.hangup", leg)
        assert hangup.payload["hangup_cause"] == "normal_clearing"
        await after.settled()
        assert Journal(path).read("legs", SimulatedLeg) == []


async def test_created_applications_are_still_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    listed = "/v2/call_control_applications"
    async with stand(journal=Journal(path)) as before:
        made = [(await before.http.post(listed, json=NEW)).json()["data"]["id"] for _ in range(2)]
        change = {**NEW, "application_name": "changed"}
        assert (await before.http.patch(f"{listed}/{made[0]}", json=change)).status_code == 200
        assert (await before.http.delete(f"{listed}/{made[1]}")).status_code == 200
    async with stand(journal=Journal(path)) as after:
        found = {one["id"]: one for one in (await after.http.get(listed)).json()["data"]}
        assert found[made[0]]["application_name"] == "changed"
        assert made[1] not in found
        assert (await after.ring(connection_id=made[0])).startswith("v3:")
