"""The log goes away and comes back: 503 in time, and nothing that was answered 200 is lost."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.message import ID_HEADER
from tests.frozen import frozen
from tests.guarded_nats import GuardedNats
from tests.ingress.stand import (
    PATH,
    PATIENCE_S,
    PATIENT_LOG_TIMEOUT_S,
    Ingress,
    body_of,
    post,
    provisioned,
    running_ingress,
    settings_on,
    signed,
    stored,
    until,
)

ANSWER_MAX_S = 7.0
"""1.5 s for the log, and room for a busy machine; without a limit of its own, ingress would wait
for the log for 8 s."""

SENDERS = 8
UNDER_WAY = 40
TRIES_MAX = 8


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """One that a test may stop."""
    with NatsServer() as own:
        asyncio.run(provisioned(own))
        yield own


@pytest.fixture
def ingress(server: NatsServer, tmp_path: Path) -> Iterator[Ingress]:
    with running_ingress(settings_on(server), tmp_path / "log") as running:
        yield running


@pytest.fixture
def patient_ingress(server: NatsServer, tmp_path: Path) -> Iterator[Ingress]:
    """One that waits for the log longer than a busy machine takes for anything."""
    settings = settings_on(server)
    with running_ingress(settings, tmp_path / "log", PATIENT_LOG_TIMEOUT_S) as running:
        yield running


async def tries_until_in_time(ask: Callable[[], Awaitable[None]]) -> int:
    """How often it was asked until an answer was in time; a busy machine gets some tries."""
    for tries in range(1, TRIES_MAX + 1):
        started = time.monotonic()
        await ask()
        if time.monotonic() - started < ANSWER_MAX_S:
            return tries
    raise AssertionError(f"{TRIES_MAX} times no answer in {ANSWER_MAX_S} s")


async def heard_all_before(ingress: Ingress) -> None:
    """Once it has read what was sent to it before: it answers what comes after that."""
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        assert (await http.get(f"{ingress.url}/health/live")).status_code == 200


async def is_ending(ingress: Ingress) -> bool:
    """Whether it takes no connections any more."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    except OSError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


async def ids_in_the_log(server: NatsServer, session_id: str) -> Counter[str]:
    client = await connect(server.url, "test")
    try:
        messages = await stored(client, session_id)
    finally:
        await close(client)
    return Counter((message.headers or {})[ID_HEADER] for message in messages)


async def test_without_the_log_a_webhook_is_answered_503_in_time_and_taken_later(
    server: NatsServer, ingress: Ingress, http: httpx.AsyncClient
) -> None:
    session_id = str(uuid.uuid4())
    bodies = {
        name: body_of(event_id=name, session_id=session_id)
        for name in ("before", "during", "after")
    }

    async def taken(name: str) -> bool:
        return (await post(http, bodies[name])).status_code == 200

    await until(lambda: taken("before"))
    await asyncio.to_thread(server.stop)
    refused_before = ingress.counted("log_unavailable")

    async def is_refused() -> None:
        assert (await post(http, bodies["during"])).status_code == 503

    tries = await tries_until_in_time(is_refused)
    assert ingress.counted("log_unavailable") == refused_before + tries

    await asyncio.to_thread(server.start)
    await until(lambda: taken("during"))
    await until(lambda: taken("after"))
    assert await ids_in_the_log(server, session_id) == {"before": 1, "during": 1, "after": 1}


async def test_many_at_once_are_all_answered_503_in_time(
    server: NatsServer, http: httpx.AsyncClient
) -> None:
    await asyncio.to_thread(server.stop)

    async def are_refused() -> None:
        answers = await asyncio.gather(*[post(http, body_of()) for _ in range(UNDER_WAY)])
        assert {answer.status_code for answer in answers} == {503}

    await tries_until_in_time(are_refused)


async def test_a_log_that_hangs_is_a_log_that_is_away(
    server: NatsServer, http: httpx.AsyncClient
) -> None:
    session_id = str(uuid.uuid4())
    body = body_of(event_id="late", session_id=session_id)

    async def is_refused() -> None:
        assert (await post(http, body)).status_code == 503

    with frozen(server.pid):
        await tries_until_in_time(is_refused)

    async def taken() -> bool:
        return (await post(http, body)).status_code == 200

    await until(taken)
    assert await ids_in_the_log(server, session_id) == {"late": 1}


async def test_a_killed_log_loses_nothing_that_was_answered_200(
    server: NatsServer, http: httpx.AsyncClient
) -> None:
    session_id = str(uuid.uuid4())
    taken: list[str] = []
    refused = 0
    stopping = asyncio.Event()

    async def send() -> None:
        nonlocal refused
        while not stopping.is_set():
            event_id = str(uuid.uuid4())
            body = body_of(event_id=event_id, session_id=session_id)
            # As the carrier does: the same webhook again until it is taken.
            while (await post(http, body)).status_code != 200:
                refused += 1
                await asyncio.sleep(0.05)
            taken.append(event_id)

    async def more_are_taken() -> bool:
        return len(taken) > taken_before + SENDERS

    async def more_are_refused() -> bool:
        return refused > refused_before

    senders = [asyncio.create_task(send()) for _ in range(SENDERS)]
    for _ in range(2):
        taken_before, refused_before = len(taken), refused
        await until(more_are_taken)
        await asyncio.to_thread(server.kill)
        await until(more_are_refused)
        await asyncio.to_thread(server.start)
    taken_before = len(taken)
    await until(more_are_taken)
    stopping.set()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*senders)

    assert await ids_in_the_log(server, session_id) == Counter(taken)


