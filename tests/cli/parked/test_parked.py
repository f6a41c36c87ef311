"""`offhook parked`: from a flow that raises to a call that goes on."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import httpx
import pytest
from rich.console import Console
from sqlalchemy import text
from typer.testing import CliRunner

from offhook.cli.embedded.stack import CONNECTION_ID, Stack, with_free_ports
from offhook.cli.main import app
from offhook.cli.parked.run import run_list, run_retry
from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import OperatorFault
from offhook.events import CallInitiated, Decided, SessionResumed
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.projections.views.database.engine import open_database
from offhook.settings import Settings, environment_from
from tests.cli.terminal import Terminal

TIMEOUT_S = 180
MANY = 50

Found = TypeVar("Found")


@pytest.fixture(autouse=True)
def _workers_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.cli.parked.run.DECIDED_WITHIN_S", float(TIMEOUT_S))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all tests here: each leaves nothing parked."""
    settings = Settings(flows=("tests.cli.flow_parked:raising",), parked="none")
    directory = tmp_path_factory.mktemp("stack")
    with Stack(directory, with_free_ports(settings), workers=1) as stack:
        yield stack


def test_one_command_clears_all_once_the_flow_is_corrected(stack: Stack) -> None:
    assert "nothing is parked, as of position" in _list(stack)
    names = [f"broken-{number}" for number in range(MANY)]
    asyncio.run(_append_calls(stack.nats.url, names))
    _until(lambda: _list(stack), lambda text: f"{MANY} parked" in text)
    assert "`offhook parked retry --all`" in " ".join(_list(stack).split())
    is_cleared, answer = _retried(stack, rate=1_000)
    assert not is_cleared
    assert f"{MANY} sessions: {MANY} resumed, {MANY} of them parked again" in answer
    assert "broken-0: parked again: flow digits 1: ValueError: no such digit: [x]" in answer

    _restart(stack, replace(stack.settings, flows=("tests.cli.flow_parked:corrected",)))
    _until(lambda: _list(stack), lambda text: f"{MANY} parked" in text)
    began_at = time.monotonic()
    is_cleared, answer = _retried(stack, rate=MANY)
    assert is_cleared
    assert f"{MANY} sessions: {MANY} resumed\n" in answer
    assert time.monotonic() - began_at > 0.9  # it keeps the rate
    assert asyncio.run(_decisions(stack.nats.url, names)) == {
        name: [("digits", "2", ["answer"])] for name in names
    }
    _until(lambda: _list(stack), lambda text: "nothing is parked" in text)
    is_cleared, answer = _retried(stack)
    assert is_cleared
    assert "nothing is parked" in answer


def test_a_parked_call_goes_on_once_its_flow_is_corrected(stack: Stack, terminal: Terminal) -> None:
    _restart(stack, replace(stack.settings, flows=("tests.cli.flow_parked:raising",)))
    first, second = _call(stack), _call(stack)
    listed = _until(lambda: _list(stack), lambda text: "2 parked" in text)
    for session_id in (first, second):
        row = next(line for line in listed.splitlines() if session_id in line)
        assert re.search(
            r"  \+\d+ → \+\d+ +flow +[\d:]+ +[\d-]+ [\d:]+  flow digits 1: ValueError: "
            r"no such digit: \[x\]",
            row,
        )

    _restart(stack, replace(stack.settings, flows=("tests.cli.flow_parked:corrected",)))
    assert _is_parked(stack, first)

    with pytest.raises(OperatorFault, match="2 parked sessions have an id that starts with ;"):
        _retry(stack, "")
    terminal.variables.update(environment_from(stack.settings))
    answer = terminal("parked", "retry", first)
    assert answer.status == 0, answer.errors
    assert re.fullmatch(
        rf"{first}: resumed at seq [\d:]+, its flow is called again",
        " ".join(answer.output.split()),
    )
    _until(lambda: _commands(stack, first), lambda found: found == [("answer", "succeeded")])
    assert _commands(stack, second) == []
    assert not _is_parked(stack, first)
    with pytest.raises(OperatorFault, match=f"session {first} is not parked"):
        _retry(stack, first)

    _until(lambda: _list(stack), lambda text: "1 parked" in text)
    assert second in _retry(stack, second[:13])
    _until(lambda: _commands(stack, second), lambda found: found == [("answer", "succeeded")])
    _until(lambda: _list(stack), lambda text: "nothing is parked" in text)
    assert "nothing is parked" in _retry(stack)


def test_a_session_whose_records_cannot_be_read_is_listed_and_tried_again(
    stack: Stack, terminal: Terminal
) -> None:
    asyncio.run(_append_unheard(stack.nats.url, "strange"))
    listed = _until(lambda: _list(stack), lambda text: "1 parked" in text)
    assert re.search(r"strange +views +[\d:]+  ", listed)
    terminal.variables.update(environment_from(stack.settings))
    answer = terminal("parked", "retry", "--all")
    assert answer.status == 1
    said = " ".join(answer.output.split())
    assert "strange: its views still cannot be rebuilt: seq" in said
    assert "1 parked" in _list(stack)
    # As if this command were of a version that can read it.
    asyncio.run(_make_readable(stack.settings.postgres_url, "strange"))
    assert "strange: its views are rebuilt" in _retry(stack, "strange")
    assert "nothing is parked" in _list(stack)


