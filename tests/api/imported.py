"""Calls that were played in no time, as history in the log of a stack: nothing acts on them."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from examples.reception import reception
from offhook.codec.facts import VERSIONS, encode
from offhook.codec.webhooks import wire_body
from offhook.events import Record, WebhookReceived
from offhook.history.importing import Importer
from offhook.history.lines import HistoryRecord
from offhook.jetstream.archived import ArchivedMarks
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.simulator.random_ids import RandomIds
from offhook.telnyx.signature import sign, signing_key_from
from tests.api.stack import Stack, until
from tests.examples.scene import Scene
from tests.simulator.calls import Calls

Headers = Callable[[bytes], Mapping[str, str]]


def received(seed: str, *keys: str) -> list[Record]:
    """A caller at the reception, who presses these keys; each seed is another call."""
    scene = Scene(flow=reception, calls=Calls(ids=RandomIds(Random(seed))))
    scene.calls.ring(hangup_after_s=60.0, patience_s=30, keys=keys)
    return scene.play().records


async def imported(
    stack: Stack, records: Sequence[Record], *, headers: Headers | None = None
) -> str:
    """The session's id, once the views have its records. Webhooks are signed with the stack's key,
    or have these headers.
    """
    key = signing_key_from(stack.settings.signing_key)
    session_id = next(
        each.fact.event.call_session_id or ""
        for each in records
        if isinstance(each.fact, WebhookReceived)
    )
    lines = []
    for record in records:
        fact = record.fact
        webhook = isinstance(fact, WebhookReceived)
        body = (
            wire_body(fact.event)
            if isinstance(fact, WebhookReceived)
            else encode(fact, session_id).body
        )
        at = record.stored_at.timestamp()
        signed = headers(body) if headers is not None else sign(body, key, at)
        lines.append(
            HistoryRecord(
                position=record.seq,
                session_id=session_id,
                side=record.side,
                type=type(fact).__name__,
                version=VERSIONS[type(fact).__name__],
                stored_at=record.stored_at,
                body=body,
                headers=signed if webhook else {},
            )
        )
    client = await connect(stack.settings.nats_url, "test")
    try:
        importer = Importer(JetStreamLog(client), has_left=ArchivedMarks(client).contains)
        await importer.take([("here", each) for each in lines])
    finally:
        await close(client)
    assert (importer.done.added, importer.done.refused) == (len(lines), {})

    async def are_there() -> bool:
        async with stack.http() as http:
            timeline = await http.get(f"/sessions/{session_id}/timeline")
        return timeline.status_code == 200 and len(timeline.json()["data"]) == len(lines)

    await until(are_there, f"the views to have session {session_id}")
    return session_id
