"""Whether workers and projector work: workers report, and no record or erasure waits for long."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from offhook.cli.counted import counted
from offhook.cli.doctor.finding import Finding, Findings, Now, good, unknown, wrong
from offhook.cli.doctor.roles import examine_role
from offhook.errors import LogMissing, OffhookError, SettingInvalid
from offhook.jetstream.client.connection import client_options, close, opened
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import (
    PROJECTOR,
    TIMERS,
    WORKER,
    WORKER_TIMERS,
    stream_of,
    streams_of,
)
from offhook.jetstream.subjects import ALL_FIRED, ALL_IN, LIMITS, parse
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.projections.views.parked import list_parked_ids
from offhook.projections.views.progress.checkpoint import Checkpoint, reached, read_checkpoints
from offhook.projections.views.stored.erasures import Unfinished, read_unfinished
from offhook.settings import Settings

TIMEOUT_S = 5.0

LISTEN_S = 3.0
"""Workers report to each other every second: one that is silent for this long is not running."""

DELIVERY_AGE_MAX_S = 10.0
"""A delivery is settled in milliseconds, or held while a command is retried."""

VIEWS_AGE_MAX_S = 10.0

ERASURE_AGE_MAX = timedelta(hours=1)
"""An erasure takes minutes, and as long as the tables are large with a full vacuum."""

PARKED_NAMED_MAX = 3

_ONCE = {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.1}


async def examine_workers(settings: Settings, urls: Sequence[str], now: Now) -> Findings:
    """Each worker whose address is known, whether any reports, and what waits for them."""
    for number, url in enumerate(urls, start=1):
        check = f"worker {number}" if len(urls) > 1 else "worker"
        yield (await examine_role("workers", check, url, "worker"))[0]
    async with _Log(settings) as log:
        if log is None:
            yield unknown("workers", "heard", "not checked: no connection to NATS")
            return
        if worker := await _heard(log):
            yield good("workers", "heard", f"{worker} reports")
        else:
            found = f"no worker reported within {LISTEN_S:g} s: no call is answered"
            fix = "start `offhook worker`; one that runs but does not report hangs: restart it"
            yield wrong("workers", "heard", found, fix)
        try:
            streams = streams_of(await partitions_of(log))
        except OffhookError:
            return  # reported by the checks of the log
        yield await _waiting(log, "wake-ups", streams, WORKER, ALL_IN, now)
        yield await _waiting(log, "alarms", (TIMERS,), WORKER_TIMERS, ALL_FIRED, now)


async def examine_projector(settings: Settings, url: str, now: Now) -> Findings:
    """The projector if its address is known, how far the views are behind, what is parked, and
    erasures that were not finished."""
    if url:
        yield (await examine_role("views", "projector", url, "projector"))[0]
    try:
        engine = open_database(settings.postgres_url, "offhook-doctor")
    except SettingInvalid:
        return  # reported by the check of Postgres
    try:
        async with engine.connect() as connection:
            checkpoints = await read_checkpoints(connection, PROJECTOR)
            parked = await list_parked_ids(connection)
            unfinished = await read_unfinished(connection)
    except DATABASE_ERRORS:
        return  # reported by the checks of Postgres and its revision
    finally:
        await engine.dispose()
    if parked:
        named = ", ".join(parked[:PARKED_NAMED_MAX])
        more = f" and {len(parked) - PARKED_NAMED_MAX:,} more" if parked[PARKED_NAMED_MAX:] else ""
        fix = (
            "offhook parked list has the errors; correct the flow, then offhook parked retry --all"
        )
        yield wrong("views", "parked", f"{len(parked):,}: {named}{more}", fix)
    else:
        yield good("views", "parked", "no session")
    yield _unfinished(unfinished, now)
    async with _Log(settings) as log:
        if log is not None:
            yield await _behind(log, checkpoints, now)


def _unfinished(found: Unfinished, now: Now) -> Finding:
    """Erasures that were interrupted, or that are to erase what arrived late."""
    if found.since is None:
        return good("views", "erasures", "none to finish")
    since = f"{found.count:,} to finish, the first since {found.since:%Y-%m-%d %H:%M:%S} UTC"
    if now() - found.since <= ERASURE_AGE_MAX:
        return good("views", "erasures", since)
    fix = "offhook erase --resume finishes them; offhook archive does so too"
    return wrong("views", "erasures", since, fix)


class _Log:
    """A connection to NATS, or None; the checks of the log report why."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.nats_url
        self._client: Client | None = None

    async def __aenter__(self) -> Client | None:
        async def on_error(error: Exception) -> None:
            pass

        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._client = await opened(
                    client_options(self._url, "doctor") | _ONCE | {"error_cb": on_error}
                )
        except (OSError, NatsError, TimeoutError, ValueError):
            return None
        return self._client

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await close(self._client)


