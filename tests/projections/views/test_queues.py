"""Visits to queues: rows of a fold, and what is listed of them."""

from datetime import timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.events import CallDequeued, CallDtmfReceived, CallEnqueued, CallEvent
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.rebuild.run import cut_over_version
from offhook.projections.views.fold import folded_from
from offhook.projections.views.queues import (
    QueueVisitFilter,
    QueueVisitView,
    list_queue_visits,
    queue_visit_rows,
)
from tests.projections.rebuild.versions import built
from tests.projections.story import (
    NOON,
    caught_up,
    cold_views,
    projecting,
    publish,
    stored_views,
    webhook,
)
from tests.projections.views.stored_entries import records


def entered(name: str, second: int, queue: str = "support") -> CallEvent:
    return CallEnqueued(event_id=f"{name}-in-{second}", queue=queue, **_leg(name, second))


def left(name: str, second: int, queue: str = "support", **more: Any) -> CallEvent:
    return CallDequeued(event_id=f"{name}-out-{second}", queue=queue, **_leg(name, second), **more)


def _leg(name: str, second: int) -> dict[str, Any]:
    at = NOON + timedelta(seconds=second)
    return {"call_control_id": f"v3:{name}", "call_session_id": name, "occurred_at": at}


def test_each_visit_of_a_leg_has_a_row() -> None:
    events = [entered("s", 1), left("s", 8, reason="leave", wait_time_secs=7), entered("s", 20)]
    found = queue_visit_rows(folded_from("s", records([webhook("s", each) for each in events])))
    assert found == [
        QueueVisitView(
            session_id="s",
            call_control_id="v3:s",
            number=1,
            queue="support",
            enqueued_at=NOON + timedelta(seconds=1),
            dequeued_at=NOON + timedelta(seconds=8),
            wait_s=7.0,
            reason="leave",
            first_seq=1,
            first_stored_at=NOON + timedelta(seconds=1),
            last_seq=3,
        ),
        QueueVisitView(
            session_id="s",
            call_control_id="v3:s",
            number=2,
            queue="support",
            enqueued_at=NOON + timedelta(seconds=20),
            dequeued_at=None,
            wait_s=None,
            reason=None,
            first_seq=3,
            first_stored_at=NOON + timedelta(seconds=3),
            last_seq=3,
        ),
    ]


def test_what_postgres_cannot_store_is_replaced_in_a_queues_name() -> None:
    [row] = queue_visit_rows(folded_from("s", records([webhook("s", entered("s", 1, "a\0b"))])))
    assert row.queue == "a\ufffdb"


async def test_an_event_that_comes_late_puts_the_visits_right(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    """The first visit becomes the second one: both rows are written again."""
    late, early = entered("s", 20), entered("s", 1)
    batches = [[late], [left("s", 30)], [left("s", 9), early], [left("s", 9), late]]
    async with projecting(Projector(client, engine)):
        for events in batches:
            await publish(log, [webhook("s", event) for event in events])
            await caught_up(client, engine)
    views = await stored_views(engine)
    assert views == await cold_views(log, ["s"])
    told = [(row["number"], row["first_seq"], row["wait_s"]) for row in views["queue_visits"]]
    assert told == [(1, 3, 8.0), (2, 1, 10.0)]


async def test_visits_from_before_the_view_come_with_a_rebuild_or_their_next_event(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    for name in ("a", "b"):
        await publish(log, [webhook(name, entered(name, 1)), webhook(name, left(name, 5))])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.begin() as connection:
        await connection.execute(text("truncate queue_visits"))
    key = CallDtmfReceived(event_id="key", digit="1", **_leg("a", 9))
    await publish(log, [webhook("a", key)])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    assert [row["session_id"] for row in (await stored_views(engine))["queue_visits"]] == ["a"]
    found = await built(engine)
    assert [(each.table, each.added) for each in found.compared if not each.identical] == [
        ("queue_visits", 1)
    ]
    await cut_over_version(engine)
    assert await stored_views(engine) == await cold_views(log, ["a", "b"])


@pytest.fixture
async def three_visits(client: Client, log: JetStreamLog, engine: AsyncEngine) -> None:
    """Of two sessions to two queues; of the last one only the end is known."""
    events = [
        ("a", entered("a", 1)),
        ("b", entered("b", 2, "sales")),
        ("a", left("a", 9)),
        ("b", left("b", 12, "billing", wait_time_secs=3)),
    ]
    await publish(log, [webhook(name, event) for name, event in events])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (QueueVisitFilter(), [4, 2, 1]),
        (QueueVisitFilter(queue="support"), [1]),
        (QueueVisitFilter(queue="nobody"), []),
        (QueueVisitFilter(session_id="b"), [4, 2]),
        (QueueVisitFilter(session_id="b", queue="sales"), [2]),
        (QueueVisitFilter(session_id="\0"), []),
        (QueueVisitFilter(enqueued_from=NOON + timedelta(seconds=2)), [2]),
        (QueueVisitFilter(enqueued_before=NOON + timedelta(seconds=2)), [1]),
    ],
)
async def test_visits_by_what_they_have_in_common(
    three_visits: None, engine: AsyncEngine, wanted: QueueVisitFilter, found: list[int]
) -> None:
    async with engine.connect() as connection:
        listed = await list_queue_visits(connection, wanted, limit=250)
    assert [visit.first_seq for visit in listed] == found


async def test_visits_page_by_page(three_visits: None, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        first = await list_queue_visits(connection, QueueVisitFilter(), limit=2)
        rest = await list_queue_visits(
            connection, QueueVisitFilter(), limit=2, before_seq=first[-1].first_seq
        )
    assert [visit.queue for visit in (*first, *rest)] == ["billing", "sales", "support"]