def test_the_caller_of_a_parked_session_hears_no_silence(stack: Stack) -> None:
    flows = ("tests.cli.flow_parked:raising",)
    _restart(stack, replace(stack.settings, flows=flows, parked="hangup"))
    session_id = _call(stack)
    _until(lambda: _commands(stack, session_id), lambda found: found == [("hangup", "succeeded")])
    listed = _until(lambda: _list(stack), lambda text: "hangup: succeeded" in text)
    assert session_id in listed

    _restart(stack, replace(stack.settings, flows=("tests.cli.flow_parked:corrected",)))
    assert (
        "its flow is called again from the records after the policy (hangup: succeeded) on"
        in _retry(stack, session_id)
    )
    _until(lambda: _list(stack), lambda text: "nothing is parked" in text)
    assert _commands(stack, session_id) == [("hangup", "succeeded")]


@pytest.mark.parametrize("arguments", [["retry"], ["retry", "--all", "s"]])
def test_which_sessions_must_be_said(arguments: list[str]) -> None:
    answer = CliRunner().invoke(app, ["parked", *arguments])
    assert answer.exit_code == 2
    assert "name sessions, or use --all" in answer.output


def _restart(stack: Stack, settings: Settings) -> None:
    stack.stop("worker-1")
    stack.settings = settings
    stack.start("worker-1")
    stack.wait_ready("worker-1")


async def _append_calls(url: str, names: Sequence[str]) -> None:
    client = await connect(url, "test")
    log = JetStreamLog(client)
    for name in names:
        event = CallInitiated(
            event_id=f"event-{name}",
            call_control_id=f"v3:{name}",
            call_session_id=name,
            direction="incoming",
            from_="+12025550170",
            to="+12025550101",
        )
        await log.append(name, "in", encoded_webhook(wire_body(event), event.event_id))
    await close(client)


async def _decisions(url: str, names: Sequence[str]) -> dict[str, list[tuple[str, str, list[str]]]]:
    """Flow, version and operations of each decision on the first record of each call."""
    client = await connect(url, "test")
    log = JetStreamLog(client)
    found = {}
    for name in names:
        records = await log.read(name)
        found[name] = [
            (fact.flow, fact.flow_version, [command.operation for command in fact.commands])
            for fact in (record.fact for record in records)
            if isinstance(fact, Decided) and fact.cause_seq == records[0].seq
        ]
    await close(client)
    return found


async def _append_unheard(url: str, session_id: str) -> None:
    client = await connect(url, "test")
    unheard = Encoded(type="Unheard", version=1, fact_id="", body=b"{}")
    await JetStreamLog(client).append(session_id, "out", unheard)
    await close(client)


async def _make_readable(url: str, session_id: str) -> None:
    resumed = encode(SessionResumed(), session_id)
    engine = open_database(url)
    async with engine.begin() as connection:
        await connection.execute(
            text("update event_log set type = :type, body = :body where session_id = :session_id"),
            {"type": resumed.type, "body": resumed.body, "session_id": session_id},
        )
    await engine.dispose()


def _call(stack: Stack) -> str:
    placed = httpx.post(
        f"{stack.addresses['simulator']}/simulator/calls",
        json={
            "from": "+12025550170",
            "to": "+12025550101",
            "connection_id": CONNECTION_ID,
            "patience_s": 600,
        },
        timeout=60,
    )
    session_id: str = placed.raise_for_status().json()["data"]["call_session_id"]
    _until(lambda: _answer(stack, session_id).status_code, lambda status: status != 404)
    return session_id


def _detail(stack: Stack, session_id: str) -> dict[str, object]:
    found: dict[str, object] = _answer(stack, session_id).raise_for_status().json()["data"]
    return found


def _answer(stack: Stack, session_id: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {stack.token}"}
    return httpx.get(f"{stack.addresses['api']}/sessions/{session_id}", headers=headers, timeout=60)


def _is_parked(stack: Stack, session_id: str) -> bool:
    session = _detail(stack, session_id)["session"]
    assert isinstance(session, dict)
    return bool(session["parked"])


def _commands(stack: Stack, session_id: str) -> list[tuple[str, str]]:
    commands = _detail(stack, session_id)["commands"]
    assert isinstance(commands, list)
    return [(each["operation"], each["status"]) for each in commands]


def _list(stack: Stack) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        run_list(console, stack.settings)
    return captured.get()


def _retry(stack: Stack, *session_ids: str) -> str:
    return _retried(stack, *session_ids)[1]


def _retried(stack: Stack, *session_ids: str, rate: float = 50) -> tuple[bool, str]:
    """Whether nothing of it is parked any more, and what was printed."""
    console = Console(width=160)
    with console.capture() as captured:
        is_cleared = run_retry(
            console, stack.settings, session_ids, every=not session_ids, rate=rate
        )
    return is_cleared, captured.get()


def _until(ask: Callable[[], Found], is_good: Callable[[Found], bool]) -> Found:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_good(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found
