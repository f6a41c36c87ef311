"""The log: whether NATS is there and safe, and its streams and consumers are as provisioned."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import httpx
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import NotFoundError

from offhook.cli.counted import counted
from offhook.cli.doctor.finding import Finding, Findings, Now, clock, good, wrong
from offhook.errors import LogUnavailable, LogUnsafe, OffhookError, shown_url, words_of
from offhook.jetstream.client.connection import client_options, close, opened
from offhook.jetstream.health.condition import account_limits, condition_of, stream_limits
from offhook.jetstream.health.log_health import LATE_S
from offhook.jetstream.provisioning.drift import ConfigDifference, differences
from offhook.jetstream.provisioning.provision import existing_partitions, is_compressed
from offhook.jetstream.provisioning.servers import (
    Refusal,
    ServerReport,
    ask_servers,
    loses_writes,
    payload_too_small,
    too_old,
)
from offhook.jetstream.stream import (
    RECORD_BYTES_MAX,
    SNAPSHOTS,
    STREAM,
    TIMERS,
    snapshots_config,
    streams_of,
    wanted_streams,
)
from offhook.settings import Settings

TIMEOUT_S = 5.0
MONITOR_TIMEOUT_S = 1.0
"""For questions whose answer is only added to other findings."""

SKEW_MAX_S = 1.0
"""Workers use the log's time stamps to see whether a lease of a few seconds has expired."""


async def examine_servers(settings: Settings, now: Now) -> Findings:
    """What each server's monitoring shows: whether it can hold the log, its space, its clock."""
    if not settings.nats_monitor_urls:
        fix = "set OFFHOOK_NATS_MONITOR_URLS to the monitoring address of every server"
        yield wrong("log", "flushes every write", "OFFHOOK_NATS_MONITOR_URLS is empty", fix)
        return
    for server in await ask_servers(settings.nats_monitor_urls, TIMEOUT_S):
        if server.silent:
            fix = "see OFFHOOK_NATS_MONITOR_URLS; monitoring is `http: …` in the server's file"
            yield wrong("log", "flushes every write", server.silent, fix)
            continue
        for finding in _server(server):
            yield finding
        if skew := await _clock(server.url, now):
            yield skew


def _server(server: ServerReport) -> Iterator[Finding]:
    where = shown_url(server.url)
    payload = f"{where}: {counted(server.max_payload, 'byte')}"
    room = f"{where}: {server.stored_bytes:,} of {server.stored_bytes_max:,} bytes used"
    yield _unless("version", too_old(server), f"{where}: {server.version}")
    yield _unless("max_payload", payload_too_small(server, RECORD_BYTES_MAX), payload)
    yield _unless("flushes every write", loses_writes(server), f"{where}: sync_always")
    yield _unless("room", server.cannot_write, room)


def _unless(check: str, refusal: Refusal | None, otherwise: str) -> Finding:
    if refusal is not None:
        return wrong("log", check, refusal.found, refusal.fix)
    return good("log", check, otherwise)


async def examine_log(settings: Settings) -> Findings:
    """The connection, then each stream and consumer, compared with what provisioning creates."""
    where = shown_url(settings.nats_url)
    errors: list[Exception] = []

    async def on_error(error: Exception) -> None:
        errors.append(error)

    # A role waits for the server; here each address is tried once, and its error is kept.
    once = {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.1, "error_cb": on_error}
    try:
        async with asyncio.timeout(TIMEOUT_S):
            client = await opened(client_options(settings.nats_url, "doctor") | once)
    except (OSError, NatsError, TimeoutError, ValueError) as error:
        refusals = [each for each in errors if not isinstance(each, OSError)]
        why = words_of(next(iter(refusals or errors), error))
        found = f"no connection to {where}: {why}"
        fix = "start it, or see OFFHOOK_NATS_URL: its address, user and password"
        yield wrong("log", "NATS", found, fix)
        return
    try:
        server = client.connected_server_version
        found = f"{where}, version {server.major}.{server.minor}.{server.patch}"
        yield good("log", "NATS", found)
        try:
            partitions = await existing_partitions(client)
        except LogUnavailable as error:
            yield wrong("log", "partitions", str(error), _API)
            return
        except OffhookError as error:
            yield wrong("log", "partitions", str(error), "do what it says")
            return
        if partitions is None:
            yield wrong("log", "streams", "they do not exist", _PROVISION)
            return
        async for finding in _streams(client, settings, partitions):
            yield finding
        async for finding in _writes(client, settings, partitions):
            yield finding
    finally:
        await close(client)


async def _streams(client: Client, settings: Settings, partitions: int) -> Findings:
    """Each stream and consumer, compared with what provisioning creates."""
    if settings.partitions not in (0, partitions):
        found = f"the log has {partitions}, OFFHOOK_PARTITIONS is {settings.partitions}"
        fix = f"set OFFHOOK_PARTITIONS to {partitions}, or unset it"
        yield wrong("log", "partitions", found, fix)
    for stream, consumers in wanted_streams(settings.stream_replicas, partitions):
        yield (finding := await _stream(client, stream))
        if finding.state == "wrong" and finding.found == _MISSING:
            continue
        for consumer in consumers:
            yield await _consumer(client, stream, consumer)
    yield await _snapshots(client, settings)