async def _heard(client: Client) -> str:
    """The name of a worker that reports within LISTEN_S and is not leaving; else empty."""
    reports = await client.subscribe(LIMITS)
    try:
        async with asyncio.timeout(LISTEN_S):
            async for message in reports.messages:
                if worker := _worker_in(message.data):
                    return worker
    except TimeoutError:
        pass
    finally:
        await reports.unsubscribe()  # a drain would wait up to 5 s
    return ""


def _worker_in(report: bytes) -> str:
    try:
        found = json.loads(report)
    except ValueError:
        return ""
    is_working = isinstance(found, dict) and not found.get("is_leaving")
    return str(found.get("worker") or "") if is_working else ""


async def _waiting(
    client: Client, check: str, streams: Sequence[str], consumer: str, subject: str, now: Now
) -> Finding:
    """The oldest unacknowledged message of the workers' consumer on each of the streams."""
    asked = (_waiting_in(client, stream, consumer, subject, now) for stream in streams)
    try:
        all_waiting = [each for each in await asyncio.gather(*asked) if each is not None]
    except (NatsError, TimeoutError) as error:
        return unknown("workers", check, f"JetStream does not answer: {error!r}")
    if not all_waiting:
        return good("workers", check, "none waiting")
    oldest = max(all_waiting, key=lambda each: each.age_s)
    age_s, where = oldest.age_s, f"in {oldest.stream}, " if len(streams) > 1 else ""
    of = f" ({where}session {oldest.session_id})" if oldest.session_id else ""
    count = sum(each.count for each in all_waiting)
    found = f"{count:,} waiting, the oldest for {age_s:.0f} s{of}"
    if redelivered := sum(each.redelivered for each in all_waiting):
        found += f"; {redelivered:,} redelivered"
    if age_s <= DELIVERY_AGE_MAX_S:
        return good("workers", check, found)
    fix = "see the workers' logs; restart one that hangs, or start more if all are busy"
    return wrong("workers", check, found, fix)


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """What a consumer has not acknowledged."""

    stream: str
    count: int
    redelivered: int
    age_s: float  # of the oldest
    session_id: str  # the same; empty for an alarm


async def _waiting_in(
    client: Client, stream: str, consumer: str, subject: str, now: Now
) -> _Waiting | None:
    """None if nothing waits. Raises NatsError or TimeoutError."""
    js = client.jetstream(timeout=TIMEOUT_S)
    try:
        info = await js.consumer_info(stream, consumer)
        assert info.ack_floor is not None
        count = (info.num_pending or 0) + (info.num_ack_pending or 0)
        if not count:
            return None
        oldest = await js.get_msg(
            stream, seq=info.ack_floor.stream_seq + 1, subject=subject, next=True
        )
    except NotFoundError:
        return None  # acknowledged in the meantime, or missing
    place = parse(oldest.subject or "")
    return _Waiting(
        stream=stream,
        count=count,
        redelivered=info.num_redelivered or 0,
        age_s=_age_s(oldest, now),
        session_id=place.session_id if place is not None else "",
    )


async def _behind(client: Client, checkpoints: Mapping[int, Checkpoint], now: Now) -> Finding:
    """How far the views are behind the log, in all partitions together."""
    lookup = StreamLookup(client)
    try:
        ends = await lookup.last_positions()
        behind: dict[str, int] = {}
        ages_s = [0.0]
        for partition, end in enumerate(ends):
            position = reached(checkpoints, partition)
            since = await lookup.stored_after(position) if position < end else None
            if since is not None:
                behind[stream_of(partition, len(ends))] = end - position
                ages_s.append((now() - since).total_seconds())
    except LogMissing:
        return unknown("views", "behind the log", "not checked: there is no log")
    except OffhookError as error:
        return unknown("views", "behind the log", str(error))
    if not behind:
        where = f"at seq {ends[0]:,}" if len(ends) == 1 else f"in {len(ends)} partitions"
        return good("views", "behind the log", f"not at all, {where}")
    where = f" of {', '.join(behind)}" if len(ends) > 1 else ""
    age_s = max(ages_s)
    found = f"by {counted(sum(behind.values()), 'record')}{where}, the oldest for {age_s:.0f} s"
    if age_s <= VIEWS_AGE_MAX_S:
        return good("views", "behind the log", found)
    fix = "start `offhook projector`; if it is running, see its log and restart it"
    return wrong("views", "behind the log", found, fix)


def _age_s(message: RawStreamMsg, now: Now) -> float:
    """By the log's time stamp and this machine's clock, which another check compares."""
    stored_at = message.time
    if stored_at is None:
        return 0.0
    return max(0.0, (now() - stored_at.astimezone(UTC)).total_seconds())
