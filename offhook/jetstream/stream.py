"""The streams and their consumers as values, and the step that makes them (`offhook provision`).

    stream    consumers            what is in it
    CALLS     worker, projector    the log
    TIMERS    worker-timers        alarms that are set, and those that rang; scheduled messages
                                   cannot live in a stream that discards new ones

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
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StoreCompression,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import NotFoundError

from offhook.errors import LogMissing, LogUnavailable, LogUnsafe, words_of
from offhook.jetstream.servers import require_safe_servers
from offhook.jetstream.subjects import ALL_CALLS, ALL_FIRED, ALL_IN, ALL_SET

STREAM = "CALLS"
WORKER = "worker"
PROJECTOR = "projector"
TIMERS = "TIMERS"
WORKER_TIMERS = "worker-timers"

MESSAGE_BYTES_MAX = 6 * 1024 * 1024
"""Of a webhook. A call lasts up to 4 hours: its transcript in Hindi, written with escapes, takes
1.1 MB at 830 letters a minute; an assistant's history of 4,000 messages of 1 kB takes 4 MB. With
its headers it fits `max_payload: 8MB`, which nats-server advises not to exceed."""

RECORD_BYTES_MAX = MESSAGE_BYTES_MAX + 4 * 1024
"""With headers: the stream's limit and the server's `max_payload` count them too."""

DUPLICATE_WINDOW_S = 600

ACK_WAIT_S = 1.0
"""How long a killed worker delays its calls, at most; workers say `in progress` well before. A
worker that stalls for longer works on what another one looks at too, which harms nothing."""

WORKER_PENDING_MAX = 16_384
"""More than a fleet has commands waiting for their turn: a hangup must still be delivered."""

PROJECTOR_BATCH_MAX = 500


ALARM_KEPT_S = 7 * 86_400
"""From when it was set: longer than any timer (`offhook.timers.AFTER_S_MAX`), by six days in which
the workers may all be away."""


def stream_config(replicas: int) -> StreamConfig:
    """Keep everything, forever, and refuse rather than forget."""
    return StreamConfig(
        name=STREAM,
        subjects=[ALL_CALLS],
        storage=StorageType.FILE,
        num_replicas=replicas,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_age=0,
        max_msg_size=RECORD_BYTES_MAX,
        duplicate_window=DUPLICATE_WINDOW_S,
        allow_direct=True,
        compression=StoreCompression.NONE,
        metadata={"offhook": "1"},
    )


def timers_config(replicas: int) -> StreamConfig:
    """Alarms are wake-ups: what they are about is in the log, so old ones may go."""
    return StreamConfig(
        name=TIMERS,
        subjects=[ALL_SET, ALL_FIRED],
        storage=StorageType.FILE,
        num_replicas=replicas,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=ALARM_KEPT_S,
        max_msg_size=_ALARM_BYTES_MAX,
        allow_msg_schedules=True,
        allow_rollup_hdrs=True,  # without it the server takes no schedules
        compression=StoreCompression.NONE,
        metadata={"offhook": "1"},
    )


_ALARM_BYTES_MAX = 4 * 1024


def consumer_configs() -> tuple[ConsumerConfig, ...]:
    """The log's two durable pull consumers: the workers' shared one and the projector's."""
    return (
        ConsumerConfig(
            durable_name=WORKER,
            filter_subject=ALL_IN,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            max_ack_pending=WORKER_PENDING_MAX,
        ),
        ConsumerConfig(
            durable_name=PROJECTOR,
            filter_subject=ALL_CALLS,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30.0,
            max_deliver=-1,
            max_ack_pending=PROJECTOR_BATCH_MAX,
        ),
    )


def timers_consumer_config() -> ConsumerConfig:
    """The workers' shared consumer of alarms that rang."""
    return ConsumerConfig(
        durable_name=WORKER_TIMERS,
        filter_subject=ALL_FIRED,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_deliver=-1,
        max_ack_pending=WORKER_PENDING_MAX,
    )


def wanted_streams(
    replicas: int,
) -> tuple[tuple[StreamConfig, tuple[ConsumerConfig, ...]], ...]:
    """All that is provisioned: each stream with its consumers."""
    return (
        (stream_config(replicas), consumer_configs()),
        (timers_config(replicas), (timers_consumer_config(),)),
    )


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
        raise LogMissing(f"{what} is not there: run `offhook provision`") from error
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"JetStream does not answer: {words_of(error)}") from error


async def require_safe(monitor_urls: Sequence[str]) -> None:
    """Raise LogUnsafe unless every server that answers may carry the log, or LogUnavailable."""
    await require_safe_servers(monitor_urls, RECORD_BYTES_MAX)


def is_compressed(config: StreamConfig) -> bool:
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


CREATED = "offhook-created"
REWRITE = "_REWRITE"
"""Ends the name of the stream that a rewrite copies into (`offhook.jetstream.rewrite`)."""

API_TIMEOUT_S = 5.0
