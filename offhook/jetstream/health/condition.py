"""Whether the log takes writes, judged from what servers and streams report. Pure.

    writes work
    writes work, a node is down         a warning for each node
    nothing can be written              why, in the server's own words if it gives any

A stream is written to by its leader, and an append is acknowledged once more than half of the
replicas have it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nats.js.api import AccountInfo, DiscardPolicy, StreamInfo

from offhook.errors import LogUnavailable, shown_url
from offhook.jetstream.provisioning.servers import ServerReport


@dataclass(frozen=True, kw_only=True)
class Condition:
    """`trouble` is empty as long as writes work. `behind` are replicas that are not current."""

    trouble: str = ""
    warnings: tuple[str, ...] = ()
    behind: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class StorageLimit:
    """How much a stream, an account or a server may hold, and how much is used."""

    name: str  # as its configuration calls it
    used: int
    most: int

    @property
    def is_reached(self) -> bool:
        """Whether no more is taken."""
        return self.used >= self.most

    def __str__(self) -> str:
        return f"{self.name} {self.used:,} of {self.most:,} ({self.used / self.most:.0%})"


def condition_of(
    servers: Sequence[ServerReport],
    streams: Sequence[StreamInfo],
    account: AccountInfo | None = None,
    *,
    late: frozenset[str] = frozenset(),
) -> Condition:
    """`late` are the replicas that have not been current for so long that they count as out."""
    found = [_stream_condition(servers, info, late) for info in streams]
    troubles = [
        *_stopped(found),
        *(trouble for each in found for trouble in each.full),
        *(f"the NATS account is full: {limit}; raise it" for limit in _reached(account)),
    ]
    warnings = [
        *(server.silent for server in servers if server.silent),
        *(f"a node of the log is down: {why}" for each in found for why in each.out.values()),
        *(_complaint(server) for server in servers if not server.cannot_write),
    ]
    # In order, without repetition.
    trouble = "; ".join(dict.fromkeys(troubles))
    return Condition(
        trouble=trouble,
        warnings=() if trouble else tuple(dict.fromkeys(filter(None, warnings))),
        behind=frozenset(name for each in found for name in each.behind),
    )


def unanswered(servers: Sequence[ServerReport], error: LogUnavailable) -> Condition:
    """Why nothing can be written while JetStream answers no request, with the servers at fault."""
    reasons = [str(each.cannot_write or each.silent or _complaint(each)) for each in servers]
    return Condition(trouble="; ".join(dict.fromkeys([str(error), *filter(None, reasons)])))


def _complaint(server: ServerReport) -> str:
    """What it says of its own health; empty if that is good."""
    if not server.unhealthy:
        return ""
    return f"the NATS server at {shown_url(server.url)} says: {server.unhealthy}"


@dataclass(frozen=True, kw_only=True)
class _StreamCondition:
    """Of one stream: why it takes no records (empty if it does), limits reached, nodes out."""

    name: str
    stopped: str
    full: Sequence[str]
    out: Mapping[str, str]  # the reason by node
    behind: Collection[str]  # replicas that are not current, counted as out or not


def _stream_condition(
    servers: Sequence[ServerReport], info: StreamInfo, late: frozenset[str]
) -> _StreamCondition:
    nodes = _out(servers, info)
    behind = {name for name, why in nodes.items() if why.startswith(_BEHIND)}
    out = {name: why for name, why in nodes.items() if name not in behind or name in late}
    return _StreamCondition(
        name=f"{info.config.name}",
        stopped=_cannot_append(info, out),
        full=[
            f"stream {info.config.name} is full: {limit}; raise it"
            for limit in stream_limits(info)
            if limit.is_reached
        ],
        out=out,
        behind=behind,
    )


def _stopped(found: Sequence[_StreamCondition]) -> list[str]:
    """The streams that take no records, together where the reason is the same."""
    names: dict[str, list[str]] = {}
    for each in found:
        if each.stopped:
            names.setdefault(each.stopped, []).append(each.name)
    return [
        f"{' and '.join(ours)} accept{'s' * (len(ours) == 1)} no records: {why}"
        for why, ours in names.items()
    ]


def _reached(account: AccountInfo | None) -> list[StorageLimit]:
    return [limit for limit in account_limits(account) if limit.is_reached]


def stream_limits(info: StreamInfo) -> list[StorageLimit]:
    """Those at which the stream refuses; one that discards old records never does."""
    config, state = info.config, info.state
    if config.discard != DiscardPolicy.NEW:
        return []
    found = [
        StorageLimit(name="max_msgs", used=state.messages, most=config.max_msgs or 0),
        StorageLimit(
            name="max_bytes", used=state.bytes + _SMALL_RECORD_BYTES, most=config.max_bytes or 0
        ),
    ]
    return [limit for limit in found if limit.most > 0]


def account_limits(account: AccountInfo | None) -> list[StorageLimit]:
    """The account's file storage, where it has a limit of its own."""
    if account is None or (account.limits.max_storage or 0) <= 0:
        return []
    return [StorageLimit(name="max_file", used=account.storage, most=account.limits.max_storage)]


def _out(servers: Sequence[ServerReport], info: StreamInfo) -> dict[str, str]:
    """The nodes of a stream that take no writes of it, each with the reason."""
    out: dict[str, str] = {}
    cluster = info.cluster
    for peer in (cluster.replicas if cluster else None) or []:
        if peer.name is None or peer.name == (cluster.leader if cluster else None):
            continue
        if peer.offline:
            out[peer.name] = f"{peer.name} is offline"
        elif not peer.current:
            out[peer.name] = f"{_BEHIND}{info.config.name} on {peer.name}, {peer.lag or 0:,} late"
    for server in servers:
        if why := server.cannot_write:
            out[server.name] = str(why)
    return out


def _cannot_append(info: StreamInfo, out: dict[str, str]) -> str:
    """Why the stream acknowledges nothing; empty if it does."""
    why, cluster = "; ".join(out.values()), info.cluster
    if cluster is None:
        return why
    if not cluster.leader:
        return f"there is no leader: {why or 'its nodes do not reach each other'}"
    replicas = info.config.num_replicas or 1
    names = {cluster.leader, *(each.name for each in cluster.replicas or [])}
    left = replicas - len(names & out.keys())
    if left > replicas // 2 and cluster.leader not in out:
        return ""
    return f"{left} of {replicas} replicas are current: {why}" if replicas > 1 else why


_BEHIND = "not current: stream "

_SMALL_RECORD_BYTES = 1024
"""A stream with less room than this left takes next to nothing any more."""
