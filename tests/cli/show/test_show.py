"""`offhook show` reads a session from the log."""

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.events import (
    IssuedCommand,
)
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.subjects import partition_for
from offhook.settings import Settings, environment_from
from tests import forked
from tests.projections.story import (
    call,
    dial_of,
    events_of,
    fact,
    interleaved,
    publish,
    request_of,
    webhook,
)


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


async def test_the_session_comes_from_the_log_alone(own_nats: NatsServer) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    secret = {"sip_auth_password": "hunter2"}
    dial = request_of("s").command
    dial = IssuedCommand(command_id=dial.command_id, operation="dial", parameters=secret)
    asked = fact("s", type(request_of("s"))(command=dial), "in")
    await publish(JetStreamLog(client), [*call("s"), asked])
    await close(client)

    shown = _show(own_nats, "s")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(
        "session s: 14 records, ended\n"
        "The command hangup failed: the carrier refused it (HTTP 422, 90015).\n"
        "The caller +12025550100 hung up 57 s after the answer (normal_clearing, SIP 200 OK, "
        "ended by the caller).\n"
        "L1  v3:s\n"
        "L2  v3:s-2\n"
    )

    shown_text = shown.stdout
    shown = _show(own_nats, "s", "--json")
    assert "hunter2" not in shown.stdout
    found = json.loads(shown.stdout)
    assert found["session_id"] == "s"
    assert found["why"] == shown_text.splitlines()[1:3]
    assert found["links"] == []
    assert [record["elapsed_s"] for record in found["records"]] == sorted(
        record["elapsed_s"] for record in found["records"]
    )
    assert [record["seq"] for record in found["records"]] == list(range(1, 15))
    first, last = found["records"][0], found["records"][-1]
    assert (first["side"], first["type"]) == ("in", "WebhookReceived")
    assert first["fields"]["event_type"] == "call.initiated"
    assert [leg["state"] for leg in first["after"]["legs"]] == ["initiated"]
    assert [leg["state"] for leg in last["after"]["legs"]] == ["ended", "ended"]
    assert last["after"]["session"]["status"] == "ended"
    shown = _show(own_nats, "s", "--json", "--last", "2")
    assert json.loads(shown.stdout)["records"] == found["records"][-2:]
    statuses = [command["status"] for command in last["after"]["commands"]]
    assert statuses == ["succeeded", "failed", "requested"]


async def test_a_dial_and_the_call_it_placed_are_shown_together_by_either_id(
    own_nats: NatsServer,
) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    await publish(JetStreamLog(client), [*call("other"), *dial_of("asked", "placed")])
    await publish(JetStreamLog(client), [webhook("placed", events_of("placed")[0])])
    await close(client)

    shown = {session: _show(own_nats, session) for session in ("asked", "placed")}
    assert shown["asked"].stdout == shown["placed"].stdout
    lines = shown["asked"].stdout.splitlines()
    assert lines[0] == "session placed: 5 records, ended (no hangup)"
    assert "dialled by request asked" in lines
    kinds = ("CommandRequested", "Decided", "LegPlaced", "CommandSucceeded", "call.initiated")
    for kind in kinds:
        assert any(f"  {kind}  " in line for line in lines), kind
    placed = "LegPlaced  L1 outgoing, None → +12025550102, by dial in session asked"
    assert any(placed in line for line in lines)
    found = json.loads(_show(own_nats, "asked", "--json").stdout)
    assert found["session_id"] == "placed"
    assert found["links"] == [{"how": "requested", "session_id": "asked", "to": None}]
    sessions = [record["session_id"] for record in found["records"]]
    assert sessions == ["asked", "asked", "placed", "asked", "placed"]
    last = found["records"][-1]["after"]
    assert [leg["call_control_id"] for leg in last["legs"]] == ["v3:placed"]
    assert [command["status"] for command in last["commands"]] == ["succeeded"]


async def test_of_a_call_that_dialled_another_only_the_dial_is_shown_with_the_other(
    own_nats: NatsServer,
) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    # The dial is recorded among the commands of a call of its own.
    await publish(JetStreamLog(client), [*call("asked"), *dial_of("asked", "placed")])
    await close(client)
    placed = json.loads(_show(own_nats, "placed", "--json").stdout)
    types = [record["type"] for record in placed["records"]]
    assert types == ["CommandRequested", "Decided", "LegPlaced", "CommandSucceeded"]
    asked = json.loads(_show(own_nats, "asked", "--json").stdout)
    assert asked["session_id"] == "asked"
    assert len(asked["records"]) == len(call("asked")) + 3


