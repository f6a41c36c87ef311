"""What failed in the sessions that a search finds, by cause."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.events import CallHangup, CommandFailed, SessionParked
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.views.search.failures import Failures, count_failures
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from tests.projections.story import (
    NOON,
    Entry,
    call,
    caught_up,
    events_of,
    fact,
    projecting,
    publish,
    webhook,
)

AT = NOON + timedelta(hours=1)


def not_up(session_id: str, cause: str, sip: str, **of_leg: Any) -> list[Entry]:
    """A call that ended before an answer."""
    initiated = replace(events_of(session_id)[0], **of_leg)
    leg = {
        name: getattr(initiated, name)
        for name in ("call_control_id", "call_leg_id", "call_session_id", "connection_id")
    }
    end = CallHangup(
        event_id=f"{initiated.event_id}-end",
        occurred_at=(initiated.occurred_at or NOON) + timedelta(seconds=2),
        hangup_cause=cause,
        sip_hangup_cause=sip,
        **leg,
    )
    return [webhook(session_id, initiated), webhook(session_id, end)]


def later(name: str) -> dict[str, Any]:
    """Another leg, which starts two minutes after the first ones."""
    at = NOON + timedelta(minutes=2)
    ids = {"event_id": name, "call_control_id": f"v3:{name}", "call_leg_id": name}
    return {**ids, "occurred_at": at, "start_time": at}


def failed(session_id: str, number: int, **fields: Any) -> Entry:
    values: dict[str, Any] = {"operation": "transfer", "reason": "refused", "http_status": 422}
    return fact(session_id, CommandFailed(command_id=f"c{number}", **values | fields))


async def test_each_cause_has_as_many_sessions_as_its_search_finds(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    parked = SessionParked(cause_seq=1, error="ValueError: x", attempts=5)
    for entries in (
        [*not_up("a", "not_found", "404"), *not_up("a", "not_found", "404", **later("a2"))],
        not_up("b", "not_found", "404"),
        not_up("c", "call_rejected", "403"),
        not_up("b2", "not_found", "404", **later("b2")),
        not_up("busy", "user_busy", "486"),
        [*call("d")[:4], fact("d", parked)],
        [*call("e"), failed("e", 1), failed("e", 2), failed("e", 3, reason="deadline")],
        [failed("f", 4, operation="dial")],
    ):
        await publish(log, entries)
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)

    async with engine.connect() as connection:

        async def counted(**wanted: Any) -> Failures:
            found = await count_failures(connection, SessionFilter(**wanted), AT)
            listed = await list_sessions(connection, SessionFilter(**wanted), limit=50, now=AT)
            assert (found.sessions, found.has_more) == (len(listed), False)
            return found

        found = await counted(failed=True)
        legs = [(each.hangup_cause, each.sip_hangup_cause, each.sessions) for each in found.legs]
        assert legs == [("not_found", "404", 3), ("call_rejected", "403", 1)]
        assert (found.sessions, found.flow_raised) == (5, 1)
        for cause, sip, sessions in legs:
            leg = {"leg_hangup_cause": cause, "leg_sip_hangup_cause": sip}
            assert (await counted(failed=True, **leg)).sessions == sessions
        # As of a time after the start of the first session, and before that of its other leg.
        since = {"failed": True, "started_from": NOON + timedelta(minutes=1)}
        [ending] = (await counted(**since)).legs
        assert (ending.hangup_cause, ending.sessions) == ("not_found", 1)
        assert (await counted(**since, leg_hangup_cause="not_found")).sessions == 1
        of_any = await counted(**since, hangup_cause="not_found", any_leg=True)
        assert of_any.sessions == 2
        found = await counted(failed_command="*")
        operations = {each.operation: each.sessions for each in found.operations}
        reasons = {each.reason: each.sessions for each in found.reasons}
        for word, sessions in (operations | reasons).items():
            assert (await counted(failed_command=word)).sessions == sessions
        assert (operations["dial"], reasons["deadline"]) == (1, 1)
