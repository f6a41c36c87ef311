"""The step that makes streams and consumers (`offhook provision`), and what services check of it.

Provisioning is idempotent and apart from the services: they only bind. It refuses a server that
would lose acknowledged writes: without `sync_interval: always` JetStream acknowledges at once and
flushes every two minutes (nats-server issue 7564, jepsen.io analysis of 2.12.1).
"""

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
from nats.js.errors import NotFoundError

from offhook.errors import LogMissing, LogUnavailable, LogUnsafe, words_of
from offhook.jetstream.provisioning.servers import require_safe_servers
from offhook.jetstream.stream import (
    RECORD_BYTES_MAX,
    STREAM,
    TIMERS,
    WORKER,
    WORKER_TIMERS,
    wanted_streams,
)

API_TIMEOUT_S = 5.0
CREATED = "offhook-created"

REWRITE = "_REWRITE"
"""Ends the name of the stream that a rewrite copies into."""


async def provision(client: Client, monitor_urls: Sequence[str], replicas: int = 1) -> None:
    """Make or update streams and consumers. Raises LogUnsafe, or LogUnavailable."""
    await require_safe(monitor_urls)
    js = client.jetstream(timeout=API_TIMEOUT_S)
    for wanted, consumers in wanted_streams(replicas):
        assert wanted.name is not None
        try:
            found = await _info(js, wanted.name)
            if await _info(js, wanted.name + REWRITE) or (found and is_compressed(found.config)):
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


async def require_provisioned(
    client: Client, monitor_urls: Sequence[str], consumer: str | None = None
) -> None:
    """Raise LogMissing or LogUnsafe unless a service that binds `consumer` may become ready.

    Workers bind two: with the log's goes that of the timers.
    """
    await require_safe(monitor_urls)
    await require_consumer(client, STREAM, consumer)
    if consumer == WORKER:
        await require_consumer(client, TIMERS, WORKER_TIMERS)


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


async def _info(js: JetStreamContext, stream: str) -> StreamInfo | None:
    try:
        return await js.stream_info(stream)
    except NotFoundError:
        return None


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
