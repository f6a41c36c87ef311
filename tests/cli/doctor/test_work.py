"""What waits for the workers and the projector."""

import asyncio
import re

from sqlalchemy import text

from offhook.cli.doctor.work import DELIVERY_AGE_MAX_S
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.prepare import provision_log
from offhook.codec.facts import encode
from offhook.events import CommandRequested, IssuedCommand
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.projections.views.database.engine import open_database
from offhook.settings import Settings
from tests.cli.doctor.checks import NOBODY_REPORTS_S, look, only_wrong, purged


async def _stored(url: str, session_id: str, age_s: float) -> None:
    """A webhook that nobody settles, once it is so old."""
    client = await connect(url, "test")
    await JetStreamLog(client).append(
        session_id, "in", encode(CommandRequested(command=_HANGUP), session_id)
    )
    await close(client)
    await asyncio.sleep(age_s)


_HANGUP = IssuedCommand(command_id="c1", operation="hangup", call_control_id="leg")


def test_a_wake_up_that_nobody_settles_and_views_that_stay_behind(good: Settings) -> None:
    asyncio.run(_stored(good.nats_url, "waits", 0))
    found = look(good, ahead_s=-DELIVERY_AGE_MAX_S)  # however long the checks before it take
    assert found["workers", "wake-ups"].state == "good", "it has only come"
    late = look(good, ahead_s=DELIVERY_AGE_MAX_S + 5)
    asyncio.run(purged(good.nats_url))
    wake_ups, behind = late["workers", "wake-ups"], late["views", "behind the log"]
    assert (wake_ups.state, behind.state) == ("wrong", "wrong")
    assert re.fullmatch(r"1 waiting, the oldest for \d+ s \(session waits\)", wake_ups.found)
    assert "restart one that hangs" in wake_ups.fix
    assert re.fullmatch(r"by (1 record|\d records), the oldest for \d+ s", behind.found)
    assert "offhook projector" in behind.fix


def test_no_worker_at_all() -> None:
    with NatsServer() as alone:
        settings = Settings(nats_url=alone.url, nats_monitor_urls=(alone.monitor_url,))
        asyncio.run(provision_log(settings))
        heard = look(settings, listen_s=NOBODY_REPORTS_S)["workers", "heard"]
    assert (heard.state, heard.found) == (
        "wrong",
        "no worker reported within 0.1 s: no call is answered",
    )


def test_parked_sessions(good: Settings) -> None:
    async def park(count: int) -> None:
        engine = open_database(good.postgres_url)
        async with engine.begin() as connection:
            await connection.execute(text("delete from parked_sessions"))
            for number in range(count):
                await connection.execute(
                    text(
                        "insert into parked_sessions"
                        " (session_id, since_seq, error, attempts, parked_at, tried_at)"
                        " values (:session_id, 1, 'e', 1, now(), now())"
                    ),
                    {"session_id": f"s{number}"},
                )
        await engine.dispose()

    asyncio.run(park(5))
    parked = only_wrong(look(good))
    asyncio.run(park(0))
    assert (parked.check, parked.found) == ("parked", "5: s0, s1, s2 and 2 more")
    assert parked.fix.startswith("offhook parked list")


def test_an_erasure_that_was_not_finished(good: Settings) -> None:
    async def erasing(statement: str) -> None:
        engine = open_database(good.postgres_url)
        async with engine.begin() as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    begun = (
        "insert into erasures (begun_at, pending, sessions, records, messages, segments)"
        " values (now() - interval '{0}', '{1}', 1, 0, 0, 0)"
    )
    asyncio.run(erasing(begun.format("3 days", "null")))  # it is proved
    asyncio.run(erasing(begun.format("1 minute", '{"session_ids": ["s"]}')))
    at_work = look(good)["views", "erasures"]
    asyncio.run(erasing(begun.format("2 days", '{"session_ids": ["s"]}')))
    left = only_wrong(look(good))
    asyncio.run(erasing("delete from erasures"))
    assert at_work.state == "good"
    assert at_work.found.startswith("1 to finish, the first since ")
    assert left.check == "erasures"
    assert left.found.startswith("2 to finish, the first since ")
    assert left.fix.startswith("offhook erase --resume")
