"""The three states of the log, from what servers and streams say."""

from dataclasses import replace
from typing import Any

import pytest
from nats.js.api import StreamInfo

from offhook.errors import LogUnavailable
from offhook.jetstream.health.appends import REFUSED_S, Appends
from offhook.jetstream.health.condition import Condition, condition_of, unanswered
from offhook.jetstream.provisioning.servers import ServerReport

NODES = ("n1", "n2", "n3")
BEHIND = {"current": False, "lag": 7}
OFFLINE = {"current": False, "offline": True}


def server(name: str, **changed: Any) -> ServerReport:
    good = ServerReport(
        url=f"http://{name}:8222",
        name=name,
        version="2.15.1",
        max_payload=2**20,
        stored_bytes=1,
        stored_bytes_max=1000,
    )
    return replace(good, **changed)


def stream(
    leader: str | None = "n1",
    *,
    config: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    **peers: dict[str, Any],
) -> StreamInfo:
    """As the server answers for three replicas."""
    replicas = [
        {"name": name, "current": True, "active": 1, **peers.get(name, {})}
        for name in NODES
        if name != leader
    ]
    info: StreamInfo = StreamInfo.from_response(
        {
            "config": {"name": "CALLS", "discard": "new", "num_replicas": 3, **(config or {})},
            "state": {
                "messages": 5,
                "bytes": 500,
                "first_seq": 1,
                "last_seq": 5,
                "consumer_count": 0,
                **(state or {}),
            },
            "created": "2026-11-22T10:00:00Z",
            "cluster": {"name": "c", "leader": leader, "replicas": replicas},
        }
    )
    return info


def judged(
    info: StreamInfo, *servers: ServerReport, late: frozenset[str] = frozenset()
) -> Condition:
    by_name = {each.name: each for each in servers}
    return condition_of([by_name.get(name) or server(name) for name in NODES], [info], late=late)


def test_where_all_is_good_there_is_nothing_to_say() -> None:
    assert judged(stream()) == Condition()


@pytest.mark.parametrize(
    ("info", "out", "said"),
    [
        (stream(n2=OFFLINE), server("n2"), "n2 is offline"),
        (stream(), server("n2", jetstream=False), "JetStream is off on the NATS server at"),
        (stream(), server("n2", unhealthy="stream CALLS write error: no space left"), "no space"),
        (stream(), server("n2", stored_bytes=1001), "1,001 of 1,000 bytes"),
        (stream(), server("n2", unhealthy="stream CALLS is not current"), "is not current"),
    ],
)
def test_one_node_out_is_a_warning(info: StreamInfo, out: ServerReport, said: str) -> None:
    found = judged(info, out)
    assert not found.trouble
    assert said in " ".join(found.warnings)
    assert "would lose" not in " ".join(found.warnings)


@pytest.mark.parametrize(
    "how", [{"jetstream": False}, {"stored_bytes": 1001}, {"unhealthy": "write error: no space"}]
)
def test_a_node_out_is_named_without_its_password(how: dict[str, Any]) -> None:
    refusal = server("n2", url="http://desk:hush@n2:8222", **how).cannot_write
    assert "at http://n2:8222" in str(refusal)
    assert "hush" not in str(refusal)


@pytest.mark.parametrize(
    ("info", "servers", "said"),
    [
        (stream(None), (), "CALLS accepts no records: there is no leader"),
        (stream(n2=OFFLINE, n3=OFFLINE), (), "1 of 3 replicas are current"),
        (stream(n2=OFFLINE), (server("n3", jetstream=False),), "JetStream is off"),
        (stream(), (server("n1", stored_bytes=1001),), "the store of the NATS server at http://n1"),
        (stream(), (server("n1", unhealthy="write error: no space left on device"),), "no space"),
        (stream(config={"max_msgs": 5}), (), "max_msgs 5 of 5"),
        (stream(config={"max_bytes": 600}), (), "max_bytes"),
    ],
)
def test_when_nothing_can_be_written_the_reason_is_told(
    info: StreamInfo, servers: tuple[ServerReport, ...], said: str
) -> None:
    found = judged(info, *servers)
    assert said in found.trouble


def test_a_stream_that_discards_old_records_is_never_full() -> None:
    assert judged(stream(config={"discard": "old", "max_msgs": 5})) == Condition()


def test_a_replica_that_is_behind_counts_once_it_stays_so() -> None:
    """Under load each of them is, for a moment."""
    first = judged(stream(n2=BEHIND, n3=BEHIND))
    assert (first.trouble, first.warnings) == ("", ())
    assert first.behind == {"n2", "n3"}
    assert "n2" in judged(stream(n2=BEHIND), late=first.behind).warnings[0]
    assert "1 of 3" in judged(stream(n2=BEHIND, n3=BEHIND), late=first.behind).trouble


def test_a_silent_monitor_is_a_warning() -> None:
    found = judged(stream(), server("n1", silent="n1 is silent"))
    assert found == Condition(warnings=("n1 is silent",))


def test_a_refused_append_counts_until_one_is_taken_or_for_a_while() -> None:
    now = 0.0
    appends = Appends(lambda: now)
    appends.refused("calls.1.s.in: NATS says: maximum messages exceeded")
    assert appends.trouble.endswith("maximum messages exceeded")
    appends.taken()
    assert not appends.trouble
    appends.refused("again")
    now = REFUSED_S
    assert not appends.trouble


def test_where_nobody_answers_the_servers_at_fault_are_named() -> None:
    found = unanswered(
        [
            server("n1", unhealthy="JetStream is not current with the meta leader"),
            server("n2", jetstream=False),
            server("n3", silent="no answer from n3"),
            server("n4"),
        ],
        LogUnavailable("JetStream does not answer: no answer in time"),
    )
    assert found.trouble == (
        "JetStream does not answer: no answer in time; the NATS server at http://n1:8222 says: "
        "JetStream is not current with the meta leader; JetStream is off on the NATS server at "
        "http://n2:8222; free space on its disk, then restart it: it does not recover by itself; "
        "no answer from n3"
    )
    assert found.warnings == ()
