"""The streams and their consumers as values.

stream    consumers            what is in it
CALLS     worker, projector    the log, if it has one partition
CALLS_n   worker, projector    partition n of a log of several: the slots n, n + P, n + 2P, …
TIMERS    worker-timers        alarms that are set, and those that rang; scheduled messages
                               cannot live in a stream that discards new ones
SNAPSHOTS                      how far workers have folded long sessions; in memory
"""

from functools import lru_cache

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

from offhook.jetstream.subjects import (
    ALL_CALLS,
    ALL_FIRED,
    ALL_IN,
    ALL_SET,
    ALL_SNAPSHOTS,
    slots_of,
)
from offhook.position import PARTITIONS_MAX

STREAM = "CALLS"
WORKER = "worker"
PROJECTOR = "projector"
TIMERS = "TIMERS"
SNAPSHOTS = "SNAPSHOTS"
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

PARTITIONS_DEFAULT = 4
"""Of a new installation, and of one that is moved."""

PARTITIONS = "offhook-partitions"
"""In a stream's metadata: how many partitions the log has."""

ALARM_KEPT_S = 7 * 86_400
"""From when it was set: longer than any timer (`offhook.session.timers.AFTER_S_MAX`), by six days
in which the workers may all be away."""


SNAPSHOT_KEPT_S = 6 * 3_600
"""From when it was stored: a leg lasts up to 4 hours, and no session is archived within a day."""

SNAPSHOT_BYTES_MAX = 4 * 1024 * 1024
"""Of a call of 4 hours that is transcribed word by word, some 150,000 events."""

SNAPSHOTS_BYTES_MAX = 64 * 1024 * 1024
"""Memory of the server: some 500 sessions of 10,000 records. Beyond it the oldest are dropped."""

EXPECTED_SEQ_HEADER = "Nats-Expected-Last-Subject-Sequence"
"""Of a message that is stored only behind this one of its subject; 0: only if there is none."""

TAKEN = frozenset({10071, 10164})
"""The answers if it is not. 10071: wrong last sequence. 10164: a publish on this subject is in
flight (replicated streams)."""


def stream_of(partition: int, partitions: int) -> str:
    """The stream of a partition, in a log of so many."""
    return STREAM if partitions == 1 else f"{STREAM}_{partition}"


def streams_of(partitions: int) -> tuple[str, ...]:
    """The streams of the log, by partition."""
    return tuple(stream_of(partition, partitions) for partition in range(partitions))


@lru_cache(maxsize=PARTITIONS_MAX)
def partition_in(stream: str) -> int:
    """The partition that a stream of the log is."""
    return int(stream.removeprefix(STREAM).removeprefix("_") or 0)


def stream_config(replicas: int, partition: int = 0, partitions: int = 1) -> StreamConfig:
    """A partition of the log. Keep everything, forever, and refuse rather than forget."""
    subjects = [f"calls.{slot}.>" for slot in slots_of(partition, partitions)]
    return StreamConfig(
        name=stream_of(partition, partitions),
        subjects=[ALL_CALLS] if partitions == 1 else subjects,
        storage=StorageType.FILE,
        num_replicas=replicas,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_age=0,
        max_msg_size=RECORD_BYTES_MAX,
        duplicate_window=DUPLICATE_WINDOW_S,
        allow_direct=True,
        compression=StoreCompression.NONE,
        metadata={"offhook": "1", PARTITIONS: str(partitions)},
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


def snapshots_config(replicas: int) -> StreamConfig:
    """The latest snapshot of each long session.

    In memory: a write to the disk would delay those of the log, and a replaced message stays in
    its block's file, where nothing can erase it. After a restart of the server the log is read.
    """
    return StreamConfig(
        name=SNAPSHOTS,
        subjects=[ALL_SNAPSHOTS],
        storage=StorageType.MEMORY,
        num_replicas=replicas,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=SNAPSHOT_KEPT_S,
        max_bytes=SNAPSHOTS_BYTES_MAX,
        max_msgs_per_subject=1,
        max_msg_size=SNAPSHOT_BYTES_MAX,
        allow_direct=True,
        compression=StoreCompression.NONE,
        metadata={"offhook": "1"},
    )


_ALARM_BYTES_MAX = 4 * 1024


def consumer_configs() -> tuple[ConsumerConfig, ...]:
    """A partition's durable pull consumers: the workers' shared one and the projector's."""
    return (
        _pulled(WORKER, ALL_IN, ACK_WAIT_S, WORKER_PENDING_MAX),
        _pulled(PROJECTOR, ALL_CALLS, 30.0, PROJECTOR_BATCH_MAX),
    )


def timers_consumer_config() -> ConsumerConfig:
    """The workers' shared consumer of alarms that rang."""
    return _pulled(WORKER_TIMERS, ALL_FIRED, ACK_WAIT_S, WORKER_PENDING_MAX)


def _pulled(name: str, subjects: str, ack_wait_s: float, pending_max: int) -> ConsumerConfig:
    """A durable consumer that delivers each message until it is acknowledged."""
    return ConsumerConfig(
        durable_name=name,
        filter_subject=subjects,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait_s,
        max_deliver=-1,
        max_ack_pending=pending_max,
    )


def wanted_streams(
    replicas: int, partitions: int
) -> tuple[tuple[StreamConfig, tuple[ConsumerConfig, ...]], ...]:
    """All that is provisioned: each stream with its consumers."""
    return (
        *(
            (stream_config(replicas, partition, partitions), consumer_configs())
            for partition in range(partitions)
        ),
        (timers_config(replicas), (timers_consumer_config(),)),
    )
