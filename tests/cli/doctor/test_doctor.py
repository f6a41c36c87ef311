"""`offhook doctor`: everything good, then each thing wrong for real, and what it says to do."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from nacl.signing import SigningKey
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StoreCompression, StreamConfig
from rich.console import Console
from sqlalchemy import text

from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.report import print_report
from offhook.cli.doctor.run import Roles, _address, examine
from offhook.cli.doctor.settings import examine_same_settings
from offhook.cli.doctor.work import DELIVERY_AGE_MAX_S
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare, provision_log
from offhook.cli.embedded.ready_file import fingerprint
from offhook.codec import encode
from offhook.events import CommandRequested, IssuedCommand
from offhook.jetstream.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import (
    RECORD_BYTES_MAX,
    STREAM,
    WORKER,
    consumer_configs,
    stream_config,
)
from offhook.jetstream.subjects import LIMITS
from offhook.projections.views.database import open_database
from offhook.projections.views.schema import REVISION
from offhook.settings import Settings, environment_from
from offhook.telnyx.signature import public_key_text
from offhook.workers.sending.rate_limits import FleetReport
from tests.cli.carrier import KEY, WEBHOOKS, Carrier, carrier
from tests.cli.terminal import Terminal
from tests.ingress.stand import PATH, Ingress, body_of, running_ingress, signed

SIGNING_KEY = SigningKey(b"\x01" * 32)
PUBLIC_KEY = public_key_text(SIGNING_KEY)
NOBODY = "http://127.0.0.1:1"
NO_ROLES = Roles()


@pytest.fixture(scope="module")
def at_carrier() -> Iterator[Carrier]:
    with carrier() as running:
        yield running


@pytest.fixture(scope="module")
def own_nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture(scope="module")
def prepared(
    at_carrier: Carrier, own_nats: NatsServer, postgres_server: PostgresServer
) -> Iterator[Settings]:
    """A deployment where all is good; the carrier has application 12."""
    settings = Settings(
        nats_url=own_nats.url,
        nats_monitor_urls=(own_nats.monitor_url,),
        postgres_url=postgres_server.create_database(f"doctor_{uuid4().hex}"),
        public_keys=(PUBLIC_KEY,),
        carrier_url=at_carrier.url,
        carrier_key=KEY,
    )
    prepare(settings)
    with _reporting(own_nats.url):
        yield settings


@contextmanager
def _reporting(nats_url: str) -> Iterator[None]:
    """As if a worker ran: what the workers tell each other, more often than they do."""
    stopping = threading.Event()

    async def report() -> None:
        client = await connect(nats_url, "test")
        while not stopping.is_set():
            await client.publish(LIMITS, msgspec.json.encode(FleetReport(worker="w1")))
            await asyncio.sleep(0.05)
        await close(client)

    thread = threading.Thread(target=lambda: asyncio.run(report()))
    thread.start()
    yield
    stopping.set()
    thread.join()


@pytest.fixture
def good(prepared: Settings, at_carrier: Carrier) -> Settings:
    at_carrier.reset(desk12={})
    return prepared


def look(
    settings: Settings,
    *,
    webhook_url: str = WEBHOOKS,
    roles: Roles = NO_ROLES,
    ahead_s: float = 0.0,
    place_timeout_s: float = 60.0,
) -> dict[tuple[str, str], Finding]:
    """The findings by place and check, by a clock that is ahead."""
    found = asyncio.run(
        examine(
            settings,
            webhook_url=webhook_url,
            roles=roles,
            now=lambda: datetime.now(UTC) + timedelta(seconds=ahead_s),
            place_timeout_s=place_timeout_s,
        )
    )
    return {(each.place, each.check): each for each in found}


def only_wrong(found: dict[tuple[str, str], Finding]) -> Finding:
    """The one thing that is wrong."""
    wrong = [each for each in found.values() if each.state == "wrong"]
    assert len(wrong) == 1, wrong
    return wrong[0]


def test_where_all_is_good_nothing_is_wrong(good: Settings) -> None:
    found = look(good)
    without_address = ("ingress", "api")
    assert {found[place, "ready"].state for place in without_address} == {"unknown"}
    rest = [each.state for each in found.values() if each.place not in without_address]
    assert set(rest) == {"good"}
    assert list(found) == [
        ("settings", "readable"),
        ("settings", "flows"),
        ("settings", "public keys"),
        ("carrier", "key"),
        ("carrier", "clock"),
        ("carrier", "application"),
        ("carrier", "webhook URL"),
        ("carrier", "webhook version"),
        ("carrier", "active"),
        ("ingress", "ready"),
        ("log", "version"),
        ("log", "max_payload"),
        ("log", "flushes every write"),
        ("log", "room"),
        ("log", "clock"),
        ("log", "NATS"),
        ("log", "stream CALLS"),
        ("log", "consumer worker"),
        ("log", "consumer projector"),
        ("log", "stream TIMERS"),
        ("log", "consumer worker-timers"),
        ("log", "takes records"),
        ("workers", "heard"),
        ("workers", "wake-ups"),
        ("workers", "alarms"),
        ("views", "Postgres"),
        ("views", "clock"),
        ("views", "revision"),
        ("views", "parked"),
        ("views", "behind the log"),
        ("api", "ready"),
    ]
    assert found["carrier", "application"].found == "12 (desk12), the only one"
    assert found["views", "revision"].found == f"{REVISION}, the newest"
    assert not [finding for finding in found.values() if finding.state == "good" and finding.fix]


def test_it_prints_and_ends_as_it_found(
    good: Settings,
    at_carrier: Carrier,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offhook = Terminal(monkeypatch, capsys, environment_from(good))
    looked = offhook("doctor", "--connection", "12", "--webhook-url", WEBHOOKS)
    assert looked.status == 0, looked.output
    assert "carrier ✓ ──▶ ingress · ──▶ log ✓ ──▶ workers ✓ ──▶ views ✓ ──▶ api ·" in looked.output
    assert "all good, 2 not checked" in looked.output

    at_carrier.applications["12"]["webhook_api_version"] = "1"
    looked = offhook("doctor")
    assert looked.status == 1
    assert (
        "settings ✓   carrier ✗ ──▶ ingress · ──▶ log ✓ ──▶ workers ✓ ──▶ views ✓ ──▶ api ·"
        in looked.output
    )
    assert "→ offhook apps update 12 --webhook-api-version 2" in looked.output
    assert "1 of " in looked.output

    looked = offhook("doctor", "--json")
    assert looked.status == 1
    assert looked.json["good"] is False
    [wrong] = [each for each in looked.json["checks"] if each["state"] == "wrong"]
    assert wrong == {
        "place": "carrier",
        "check": "webhook version",
        "state": "wrong",
        "found": '"1", which ingress refuses',
        "fix": "offhook apps update 12 --webhook-api-version 2",
    }

    offhook.variables["OFFHOOK_API_PORT"] = "many"
    looked = offhook("doctor", "--json")
    assert looked.status == 1
    assert [each["check"] for each in looked.json["checks"]] == ["readable"]
    assert "OFFHOOK_API_PORT is 'many'; expected" in looked.json["checks"][0]["found"]


# ------------------------------------------------------------------ settings and ingress


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        ({"flows": ("nowhere:flow",)}, "flows", "OFFHOOK_FLOWS has 'nowhere:flow': No module"),
        ({"parked": "ring"}, "parked", "OFFHOOK_PARKED is 'ring'; expected hangup, none or"),
        ({"public_keys": ()}, "public keys", "OFFHOOK_PUBLIC_KEYS is not set"),
        (
            {"public_keys": ("c2hvcnQ=",)},
            "public keys",
            "OFFHOOK_PUBLIC_KEYS: public key of 8 characters is not base64 of 32 bytes",
        ),
    ],
)
def test_settings_that_no_service_would_start_with(
    good: Settings, change: dict[str, Any], check: str, words: str
) -> None:
    finding = look(replace(good, **change))["settings", check]
    assert finding.state == "wrong"
    assert words in finding.found
    assert "OFFHOOK_" in finding.found + finding.fix


def test_an_ingress_that_is_not_there_or_is_something_else(
    good: Settings, at_carrier: Carrier
) -> None:
    away = only_wrong(look(good, roles=Roles(ingress=NOBODY)))
    assert (away.place, away.check) == ("ingress", "ready")
    assert away.found.startswith(f"not reachable at {NOBODY}: ConnectError")
    other = only_wrong(look(good, roles=Roles(ingress=at_carrier.url)))
    assert other.found == f"what answers 404 at {at_carrier.url} is not the ingress role"


def test_a_flow_whose_module_raises(
    good: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_flow.py").write_text("flow = [}")
    monkeypatch.syspath_prepend(tmp_path)
    finding = only_wrong(look(replace(good, flows=("broken_flow:flow",))))
    assert finding.found.startswith(
        "OFFHOOK_FLOWS has 'broken_flow:flow', which cannot be loaded: SyntaxError: "
    )
    assert "(broken_flow.py, line 1)" in finding.found


# ------------------------------------------------------------------ the carrier


def _error(code: str, title: str) -> dict[str, object]:
    return {"errors": [{"code": code, "title": title}]}


@pytest.mark.parametrize(
    ("instead", "found", "fix"),
    [
        ((401, _error("10009", "Authentication failed")), "401 10009 Authentication failed", "KEY"),
        ((403, _error("10010", "Authorization failed")), "403 10010 Authorization failed", "right"),
        ((404, "not here"), "404: there are no Call Control Applications at", "ends in /v2"),
        ((200, "<html>"), "200: there are no Call Control Applications at", "ends in /v2"),
        (
            (503, _error("10007", "Unavailable")),
            "503 10007 Unavailable: the carrier cannot",
            "again",
        ),
    ],
)
def test_what_the_carrier_says_of_the_key(
    good: Settings, at_carrier: Carrier, instead: tuple[int, object], found: str, fix: str
) -> None:
    at_carrier.instead = instead
    finding = only_wrong(look(good))
    assert finding.check == "key"
    assert found in finding.found
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"carrier_key": "another"}, "401 10009 Authentication failed: the carrier does not know"),
        ({"carrier_key": ""}, "OFFHOOK_CARRIER_KEY is not set"),
        ({"carrier_url": f"{NOBODY}/v2"}, f"not reachable at {NOBODY}/v2: ConnectError"),
        ({"carrier_url": "api.telnyx.com/v2"}, "OFFHOOK_CARRIER_URL is 'api.telnyx.com/v2'"),
    ],
)
def test_a_carrier_that_cannot_be_asked(good: Settings, change: dict[str, str], found: str) -> None:
    finding = only_wrong(look(replace(good, **change)))  # type: ignore[arg-type]
    assert (finding.place, finding.check) == ("carrier", "key")
    assert finding.found.startswith(found)
    assert "OFFHOOK_CARRIER_" in finding.fix


@pytest.mark.parametrize(
    ("change", "check", "found", "fix"),
    [
        ({"webhook_api_version": "1"}, "webhook version", '"1", which', "--webhook-api-version 2"),
        ({"active": False}, "active", "no: it takes and places no calls", "--active"),
        (
            {"webhook_event_url": "https://old.example.com/hook"},
            "webhook URL",
            f"https://old.example.com/hook, not {WEBHOOKS}",
            f"--webhook-event-url {WEBHOOKS}",
        ),
        (
            {"webhook_event_failover_url": "https://old.example.com/"},
            "failover URL",
            "https://old.example.com/ does not end in /webhooks/telnyx, where ingress listens",
            "--webhook-event-failover-url https://…/webhooks/telnyx",
        ),
    ],
)
def test_an_application_whose_webhooks_would_not_come(
    good: Settings, at_carrier: Carrier, change: dict[str, object], check: str, found: str, fix: str
) -> None:
    at_carrier.applications["12"].update(change)
    finding = only_wrong(look(good))
    assert finding.check == check
    assert finding.found.startswith(found)
    assert finding.fix == f"offhook apps update 12 {fix}"


def test_without_an_expected_address_its_path_must_be_right(
    good: Settings, at_carrier: Carrier
) -> None:
    assert look(good, webhook_url="")["carrier", "webhook URL"].state == "good"
    at_carrier.applications["12"]["webhook_event_url"] = "https://calls.example.com/"
    finding = only_wrong(look(good, webhook_url=""))
    assert "does not end in /webhooks/telnyx" in finding.found


def test_which_application_must_be_clear(good: Settings, at_carrier: Carrier) -> None:
    at_carrier.reset(desk12={}, night13={"webhook_api_version": "1"})
    assert only_wrong(look(good)).found == "which of them? 12 (desk12), 13 (night13)"
    night = look(replace(good, connection_id="13"))
    assert night["carrier", "application"].found == "13 (night13)"
    assert only_wrong(night).check == "webhook version"
    missing = only_wrong(look(replace(good, connection_id="14")))
    assert missing.found.endswith("there is no '14'; there are 12 (desk12), 13 (night13)")
    assert "--connection ID or OFFHOOK_CONNECTION_ID" in missing.fix
    at_carrier.reset()
    none = only_wrong(look(good))
    assert none.found == "the account has none"
    assert none.fix.startswith("make one: offhook apps create")


def test_webhooks_tell_whether_the_carrier_signs_with_our_key(
    good: Settings, tmp_path: Path
) -> None:
    with running_ingress(replace(good, ingress_port=0), tmp_path / "log") as running:

        def signed_with_our_key() -> Finding:
            return look(good, roles=Roles(ingress=running.url))["ingress", "signed with our key"]

        assert signed_with_our_key().state == "unknown"
        send(running, SigningKey.generate())
        refused = signed_with_our_key()
        assert refused.state == "wrong"
        assert refused.found == "since it started: 0 webhooks taken, 1 with a bad signature"
        assert refused.fix.startswith("set OFFHOOK_PUBLIC_KEYS")
        send(running, SIGNING_KEY)
        assert signed_with_our_key().state == "good"
    asyncio.run(purged(good.nats_url))


async def purged(url: str) -> None:
    """Nobody settles or projects here."""
    client = await connect(url, "test")
    await client.jetstream().purge_stream(STREAM)
    await close(client)


def send(running: Ingress, key: SigningKey) -> None:
    body = body_of()
    httpx.post(
        f"{running.url}{PATH}", content=body, headers=signed(body, key), trust_env=False, timeout=60
    )


def test_clocks_that_differ(good: Settings) -> None:
    found = look(good, ahead_s=10)
    assert [each.place for each in found.values() if each.state == "wrong"] == ["log", "views"]
    assert re.match(r"(9|10)\.\d s behind ours, ±", found["log", "clock"].found)
    assert found["log", "clock"].fix.startswith("synchronise both clocks by NTP")
    found = look(good, ahead_s=-40)
    wrong = [each for each in found.values() if each.state == "wrong"]
    assert [each.place for each in wrong] == ["carrier", "log", "views"]
    assert {each.check for each in wrong} == {"clock"}
    assert re.search(r"s ahead of ours, ±[\d.]+ s; at most 30 s$", wrong[0].found)


# ------------------------------------------------------------------ the log


def test_a_server_that_would_lose_writes(good: Settings) -> None:
    with NatsServer(sync_always=False) as unsafe:
        finding = only_wrong(look(replace(good, nats_monitor_urls=(unsafe.monitor_url,))))
        assert finding.check == "flushes every write"
        assert "would lose acknowledged writes" in finding.found
        assert "sync_interval: always" in finding.fix
        found = look(replace(good, nats_url=unsafe.url))
        missing = [each for each in found.values() if each.state == "wrong" and each.place == "log"]
        assert [each.check for each in missing] == ["stream CALLS", "stream TIMERS"]
        assert {each.found for each in missing} == {"it does not exist"}
        assert {each.fix for each in missing} == {"offhook provision"}


def test_servers_that_do_not_answer(good: Settings) -> None:
    found = look(replace(good, nats_monitor_urls=(*good.nats_monitor_urls, NOBODY)))
    assert f"no NATS monitoring answers at {NOBODY}" in only_wrong(found).found
    assert only_wrong(look(replace(good, nats_monitor_urls=()))).found.endswith("is empty")


class _Narrow(NatsServer):
    def _config(self) -> str:
        return super()._config().replace("max_payload: 8MB", "max_payload: 65536")


def test_a_server_that_takes_no_webhook_of_full_size(good: Settings) -> None:
    with _Narrow() as narrow:
        finding = only_wrong(look(replace(good, nats_monitor_urls=(narrow.monitor_url,))))
    assert finding.check == "max_payload"
    assert finding.found.endswith("is 65536 bytes")
    assert finding.fix.startswith(f"set `max_payload` to at least {RECORD_BYTES_MAX}")


def test_a_compressed_stream(good: Settings, tmp_path: Path) -> None:
    async def compress(server: NatsServer) -> None:
        client = await connect(server.url, "test")
        compressed = stream_config(1).evolve(compression=StoreCompression.S2)
        await client.jetstream().add_stream(compressed)
        await close(client)

    with NatsServer(tmp_path) as server:
        asyncio.run(compress(server))
        found = look(replace(good, nats_url=server.url))["log", f"stream {STREAM}"]
    assert found.found.startswith("it is compressed")
    assert found.fix == "stop every role, then offhook provision --rewrite-compressed"


class _Guarded(NatsServer):
    def _config(self) -> str:
        return super()._config() + 'authorization { user: "desk", password: "hunter2" }\n'


def test_a_server_that_refuses_is_told_from_one_that_is_away(good: Settings) -> None:
    away = only_wrong(look(replace(good, nats_url="nats://desk:hunter2@127.0.0.1:1")))
    assert away.found.startswith("no connection to nats://127.0.0.1:1: [Errno 111]")
    with _Guarded() as guarded:
        address = guarded.url.removeprefix("nats://")
        refused = only_wrong(look(replace(good, nats_url=f"nats://desk:hunter1@{address}")))
        assert "Authorization Violation" in refused.found
        assert "OFFHOOK_NATS_URL: its address, user and password" in refused.fix
        let_in = look(replace(good, nats_url=f"nats://desk:hunter2@{address}"))["log", "NATS"]
    assert let_in.state == "good"
    assert let_in.found.startswith(f"nats://{address}, version ")
    assert "hunter" not in f"{away} {refused} {let_in}"


def test_what_listens_and_never_answers_is_told_in_time(good: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        silenced = replace(
            good,
            carrier_url=f"http://{where}/v2",
            nats_monitor_urls=(f"http://{where}",),
            postgres_url=f"postgresql://postgres@{where}/postgres",
        )
        found = asyncio.run(
            examine(
                silenced,
                webhook_url=WEBHOOKS,
                roles=Roles(ingress=f"http://{where}"),
                now=lambda: datetime.now(UTC),
                place_timeout_s=2.0,
            )
        )
    late = [each for each in found if each.check == "answers in time"]
    assert [each.place for each in late] == ["carrier", "ingress", "log", "views", "views"]
    assert {each.found for each in late} == {"nothing more within 2 s"}


async def _changed(url: str, stream: StreamConfig | None, consumer: ConsumerConfig | None) -> None:
    client = await connect(url, "test")
    js = client.jetstream()
    if stream is not None:
        await js.update_stream(stream)
    if consumer is not None:
        assert consumer.durable_name is not None
        await js.delete_consumer(STREAM, consumer.durable_name)
        await js.add_consumer(STREAM, consumer)
    await close(client)


def test_a_stream_or_consumer_that_somebody_changed(good: Settings) -> None:
    worker = next(each for each in consumer_configs() if each.durable_name == WORKER)
    changed = worker.evolve(ack_wait=30.0, filter_subject="calls.1.*.in")
    stream = stream_config(1).evolve(discard=DiscardPolicy.OLD, max_bytes=10_000_000)
    asyncio.run(_changed(good.nats_url, stream, changed))
    found = look(good)
    assert found["log", f"stream {STREAM}"].found == (
        "max_bytes is 10000000, not -1; discard is old, not new"
    )
    assert found["log", f"consumer {WORKER}"].found == (
        "ack_wait is 30.0, not 1.0; filter_subject is calls.1.*.in, not calls.*.*.in"
    )
    wrong = [each for each in found.values() if each.state == "wrong"]
    assert [each.fix for each in wrong] == ["offhook provision"] * 2
    asyncio.run(provision_log(good))
    assert not [each for each in look(good).values() if each.state == "wrong"]

    asyncio.run(_changed(good.nats_url, None, worker.evolve(ack_policy=AckPolicy.ALL)))
    finding = only_wrong(look(good))
    assert finding.found == "ack_policy is all, not explicit"
    assert finding.fix == (
        f"nats consumer rm {STREAM} {WORKER}, then offhook provision: nothing is lost"
    )
    asyncio.run(_changed(good.nats_url, None, worker))


def test_a_missing_consumer(good: Settings) -> None:
    async def remove() -> None:
        client = await connect(good.nats_url, "test")
        await client.jetstream().delete_consumer(STREAM, WORKER)
        await close(client)

    asyncio.run(remove())
    finding = only_wrong(look(good))
    assert (finding.check, finding.found) == (f"consumer {WORKER}", "it does not exist")
    asyncio.run(provision_log(good))
    assert not [each for each in look(good).values() if each.state == "wrong"]


# ------------------------------------------------------------------ the views


def test_a_database_that_was_not_migrated_or_too_far(
    good: Settings, postgres_server: PostgresServer
) -> None:
    async def set_revision(url: str, revision: str) -> None:
        engine = open_database(url)
        async with engine.begin() as connection:
            await connection.execute(
                text("create table if not exists alembic_version (version_num text primary key)")
            )
            await connection.execute(text("delete from alembic_version"))
            await connection.execute(
                text("insert into alembic_version values (:revision)"), {"revision": revision}
            )
        await engine.dispose()

    url = postgres_server.create_database(f"doctor_{uuid4().hex}")
    empty = replace(good, postgres_url=url)
    finding = only_wrong(look(empty))
    assert finding.found == f"none; this Offhook reads {REVISION}"
    assert finding.fix == "offhook migrate"
    asyncio.run(set_revision(url, "0001"))
    assert only_wrong(look(empty)).found.startswith("0001; ")
    asyncio.run(set_revision(url, "9999"))
    later = only_wrong(look(empty))
    assert later.found.startswith("9999, of a later Offhook")
    assert "install the Offhook" in later.fix


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://postgres@127.0.0.1:1/postgres", "it does not answer: "),
        ("not a url", "OFFHOOK_POSTGRES_URL is not a PostgreSQL URL"),
    ],
)
def test_a_database_that_is_not_there(good: Settings, url: str, found: str) -> None:
    finding = only_wrong(look(replace(good, postgres_url=url)))
    assert (finding.place, finding.check) == ("views", "Postgres")
    assert finding.found.startswith(found)
    assert "OFFHOOK_POSTGRES_URL" in finding.fix


def test_a_database_by_another_name_does_not_exist(
    good: Settings, postgres_server: PostgresServer
) -> None:
    gone = replace(good, postgres_url=postgres_server.url_of("nobodys"))
    assert 'database "nobodys" does not exist' in only_wrong(look(gone)).found


# ------------------------------------------------------------------ the report


def test_what_was_found_is_printed_as_it_is() -> None:
    console = Console(width=100)
    findings = [Finding(place="log", check="NATS", state="wrong", found="no [x]", fix="see [y]")]
    with console.capture() as captured:
        print_report(console, findings, as_json=False)
    assert [line.rstrip() for line in captured.get().splitlines()] == [
        "settings ·   carrier · ──▶ ingress · ──▶ log ✗ ──▶ workers · ──▶ views · ──▶ api ·",
        "",
        "log       ✗  NATS  no [x]",
        "             → see [y]",
        "",
        "1 of 1 checks: wrong",
    ]


# ------------------------------------------------------------------ the roles


async def _stored(url: str, session_id: str, age_s: float) -> None:
    """A webhook that nobody settles, once it is so old."""
    client = await connect(url, "test")
    await JetStreamLog(client).append(
        session_id, "in", encode(CommandRequested(command=_HANGUP), session_id)
    )
    await close(client)
    await asyncio.sleep(age_s)


_HANGUP = IssuedCommand(command_id="c1", operation="hangup", call_control_id="leg")


def test_a_wake_up_that_nobody_settles_and_views_that_stay_behind(good: Settings) -> None:
    asyncio.run(_stored(good.nats_url, "waits", 0))
    found = look(good)
    assert found["workers", "wake-ups"].state == "good", "it has only come"
    late = look(good, ahead_s=DELIVERY_AGE_MAX_S + 5)
    asyncio.run(purged(good.nats_url))
    wake_ups, behind = late["workers", "wake-ups"], late["views", "behind the log"]
    assert (wake_ups.state, behind.state) == ("wrong", "wrong")
    assert re.fullmatch(r"1 waiting, the oldest for \d+ s \(session waits\)", wake_ups.found)
    assert "restart one that hangs" in wake_ups.fix
    assert re.fullmatch(r"by \d records, the oldest for \d+ s", behind.found)
    assert "offhook projector" in behind.fix


def test_a_role_that_hangs_or_is_away_or_is_not_ready(good: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = look(good, roles=Roles(api=hangs, workers=(hangs, NOBODY), projector=hangs))
    for place, check, name in (
        ("api", "ready", "api"),
        ("workers", "worker 1", "worker"),
        ("views", "projector", "projector"),
    ):
        assert found[place, check].found == (
            f"{hangs} accepts connections but does not answer within 5 s"
        )
        assert found[place, check].fix == f"it hangs: see the log of the {name}, restart it"
    assert found["workers", "worker 2"].found.startswith(f"not reachable at {NOBODY}")


def test_no_worker_at_all() -> None:
    with NatsServer() as alone:
        settings = Settings(nats_url=alone.url, nats_monitor_urls=(alone.monitor_url,))
        asyncio.run(provision_log(settings))
        heard = look(settings)["workers", "heard"]
    assert (heard.state, heard.found) == (
        "wrong",
        "no worker reported within 3 s: no call is answered",
    )


def test_parked_sessions(good: Settings) -> None:
    async def park(count: int) -> None:
        engine = open_database(good.postgres_url)
        async with engine.begin() as connection:
            await connection.execute(text("delete from parked_sessions"))
            for number in range(count):
                await connection.execute(
                    text(
                        "insert into parked_sessions"
                        " (session_id, since_seq, error, attempts, parked_at, tried_at)"
                        " values (:session_id, 1, 'e', 1, now(), now())"
                    ),
                    {"session_id": f"s{number}"},
                )
        await engine.dispose()

    asyncio.run(park(5))
    parked = only_wrong(look(good))
    asyncio.run(park(0))
    assert (parked.check, parked.found) == ("parked", "5: s0, s1, s2 and 2 more")
    assert parked.fix.startswith("offhook parked list")


FILE = {
    "nats": "nats://127.0.0.1:4333",
    "simulator": "http://127.0.0.1:9999",
    "simulator_key": "simulator",
    "public_keys": f"{PUBLIC_KEY},other",
    "ingress": "http://127.0.0.1:9998",
}


def test_a_key_of_the_environment_that_the_roles_do_not_use() -> None:
    [same] = examine_same_settings(FILE, {"OFFHOOK_PUBLIC_KEYS": PUBLIC_KEY})
    assert same.state == "good"
    environment = {
        "OFFHOOK_CARRIER_KEY": "KEY-of-last-week",
        "OFFHOOK_NATS_URL": "nats://desk:hunter2@10.0.0.1:4222",
    }
    nats, key = examine_same_settings(FILE, environment)
    assert (key.state, nats.state) == ("wrong", "wrong")
    assert key.found == "OFFHOOK_CARRIER_KEY is not the one that the roles of the ready file use"
    assert key.fix.startswith("unset OFFHOOK_CARRIER_KEY, or restart `offhook up` with it")
    assert nats.found == (
        "OFFHOOK_NATS_URL is nats://10.0.0.1:4222; "
        "the roles of the ready file use nats://127.0.0.1:4333"
    )


def test_another_key_of_the_real_carrier_than_the_roles_have() -> None:
    file = {"carrier": "https://api.telnyx.com/v2", "carrier_key_sha256": fingerprint(KEY)}
    file["ingress"] = "http://127.0.0.1:9998"
    public = {"OFFHOOK_WEBHOOK_URL": WEBHOOKS}
    [same] = examine_same_settings(file, {"OFFHOOK_CARRIER_KEY": KEY} | public)
    assert same.state == "good"
    [other] = examine_same_settings(file, {"OFFHOOK_CARRIER_KEY": "other"})
    assert other.found == "OFFHOOK_CARRIER_KEY is not the one that the roles use"
    [none] = examine_same_settings(file, {})
    assert none.found == "OFFHOOK_CARRIER_KEY is not set here"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), ""),
        (Settings(api_host="0.0.0.0"), "http://127.0.0.1:8081"),
        (Settings(api_host="::1", api_port=9000), "http://[::1]:9000"),
        (Settings(api_port=0), ""),
    ],
)
def test_where_a_role_listens_by_the_settings(settings: Settings, expected: str) -> None:
    assert _address(settings, "api") == expected
