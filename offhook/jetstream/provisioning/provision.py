"""The step that makes streams and consumers (`offhook provision`), and what services check of it.

Provisioning is idempotent and apart from the services: they only bind. It refuses a server that
would lose acknowledged writes: without `sync_interval: always` JetStream acknowledges at once and
flushes every two minutes (nats-server issue 7564, jepsen.io analysis of 2.12.1).
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    StoreCompression,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import APIError, NotFoundError

from offhook.errors import (
    LogMissing,
    LogUnavailable,
    LogUnsafe,
    SettingInvalid,
    words_of,
)
from offhook.jetstream.partitions import (
    API_TIMEOUT_S,
    find_partitions,
    find_stream,
    partitions_of,
)
from offhook.jetstream.provisioning.servers import require_safe_servers
from offhook.jetstream.stream import (
    RECORD_BYTES_MAX,
    STREAM,
    TIMERS,
    WORKER,
    WORKER_TIMERS,
    snapshots_config,
    streams_of,
    wanted_streams,
)

_log = logging.getLogger(__name__)

CREATED = "offhook-created"

REWRITE = "_REWRITE"
"""Ends the name of the stream that a rewrite copies into."""


async def provision(
    client: Client,
    monitor_urls: Sequence[str],
    replicas: int = 1,
    partitions: int = 0,
    *,
    when_new: int = 1,
) -> int:
    """Make or update streams and consumers; returns the number of partitions.

    `partitions` 0: as many as there are, `when_new` for a new log. Raises SettingInvalid if there
    are not as many as asked for, LogUnsafe, or LogUnavailable.
    """
    await require_safe(monitor_urls)
    js = client.jetstream(timeout=API_TIMEOUT_S)
    count = await existing_partitions(client) or partitions or when_new
    if partitions not in (0, count):
        raise SettingInvalid(_other_number(partitions, count))
    for wanted, consumers in wanted_streams(replicas, count):
        assert wanted.name is not None
        try:
            found = await find_stream(js, wanted.name)
            if await find_stream(js, wanted.name + REWRITE) or (
                found and is_compressed(found.config)
            ):
                raise LogUnsafe(compressed(wanted.name))
            if found is None:
                await js.add_stream(wanted)
            else:
                metadata = {**own_metadata(found.config), **(wanted.metadata or {})}
                await js.update_stream(wanted.evolve(metadata=metadata))
            for config in consumers:
                await js.add_consumer(wanted.name, config)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(
                f"stream {wanted.name} cannot be provisioned: {words_of(error)}"
            ) from error
    await _provision_snapshots(js, replicas)
    return count


async def _provision_snapshots(js: JetStreamContext, replicas: int) -> None:
    """A server that does not take it, for want of memory say, can carry the log even so."""
    wanted = snapshots_config(replicas)
    assert wanted.name is not None
    try:
        if await find_stream(js, wanted.name) is None:
            await js.add_stream(wanted)
        else:
            await js.update_stream(wanted)
    except APIError as error:
        _log.warning(
            "long sessions are read from their first record: no stream for snapshots",
            extra={"stream": wanted.name, "error": words_of(error)},
        )
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(
            f"stream {wanted.name} cannot be provisioned: {words_of(error)}"
        ) from error


def _other_number(asked: int, found: int) -> str:
    return (
        f"OFFHOOK_PARTITIONS is {asked}, but the log has {found}: a session must stay in its "
        f"partition; set it to {found}, or leave it out{_MOVE if found == 1 else ''}"
    )


_MOVE = (
    "; to move the log to several partitions, stop every role and run `offhook provision "
    "--repartition`"
)


async def existing_partitions(client: Client) -> int | None:
    """How many partitions the log has, even in the middle of a rewrite; None without a log."""
    found = await find_partitions(client)
    if found is not None:
        return found
    js = client.jetstream(timeout=API_TIMEOUT_S)
    try:
        return 1 if await find_stream(js, STREAM + REWRITE) else None
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"JetStream does not answer: {words_of(error)}") from error


async def require_provisioned(
    client: Client, monitor_urls: Sequence[str], consumer: str | None = None
) -> int:
    """The number of partitions, if a service that binds `consumer` may become ready.

    Else it raises LogMissing or LogUnsafe.
    """
    await require_safe(monitor_urls)
    partitions = await partitions_of(client)
    await require_consumers(client, consumer, partitions)
    return partitions


async def require_consumers(
    client: Client, consumer: str | None, partitions: int
) -> list[StreamInfo]:
    """The streams that a service needs which binds `consumer`; see `require_consumer`.

    Workers bind one more: with those of the log goes that of the timers.
    """
    wanted = [(stream, consumer) for stream in streams_of(partitions)]
    if consumer == WORKER:
        wanted.append((TIMERS, WORKER_TIMERS))
    asking = (require_consumer(client, *each) for each in wanted)
    found: list[StreamInfo] = []
    for each in await asyncio.gather(*asking, return_exceptions=True):
        if isinstance(each, BaseException):
            raise each  # the first one in order, not in time
        found.append(each)
    return found


async def require_consumer(client: Client, stream: str, consumer: str | None) -> StreamInfo:
    """Raise LogMissing unless the stream is there, and the consumer if one is named.

    Raises LogUnsafe for a compressed stream, LogUnavailable if JetStream does not answer.
    """
    js = client.jetstream(timeout=API_TIMEOUT_S)
    try:
        info = await js.stream_info(stream)
        if is_compressed(info.config) or info.config.mirror is not None:
            raise LogUnsafe(compressed(stream))
        if consumer is not None:
            await js.consumer_info(stream, consumer)
        return info
    except NotFoundError as error:
        what = f"stream {stream}" + (f" with consumer {consumer}" if consumer else "")
        raise LogMissing(f"{what} does not exist: run `offhook provision`") from error
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"JetStream does not answer: {words_of(error)}") from error


async def require_safe(monitor_urls: Sequence[str]) -> None:
    """Raise LogUnsafe unless every server that answers may carry the log, or LogUnavailable."""
    await require_safe_servers(monitor_urls, RECORD_BYTES_MAX)


def compressed(stream: str) -> str:
    """Why a compressed stream is refused, and the way out."""
    return (
        f"stream {stream} is compressed, or was not rewritten to its end: nats-server corrupts "
        "compressed replicas when a node is killed; stop every role, then run `offhook provision "
        "--rewrite-compressed`"
    )


def is_compressed(config: StreamConfig) -> bool:
    """Whether the stream compresses what it stores."""
    return config.compression not in (None, StoreCompression.NONE)


def created_at(info: StreamInfo) -> datetime:
    """When the stream was created; if it was rewritten, when its predecessor was."""
    kept = own_metadata(info.config).get(CREATED)
    if kept is not None:
        return datetime.fromisoformat(kept)
    assert info.created is not None
    return info.created


def own_metadata(config: StreamConfig) -> dict[str, str]:
    """Without what the server adds by itself and takes from nobody."""
    found = config.metadata or {}
    return {name: value for name, value in found.items() if not name.startswith("_nats.")}
