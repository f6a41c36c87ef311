"""The streams and their consumers as values, and the step that makes them (`offhook provision`).

    stream    consumers            what is in it
    CALLS     worker, projector    the log
    TIMERS    worker-timers        alarms that are set, and those that rang; scheduled messages
                                   cannot live in a stream that discards new ones

Provisioning is idempotent and apart from the services: they only bind. It refuses a server that
would lose acknowledged writes: without `sync_interval: always` JetStream acknowledges at once and
flushes every two minutes (nats-server issue 7564, jepsen.io analysis of 2.12.1).
"""

import asyncio
import ssl
from collections.abc import Sequence
from functools import cache
from typing import Any

import httpx
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StoreCompression,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from offhook.errors import LogMissing, LogUnavailable, LogUnsafe
from offhook.jetstream.subjects import ALL_CALLS, ALL_FIRED, ALL_IN, ALL_SET

STREAM = "CALLS"
WORKER = "worker"
PROJECTOR = "projector"
TIMERS = "TIMERS"
WORKER_TIMERS = "worker-timers"

MESSAGE_BYTES_MAX = 256 * 1024
DUPLICATE_WINDOW_S = 600

ACK_WAIT_S = 4.0
"""How long a killed worker delays its calls, at most; workers say `in progress` well before."""

WORKER_PENDING_MAX = 16_384
"""More than a fleet has commands waiting for their turn: a hangup must still be delivered."""

PROJECTOR_BATCH_MAX = 500


ALARM_KEPT_S = 7 * 86_400
"""From when it was set: longer than any timer (`offhook.timers.AFTER_S_MAX`), by six days in which
the workers may all be away."""


def stream_config(replicas: int) -> StreamConfig:
    """Keep everything, for ever, compressed, and refuse rather than forget."""
    return StreamConfig(
        name=STREAM,
        subjects=[ALL_CALLS],
        storage=StorageType.FILE,
        num_replicas=replicas,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_age=0,
        max_msg_size=MESSAGE_BYTES_MAX + _HEADER_BYTES_MAX,
        duplicate_window=DUPLICATE_WINDOW_S,
        allow_direct=True,
        compression=StoreCompression.S2,
        metadata={"offhook": "1"},
    )


# The stream's limit counts headers too, and a webhook of the full size must still fit.
_HEADER_BYTES_MAX = 4 * 1024


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
        compression=StoreCompression.S2,
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
    await require_sync_always(monitor_urls)
    js = client.jetstream(timeout=_API_TIMEOUT_S)
    for wanted, consumers in wanted_streams(replicas):
        assert wanted.name is not None
        try:
            try:
                await js.stream_info(wanted.name)
            except NotFoundError:
                await js.add_stream(wanted)
            else:
                await js.update_stream(wanted)
            for config in consumers:
                await js.add_consumer(wanted.name, config)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(
                f"stream {wanted.name} cannot be provisioned: {error!r}"
            ) from error


async def require_provisioned(
    client: Client, monitor_urls: Sequence[str], consumer: str | None = None
) -> None:
    """Raise LogMissing or LogUnsafe unless a service that binds `consumer` may become ready.

    Workers bind two: with the log's goes that of the timers.
    """
    await require_sync_always(monitor_urls)
    await require_consumer(client, STREAM, consumer)
    if consumer == WORKER:
        await require_consumer(client, TIMERS, WORKER_TIMERS)


async def require_consumer(client: Client, stream: str, consumer: str | None) -> None:
    """Raise LogMissing unless the stream is there, and the consumer if one is named."""
    js = client.jetstream(timeout=_API_TIMEOUT_S)
    try:
        await js.stream_info(stream)
        if consumer is not None:
            await js.consumer_info(stream, consumer)
    except NotFoundError as error:
        what = f"stream {stream}" + (f" with consumer {consumer}" if consumer else "")
        raise LogMissing(f"{what} is not there: run `offhook provision`") from error
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"JetStream does not answer: {error!r}") from error


async def require_sync_always(monitor_urls: Sequence[str]) -> None:
    """Raise LogUnsafe unless every server that answers flushes before it acknowledges.

    A node of a cluster may be away without taking the services with it: LogUnavailable is raised
    only if none answers.
    """
    if not monitor_urls:
        raise LogUnsafe("OFFHOOK_NATS_MONITOR_URLS is empty: no server can say that it is safe")
    async with httpx.AsyncClient(timeout=_API_TIMEOUT_S, verify=_tls()) as http:
        answers = await asyncio.gather(*(_ask(http, url) for url in monitor_urls))
    silent: list[LogUnavailable] = []
    for url, answer in zip(monitor_urls, answers, strict=True):
        if isinstance(answer, LogUnavailable):
            silent.append(answer)
        elif answer.get("sync_always") is not True:
            raise LogUnsafe(
                f"the NATS server at {url} would lose acknowledged writes: set "
                "`sync_interval: always` in its jetstream block"
            )
    if len(silent) == len(answers):
        raise silent[0]


@cache
def _tls() -> ssl.SSLContext:
    """One for all: making it stops the loop for 20 to 40 ms, and readiness is asked all day."""
    return httpx.create_ssl_context()


async def _ask(http: httpx.AsyncClient, url: str) -> dict[str, Any] | LogUnavailable:
    """What a server says of its JetStream, or that it says nothing."""
    try:
        answer = await http.get(f"{url}/jsz", params={"config": "true"})
        return answer.raise_for_status().json().get("config") or {}
    except (httpx.HTTPError, ValueError) as error:
        return LogUnavailable(f"no NATS monitoring answers at {url}: {error!r}")


_API_TIMEOUT_S = 5.0
