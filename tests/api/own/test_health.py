"""How Offhook is, over HTTP: roles that answer for themselves, lag, commands, parked sessions."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from offhook.codec.facts import encode
from offhook.events import SessionParked, SessionResumed
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.projections.views.database.engine import open_database
from tests.api.stack import COMMANDER, PARTITIONS, READER, WORKERS, Stack, until


async def get(stack: Stack, path: str, **query: Any) -> Any:
    async with stack.http(READER) as http:
        response = await http.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


@asynccontextmanager
async def log_of(stack: Stack) -> Any:
    client = await connect(stack.settings.nats_url, "test")
    yield JetStreamLog(client)
    await close(client)


async def park(stack: Stack) -> str:
    """A call that its flow has parked, as a worker records it; once the views have it."""
    session_id = (await stack.ring())["call_session_id"]
    session = (await stack.settled(session_id))["data"]["session"]
    fact = SessionParked(
        cause_seq=session["first_seq"],
        error="flow desk 1: ValueError: no [x]",
        attempts=5,
        traceback='  File "flow.py", line 3, in decide\nValueError: no [x]\n',
    )
    async with log_of(stack) as log:
        await log.append(session_id, "out", encode(fact, session_id))
    await until(lambda: parked(stack, session_id), f"{session_id} to be parked")
    return session_id


async def parked(stack: Stack, session_id: str) -> Any:
    found = (await get(stack, "/parked", limit=250))["data"]
    return next((each for each in found if each["session_id"] == session_id), None)


async def test_every_role_answers_for_itself(stack: Stack) -> None:
    await stack.session((await stack.ring())["call_session_id"])

    async def answered() -> Any:
        found = (await get(stack, "/health/roles"))["data"]
        names = [each["role"] for each in found]
        expected = ["api", "ingress", "projector", *["worker"] * WORKERS]
        return names == expected and all(each["ready"] for each in found) and found

    found = await until(answered, "every role to answer")
    assert len({each["instance"] for each in found}) == len(found)
    assert all(each["version"] and each["started_at"] and not each["because"] for each in found)
    ingress = next(each for each in found if each["role"] == "ingress")
    stored = [
        each["value"] for each in ingress["figures"] if each["labels"] == {"result": "stored"}
    ]
    assert stored[0] >= 1


async def test_the_lag_of_every_partition(stack: Stack) -> None:
    async def caught_up() -> Any:
        reply = await get(stack, "/health/views")
        lags = [each["lag_records"] for each in reply["data"]["partitions"]]
        return lags == [0] * PARTITIONS and reply

    reply = await until(caught_up, "the views to have everything")
    assert [each["partition"] for each in reply["data"]["partitions"]] == list(range(PARTITIONS))
    assert all(each["projector"] for each in reply["data"]["partitions"])
    assert reply["data"]["rebuild"] is None
    positions = [each["position"] for each in reply["data"]["partitions"]]
    assert positions == reply["meta"]["checkpoints"]


async def test_what_became_of_commands(stack: Stack) -> None:
    found = (await get(stack, "/health/commands", minutes=5))["data"]
    settled = found["succeeded"] + sum(found["failed"].values())
    assert found["decided"] == settled + found["unsettled"]
    assert found["retried"] <= found["decided"]


async def test_a_session_that_its_flow_parked_is_resumed(stack: Stack) -> None:
    session_id = await park(stack)
    found = await parked(stack, session_id)
    assert (found["by"], found["error"]) == ("flow", "flow desk 1: ValueError: no [x]")
    assert "line 3, in decide" in found["traceback"]
    assert (await get(stack, "/parked", limit=1))["total"] >= 1

    path = f"/parked/{session_id}/retry"
    async with stack.http(COMMANDER) as http:
        refused = await http.post(path)
        assert refused.status_code == 403
        assert "'admin'" in refused.json()["errors"][0]["detail"]
    async with stack.http() as http:
        reply = (await http.post(path)).json()["data"]
    assert (reply["flow"], reply["views"], reply["error"]) == ("decided", None, None)
    async with log_of(stack) as log:
        records = await log.read(session_id)
    [resumed] = [each for each in records if isinstance(each.fact, SessionResumed)]
    assert resumed.seq == reply["resumed_seq"]
    assert resumed.fact.resumed_by.startswith("api:admin-")

    async def gone() -> bool:
        return await parked(stack, session_id) is None

    await until(gone, "the session to be resumed")
    await _is_found_by_its_flow(stack, session_id, resumed.stored_at)
    async with stack.http() as http:
        again = await http.post(path)
    assert again.status_code == 404
    assert "is not parked" in again.json()["errors"][0]["detail"]


async def _is_found_by_its_flow(stack: Stack, session_id: str, resumed_at: datetime) -> None:
    """The search finds a session whose flow raised, though it was resumed then."""

    async def found(**query: Any) -> list[str]:
        listed = await get(stack, "/sessions", session_id=session_id, **query)
        return [each["session_id"] for each in listed["data"]]

    at, now = resumed_at.isoformat(), datetime.now(UTC).isoformat()
    before = (resumed_at - timedelta(hours=1)).isoformat()
    assert await found(flow_raised="true", failed="false") == [session_id]
    assert await found(flow_raised_from=before, flow_raised_before=at) == [session_id]
    assert await found(flow_raised_from=before, as_of=now) == [session_id]
    assert not await found(flow_raised="false")
    assert not await found(flow_raised_from=at)
    assert not await found(flow_raised="true", as_of=before)
    assert (await get(stack, "/live"))["data"]["flow_raised"] >= 1


async def test_a_session_that_the_views_parked_is_folded_again(stack: Stack) -> None:
    session_id = (await stack.ring())["call_session_id"]
    session = (await stack.settled(session_id))["data"]["session"]
    engine = open_database(stack.settings.postgres_url)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "insert into parked_sessions (session_id, since_seq, error, attempts, parked_at,"
                " tried_at) values (:session_id, :seq, 'cannot fold', 1, now(), now())"
            ),
            {"session_id": session_id, "seq": session["first_seq"]},
        )
    await engine.dispose()
    found = await parked(stack, session_id)
    assert (found["by"], found["error"], found["traceback"]) == ("views", "cannot fold", "")
    async with stack.http() as http:
        reply = (await http.post(f"/parked/{session_id}/retry")).json()["data"]
    assert (reply["flow"], reply["views"], reply["error"]) == (None, "rebuilt", None)
    assert await parked(stack, session_id) is None
