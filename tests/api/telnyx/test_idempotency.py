"""Requests that are repeated, by a caller or by its SDK: the same answer, once in effect."""

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message
from telnyx import ConflictError

from offhook.api.auth import Caller, tokens_from
from offhook.api.errors import ErrorAnswer, refusal
from offhook.api.telnyx.idempotency import Idempotency
from offhook.api.telnyx.requests import request_from
from offhook.codec.facts import encode
from offhook.events import CommandRequested, session_id_from
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from tests.api.recorder import Answer, Recorder
from tests.api.stack import ADMIN, COMMANDER, OURS, Stack, sdk_at, until

IDS = {"call_control_id": "v3:placed", "call_session_id": "s", "call_leg_id": "l"}


def a_number() -> str:
    """For one test alone, so that what is asked about it is told apart."""
    return f"+1202{secrets.randbelow(9_000_000) + 1_000_000}"


def dialling(to: str, **more: Any) -> dict[str, Any]:
    return {"to": to, "from": OURS, "connection_id": "1", **more}


async def dial(
    stack: Stack, to: str, headers: dict[str, str] | None = None, token: str = COMMANDER
) -> Any:
    async with stack.http(token) as http:
        return await http.post("/v2/calls", json=dialling(to), headers=headers)


AGAIN = {"x-stainless-retry-count": "1"}


async def dial_again(
    stack: Stack, to: str, token: str = COMMANDER, *, unsure: tuple[int, ...] = (503,), **more: Any
) -> Any:
    """What a retry is answered, once the API has the views' and the connections' latest news."""

    async def told() -> Any:
        async with stack.http(token) as http:
            answer = await http.post("/v2/calls", json=dialling(to, **more), headers=AGAIN)
        return None if answer.status_code in unsure else answer

    return await until(told, "an answer to a retry")


@asynccontextmanager
async def hanging(stack: Stack, body: dict[str, Any]) -> AsyncIterator[None]:
    """A client of its own that has sent a dial; the connection is dropped at the block's end."""
    host, port = stack.api_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps(body).encode()
    writer.write(
        b"POST /v2/calls HTTP/1.1\r\nhost: offhook\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
        % (COMMANDER.encode(), len(content), content)
    )
    await writer.drain()
    try:
        yield
    finally:
        writer.transport.abort()


async def dropped(stack: Stack, recorder: Recorder, body: dict[str, Any]) -> threading.Event:
    """A dial whose caller went away while the carrier had it; set the event to let it answer."""
    held = threading.Event()
    recorder.answer(body["to"], Answer(body={"data": IDS}, held=held))

    async def at_the_carrier() -> bool:
        return bool(recorder.asked(body["to"]))

    async with hanging(stack, body):
        await until(at_the_carrier, "the dial at the carrier")
    return held


async def test_a_caller_that_hangs_up_and_repeats_gets_the_answer_of_its_one_call(
    recorded: Stack, recorder: Recorder
) -> None:
    body = dialling(a_number(), command_id=secrets.token_hex(8))
    held = await dropped(recorded, recorder, body)
    async with recorded.http(COMMANDER) as http:
        again = asyncio.create_task(http.post("/v2/calls", json=body))
        held.set()
        assert (await again).json() == {"data": IDS}
        assert (await http.post("/v2/calls", json=body)).json() == {"data": IDS}
    assert len(recorder.asked(body["to"])) == 1