async def _snapshots(client: Client, settings: Settings) -> Finding:
    """Calls do without it: a worker that takes a long one over needs seconds for it then."""
    finding = await _stream(client, snapshots_config(settings.stream_replicas))
    if finding.state != "wrong":
        return finding
    if finding.found == _MISSING:
        return replace(finding, found=f"{_MISSING}: long sessions are read from their beginning")
    if finding.fix != _PROVISION:
        fix = f"nats stream rm {SNAPSHOTS}, then {_PROVISION}: nothing is lost"
        return replace(finding, fix=fix)
    return finding


async def _writes(client: Client, settings: Settings, partitions: int) -> Findings:
    """Whether records are taken, which replicas are out, and how much of each limit is used."""
    js = client.jetstream(timeout=TIMEOUT_S)
    names = (*streams_of(partitions), TIMERS)
    try:
        servers = await ask_servers(settings.nats_monitor_urls, MONITOR_TIMEOUT_S)
        streams = [await js.stream_info(name) for name in names]
        account = await js.account_info()
    except (NatsError, TimeoutError, LogUnsafe):
        return  # missing, silent or without an address, which was reported above
    condition = condition_of(servers, streams, account)
    if condition.behind:
        # Under load a replica is behind for a moment; only one that stays behind counts.
        await asyncio.sleep(LATE_S)
        streams = [await js.stream_info(name) for name in names]
        condition = condition_of(servers, streams, account, late=condition.behind)
    if condition.trouble:
        yield wrong(
            "log", "takes records", condition.trouble, "fix what it reports, then run this again"
        )
        return
    limits = [limit for info in streams for limit in stream_limits(info)] + account_limits(account)
    used = ", ".join(str(limit) for limit in limits)
    yield good("log", "takes records", f"yes; {used}" if used else "yes; streams have no limits")
    reported = [str(each.cannot_write or each.silent) for each in servers]
    for warning in condition.warnings:
        if any(words and words in warning for words in reported):
            continue  # reported above, for the server itself
        fix = "start it; if it runs, see its log, and restart it once its disk has room"
        yield wrong("log", "replicas", warning, fix)


async def _stream(client: Client, wanted: StreamConfig) -> Finding:
    check = f"stream {wanted.name}"
    assert wanted.name is not None
    try:
        info = await client.jetstream(timeout=TIMEOUT_S).stream_info(wanted.name)
    except NotFoundError:
        return wrong("log", check, _MISSING, _PROVISION)
    except (NatsError, TimeoutError) as error:
        return _silent(check, error)
    if is_compressed(info.config):
        found = "it is compressed, which breaks replicas whose node is killed"
        return wrong("log", check, found, "stop every role, then " + _REWRITE)
    differing = differences(wanted, info.config)
    if not differing:
        replicas = f", {wanted.num_replicas} replicas" if wanted.num_replicas != 1 else ""
        if info.cluster is not None and info.cluster.leader and replicas:
            replicas += f", led by {info.cluster.leader}"
        return good("log", check, f"{counted(info.state.messages, 'record')}{replicas}")
    fix = _PROVISION
    if any(each.fixed for each in differing):
        fix = f"this cannot be updated: back {wanted.name} up, and restore it as a new stream"
    return wrong("log", check, _listed(differing), fix)


async def _consumer(client: Client, stream: StreamConfig, wanted: ConsumerConfig) -> Finding:
    of = "" if stream.name in (STREAM, TIMERS) else f"{stream.name} "
    check = f"consumer {of}{wanted.durable_name}"
    assert stream.name is not None
    assert wanted.durable_name is not None
    try:
        js = client.jetstream(timeout=TIMEOUT_S)
        info = await js.consumer_info(stream.name, wanted.durable_name)
    except NotFoundError:
        return wrong("log", check, _MISSING, _PROVISION)
    except (NatsError, TimeoutError) as error:
        return _silent(check, error)
    assert info.config is not None
    found = differences(wanted, info.config)
    remove = f"nats consumer rm {stream.name} {wanted.durable_name}"
    if any(each.fixed for each in found):
        # No position is lost: decisions are in the log, the projector's position is in Postgres.
        return wrong("log", check, _listed(found), f"{remove}, then {_PROVISION}: nothing is lost")
    if found:
        return wrong("log", check, _listed(found), _PROVISION)
    if info.paused:
        resume = f"nats consumer resume {stream.name} {wanted.durable_name}"
        return wrong("log", check, "it is paused: nothing is delivered", resume)
    return good("log", check, f"{info.num_pending or 0:,} waiting, {info.num_ack_pending:,} held")


def _listed(found: Sequence[ConfigDifference]) -> str:
    return "; ".join(str(each) for each in found)


def _silent(check: str, error: Exception) -> Finding:
    return wrong("log", check, f"JetStream does not answer: {words_of(error)}", _API)


async def _clock(url: str, now: Now) -> Finding | None:
    """By `now` on the server's /varz page; None if it is not there."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
        asked_at = now()
        try:
            answer = await http.get(f"{url}/varz")
            theirs = datetime.fromisoformat(answer.json()["now"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
    return clock(
        "log",
        asked_at=asked_at,
        theirs=theirs,
        answered_at=now(),
        skew_max_s=SKEW_MAX_S,
        because="workers compare leases of a few seconds by them",
    )


_API = "is JetStream enabled, and may this user use its API?"
_MISSING = "it does not exist"
_PROVISION = "offhook provision"
_REWRITE = "offhook provision --rewrite-compressed"