async def test_readiness_follows_the_log_and_liveness_does_not(
    server: NatsServer, http: httpx.AsyncClient
) -> None:
    await asyncio.to_thread(server.stop)
    ready = await http.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    assert server.monitor_url in ready.json()["because"]
    assert (await http.get("/health/live")).status_code == 200

    await asyncio.to_thread(server.start)

    async def is_ready() -> bool:
        return (await http.get("/health/ready")).status_code == 200

    await until(is_ready)


class _Small(NatsServer):
    """A server that may store next to nothing."""

    def _config(self) -> str:
        limit = "sync_interval: always\n max_file_store: 200000"
        return super()._config().replace("sync_interval: always", limit)


async def test_a_full_store_is_told_in_the_answer_by_readiness_and_in_the_metrics(
    tmp_path: Path,
) -> None:
    with _Small(tmp_path / "nats") as small:
        await asyncio.to_thread(lambda: asyncio.run(provisioned(small)))
        with running_ingress(settings_on(small), tmp_path / "log") as running:
            async with httpx.AsyncClient(
                base_url=running.url, trust_env=False, timeout=PATIENCE_S
            ) as http:
                said = "insufficient resources (code 503, err_code 10023)"
                for _ in range(50):  # one may only be slow
                    answer = await post(http, body_of(text="x" * 90_000))
                    if said in answer.text:
                        break
                assert (answer.status_code, said in answer.text) == (503, True), answer.text

                async def is_red() -> bool:
                    ready = await http.get("/health/ready")
                    return ready.status_code == 503 and "of 200,000 bytes" in ready.text

                await until(is_red)
                assert "offhook_log_writable 0.0" in (await http.get("/metrics")).text
            assert said in str(running.log_lines())


async def test_ingress_ends_in_order_also_while_the_log_is_away(
    server: NatsServer, ingress: Ingress
) -> None:
    await asyncio.to_thread(server.stop)

    async def has_noticed() -> bool:
        return any(line["what"] == "nats disconnected" for line in ingress.log_lines())

    await until(has_noticed)
    ingress.terminate()
    assert await asyncio.to_thread(ingress.process.wait, PATIENCE_S) == 0
    assert "Traceback" not in ingress.log_path.read_text()


async def test_ingress_that_the_log_no_longer_lets_in_ends_and_says_so(tmp_path: Path) -> None:
    with GuardedNats() as nats:
        await provisioned(nats)
        with running_ingress(settings_on(nats), tmp_path / "log") as ingress:
            await asyncio.to_thread(nats.refuse)
            status = await asyncio.to_thread(ingress.process.wait, PATIENCE_S)
    assert status == 1
    told = (tmp_path / "log").read_text()
    assert "LogUnavailable: the NATS server refuses this ingress: " in told
    assert "Authorization Violation" in told


async def test_sigterm_lets_webhooks_under_way_be_answered(
    server: NatsServer, patient_ingress: Ingress
) -> None:
    ingress, session_id = patient_ingress, str(uuid.uuid4())
    bodies = [body_of(session_id=session_id) for _ in range(UNDER_WAY)]
    sent = 0

    async def count(event: str, _: object) -> None:
        nonlocal sent
        sent += event == "http11.send_request_body.complete"

    async def all_sent() -> bool:
        return sent == UNDER_WAY

    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:

        async def webhook(body: bytes) -> int:
            extensions = {"trace": count}
            url, headers = f"{ingress.url}{PATH}", signed(body)
            answer = await http.post(url, content=body, headers=headers, extensions=extensions)
            return answer.status_code

        with frozen(server.pid):
            answers = [asyncio.create_task(webhook(body)) for body in bodies]
            await until(all_sent)
            await heard_all_before(ingress)
            ingress.terminate()
            await until(lambda: is_ending(ingress))
            assert ingress.process.poll() is None
        assert set(await asyncio.gather(*answers)) == {200}
    assert await asyncio.to_thread(ingress.process.wait, PATIENCE_S) == 0
    assert sum((await ids_in_the_log(server, session_id)).values()) == UNDER_WAY


async def test_sigterm_waits_for_the_rest_of_a_body(
    server: NatsServer, patient_ingress: Ingress
) -> None:
    ingress, session_id = patient_ingress, str(uuid.uuid4())
    body = body_of(event_id="half", session_id=session_id)
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    start = f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    writer.write(start.encode() + body[:50])
    await writer.drain()
    await heard_all_before(ingress)
    ingress.terminate()
    await until(lambda: is_ending(ingress))
    writer.write(body[50:])
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    assert await asyncio.to_thread(ingress.process.wait, PATIENCE_S) == 0
    assert await ids_in_the_log(server, session_id) == {"half": 1}