async def test_a_refusal_is_told_again_and_not_asked_for_again(
    recorded: Stack, recorder: Recorder
) -> None:
    body = dialling(a_number(), command_id=secrets.token_hex(8))
    errors = [{"code": "10015", "title": "Bad Request", "detail": "The carrier's own."}]
    recorder.answer(body["to"], Answer(status=422, body={"errors": errors}))
    async with recorded.http(COMMANDER) as http:
        answers = [await http.post("/v2/calls", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert [answer.json() for answer in answers] == [{"errors": errors}] * 2
    assert len(recorder.asked(body["to"])) == 1


async def test_an_sdk_that_repeats_by_itself_without_a_command_id_dials_once(
    recorded: Stack, recorder: Recorder
) -> None:
    to = a_number()
    held = await dropped(recorded, recorder, dialling(to))
    # That the connection is gone may come to the API's ears a moment later than the retry.
    again = asyncio.create_task(dial_again(recorded, to, unsure=(409,)))
    held.set()
    answer = await again
    assert answer.status_code == 200
    assert answer.json() == {"data": IDS}
    (asked,) = recorder.asked(to)
    assert asked.json["command_id"] == answer.headers["offhook-command-id"]


async def test_what_was_answered_is_not_what_a_retry_repeats(
    recorded: Stack, recorder: Recorder
) -> None:
    to = a_number()
    first = await dial(recorded, to)
    second = await dial_again(recorded, to)
    assert first.headers["offhook-command-id"] != second.headers["offhook-command-id"]
    assert len(recorder.asked(to)) == 2


async def test_a_retry_of_what_seems_to_be_waited_for_is_refused(
    recorded: Stack, recorder: Recorder
) -> None:
    """The caller may be another one, or the same behind a proxy that holds the connection."""
    to, held = a_number(), threading.Event()
    recorder.answer(to, Answer(body={"data": IDS}, held=held))
    first = asyncio.create_task(dial(recorded, to))

    async def at_the_carrier() -> bool:
        return bool(recorder.asked(to))

    await until(at_the_carrier, "the dial at the carrier")
    refused = await dial_again(recorded, to)
    held.set()
    assert refused.status_code == 409
    assert refused.headers["x-should-retry"] == "false"
    answered = await first
    assert answered.json() == {"data": IDS}
    assert refused.headers["offhook-command-id"] == answered.headers["offhook-command-id"]
    assert len(recorder.asked(to)) == 1


async def test_only_a_retry_takes_up_what_its_caller_left(
    recorded: Stack, recorder: Recorder
) -> None:
    to = a_number()
    (await dropped(recorded, recorder, dialling(to))).set()
    await dial(recorded, to)
    assert len(recorder.asked(to)) == 2


async def test_a_retry_of_another_token_or_another_command_is_a_new_one(
    recorded: Stack, recorder: Recorder
) -> None:
    to = a_number()
    (await dropped(recorded, recorder, dialling(to))).set()
    await dial_again(recorded, to, token=ADMIN)
    await dial_again(recorded, to, timeout_secs=9)
    assert len(recorder.asked(to)) == 3


async def test_an_idempotency_key_makes_every_request_with_it_one_command(
    recorded: Stack, recorder: Recorder
) -> None:
    to, key = a_number(), {"Idempotency-Key": secrets.token_hex(8)}
    answers = await asyncio.gather(*(dial(recorded, to, key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["offhook-command-id"] for answer in answers}) == 1
    assert len(recorder.asked(to)) == 1
    other = await dial(recorded, a_number(), key)
    assert other.status_code == 422
    assert other.json()["errors"][0]["source"] == {"pointer": "/command_id"}
    assert (await dial(recorded, to, key, token=ADMIN)).status_code == 200
    assert len(recorder.asked(to)) == 2
    assert (await dial(recorded, to, {"Idempotency-Key": ""})).status_code == 422


async def test_the_official_sdk_may_give_an_idempotency_key(
    recorded: Stack, recorder: Recorder
) -> None:
    to, key = a_number(), {"Idempotency-Key": secrets.token_hex(8)}
    async with sdk_at(f"{recorded.api_url}/v2", COMMANDER, max_retries=2) as telnyx:
        for _ in range(2):
            await telnyx.calls.dial(to=to, from_=OURS, connection_id="1", extra_headers=key)
    assert len(recorder.asked(to)) == 1


async def requested_elsewhere(stack: Stack, to: str, token: str = COMMANDER) -> str:
    """The command_id of a dial that another process of the API has put into the log."""
    caller = tokens_from(stack.settings.api_tokens).caller(token)
    assert caller is not None
    command = request_from("dial", None, json.dumps(dialling(to)).encode()).command
    session_id = session_id_from(command.command_id)
    client = await connect(stack.settings.nats_url, "test")
    fact = CommandRequested(command=command, requested_by=caller.name)
    await JetStreamLog(client).append(session_id, "in", encode(fact, session_id))
    await close(client)
    return command.command_id


async def test_a_retry_of_what_another_process_took_is_refused_by_the_name_of_that_command(
    recorded: Stack, recorder: Recorder
) -> None:
    """That process may have been killed before it answered, or its caller has the answer."""
    to = a_number()
    recorder.answer(to, Answer(body={"data": IDS}))
    command_id = await requested_elsewhere(recorded, to)
    async with sdk_at(f"{recorded.api_url}/v2", COMMANDER, max_retries=2) as telnyx:
        with pytest.raises(ConflictError) as raised:
            await telnyx.calls.dial(to=to, from_=OURS, connection_id="1", extra_headers=AGAIN)
        (error,) = raised.value.response.json()["errors"]
        assert error["code"] == "10012"
        assert command_id in error["detail"]
        answer = await telnyx.calls.dial(
            to=to, from_=OURS, connection_id="1", command_id=command_id, extra_headers=AGAIN
        )
    assert answer.data is not None
    assert answer.data.call_control_id == IDS["call_control_id"]
    assert len(recorder.asked(to)) == 1


async def test_a_retry_after_what_had_no_effect_or_was_another_tokens_is_a_new_command(
    recorded: Stack, recorder: Recorder
) -> None:
    refused, anothers = a_number(), a_number()
    recorder.answer(refused, Answer(status=422, body={"errors": [{"code": "10016"}]}))
    for to, token in ((refused, COMMANDER), (anothers, ADMIN)):
        await requested_elsewhere(recorded, to, token)

        async def at_the_carrier(to: str = to) -> bool:
            return bool(recorder.asked(to))

        await until(at_the_carrier, "the dial at the carrier")
    assert (await dial_again(recorded, anothers)).status_code == 200
    # Its failure may come into the views a moment later than the retry.
    assert (await dial_again(recorded, refused, unsure=(409, 503))).status_code == 422
    assert len(recorder.asked(refused)) == len(recorder.asked(anothers)) == 2


async def test_a_retry_that_finds_no_room_leaves_its_first_try_open() -> None:
    """Or the next retry would be a second call, and nobody knows what came of the first."""

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def waiting() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nothing more comes")

    def trying(count: bytes) -> Request:
        headers = [(b"x-stainless-retry-count", count)]
        return Request({"type": "http", "headers": headers}, gone if count == b"0" else waiting)

    unasked: Any = None  # neither views nor log have to be
    idempotency = Idempotency(views=unasked, log=unasked, now=lambda: datetime.now(UTC))
    caller = Caller(name="a", scope="command")
    body = json.dumps(dialling(a_number())).encode()
    meant: list[str] = []
    for count in (b"0", b"1", b"2"):
        with suppress(ErrorAnswer):
            async with idempotency.resolved(
                request_from("dial", None, body), caller, trying(count)
            ) as asked:
                meant.append(asked.command.command_id)
                if count == b"1":
                    raise refusal(429, "10011", "2000 commands wait already; nothing was done")
    assert len(meant) == 3
    assert len(set(meant)) == 1