async def test_a_session_is_shown_as_it_was_and_what_changed_since(own_nats: NatsServer) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    log = JetStreamLog(client)
    await publish(log, call("s"))
    records = await log.read("s")
    await close(client)
    whole = json.loads(_show(own_nats, "s", "--json").stdout)["records"]
    eighth = records[7]
    for moment in (str(eighth.seq), f"0:{eighth.seq}", eighth.stored_at.isoformat()):
        shown = json.loads(_show(own_nats, "s", "--as-of", moment, "--json").stdout)
        assert shown["records"] == whole[:8]
    elapsed = re.search(r"^ *0:8  \S+  (\+\S+)", _show(own_nats, "s").stdout, re.MULTILINE)
    assert elapsed is not None
    printed = json.loads(_show(own_nats, "s", "--as-of", elapsed[1], "--json").stdout)["records"]
    assert printed[:8] == whole[:8]
    # Others may be printed with the same time.
    assert all(each["elapsed_s"] <= whole[7]["elapsed_s"] + 0.001 for each in printed)
    text = _show(own_nats, "s", "--as-of", str(eighth.seq), "--last", "1").stdout
    assert text.startswith("session s: 8 records, ")
    assert len(re.findall(r"^ *0:\d+  \d\d:", text, re.MULTILINE)) == 1
    diff = _show(own_nats, "s", "--diff", str(records[3].seq), str(records[10].seq)).stdout
    lines = [line.strip() for line in diff.splitlines()]
    assert lines[0] == "session s"
    assert re.fullmatch(r"status +active → ended", lines[lines.index("session") + 1])
    assert "leg v3:s-2  new" in lines
    of_command = lines.index("command answer s-answer")
    assert re.fullmatch(r"status +pending → succeeded", lines[of_command + 1])
    assert "command hangup s-hangup" not in lines
    reversed_diff = _show(own_nats, "s", "--diff", str(records[10].seq), str(records[3].seq))
    assert reversed_diff.stdout == diff
    none = json.loads(_show(own_nats, "s", "--diff", "3", "3", "--json").stdout)
    assert none == {"session_id": "s", "changes": []}
    assert json.loads(_show(own_nats, "s", "--as-of", "0s", "--json").stdout)["records"] == whole
    for wrong, why in (("64:1", "not a moment"), ("0", "no record of session s as of")):
        refused = _show(own_nats, "s", "--as-of", wrong)
        assert refused.returncode != 0
        assert why in refused.stderr
    from_nothing = _show(own_nats, "s", "--diff", "0", str(eighth.seq))
    assert "leg v3:s-2  new" in from_nothing.stdout


async def test_a_position_of_another_partition_stands_for_its_time(own_nats: NatsServer) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url], partitions=2)
    log = JetStreamLog(client)
    other = next(name for name in "abcdefgh" if partition_for(name, 2) != partition_for("s", 2))
    await publish(log, interleaved([call(other), call("s")]))
    records, others = await log.read("s"), await log.read(other)
    partition = partition_for(other, 2)
    await client.jetstream().delete_msg(f"CALLS_{partition}", 5)
    await close(client)

    def count_as_of(position: str) -> int:
        shown = _show(own_nats, "s", "--as-of", position, "--json")
        assert shown.returncode == 0, shown.stderr
        return len(json.loads(shown.stdout)["records"])

    sixth = others[5].stored_at
    assert count_as_of(f"{partition}:6") == sum(each.stored_at <= sixth for each in records)
    until = sum(each.stored_at <= others[-1].stored_at for each in records)
    assert count_as_of(f"{partition}:999") == count_as_of(f"{partition}:{len(others)}") == until
    refused = _show(own_nats, "s", "--as-of", f"{partition}:0")
    assert f"no record of session s as of {partition}:0" in refused.stderr
    gone = _show(own_nats, "s", "--as-of", f"{partition}:5")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.startswith(
        f"offhook: the record at {partition}:5 has left the log, and when it was stored cannot be"
        " read: "
    )


async def test_an_unknown_session_is_an_error(own_nats: NatsServer) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    await close(client)
    shown = _show(own_nats, "nobody")
    assert shown.returncode == 1
    assert shown.stdout == ""
    assert shown.stderr.startswith(
        "offhook: there is no record of session nobody in the log, and the archive cannot be read:"
    )
    assert "the start of an id, the API is needed to look it up: there is no tok" in shown.stderr
    for options in (("--as-of", "10:30"), ("--diff", "1", "10:30")):
        shown = _show(own_nats, "nobody", *options)
        assert shown.returncode == 1
        assert "10:30 is a position in partition 10; expected one of this log" in shown.stderr


def _show(server: NatsServer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    settings = Settings(nats_url=server.url, postgres_url="postgresql://nobody@127.0.0.1:1/none")
    env = {**kept, **environment_from(settings), "COLUMNS": "100"}
    return forked.offhook("show", *arguments, env=env)
