"""The official SDK's exceptions, one by one: raised as the carrier itself would make them.

    what                                  where it comes from
    400, 401, 403, 404, 409, 422          the carrier's answer to a command, with its own errors
    401, 403, 404, 422, 429, 504          Offhook's own answer, in the same shape
    anything, 429 and 5xx too             the carrier's answer about an application, as it is

The carrier's 429 and 5xx to a command are no answers: a worker tries again.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from nats.aio.client import Client
from telnyx import (
    APIStatusError,
    AsyncTelnyx,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)

from offhook.api.auth import tokens_from
from offhook.api.errors import install
from offhook.api.freshness import Views
from offhook.api.metrics import Metrics
from offhook.api.telnyx.calls import calls_router
from offhook.api.telnyx.commands import CommandRunner
from offhook.api.telnyx.idempotency import Idempotency
from offhook.api.telnyx.legs import Legs
from offhook.api.telnyx.outcomes import Outcomes
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.lookup import StreamLookup
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.progress.waiting import PositionWatch
from tests.api.recorder import Answer, Recorder
from tests.api.stack import ADMIN, CARRIER_KEY, OURS, READER, Stack, sdk_at


def utc_now() -> datetime:
    return datetime.now(UTC)


Raised = type[APIStatusError]

KINDS: dict[int, Raised] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    500: InternalServerError,
    503: InternalServerError,
}
ERRORS = [
    {
        "code": "90099",
        "title": "A title of the carrier's",
        "detail": "A detail of the carrier's.",
        "source": {"pointer": "/to"},
        "meta": {"url": "https://developers.telnyx.com/docs/overview/errors/90099"},
    },
    {"code": "10015", "title": "Bad Request"},
]
HEADERS = {
    "retry-after": "7",
    "x-ratelimit-limit": "40",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset": "7",
}
FINAL = [400, 401, 403, 404, 409, 422]


@pytest.fixture(params=["api", "carrier"])
async def either(
    request: pytest.FixtureRequest, recorded: Stack, recorder: Recorder
) -> AsyncIterator[AsyncTelnyx]:
    """The official SDK at the API with the recorder behind it, and at the recorder itself."""
    url, key = (
        (f"{recorded.api_url}/v2", ADMIN) if request.param == "api" else (recorder.url, CARRIER_KEY)
    )
    async with sdk_at(url, key) as client:
        yield client


def as_told(raised: pytest.ExceptionInfo[APIStatusError]) -> Any:
    """The whole body that the SDK's exception carries."""
    assert raised.value.body == raised.value.response.json()
    return raised.value.body


@pytest.mark.parametrize("status", FINAL)
async def test_the_carriers_refusal_of_a_dial(
    either: AsyncTelnyx, recorder: Recorder, status: int
) -> None:
    to = f"+1202{secrets.randbelow(9_000_000) + 1_000_000}"
    recorder.answer(to, Answer(status=status, body={"errors": ERRORS}))
    with pytest.raises(KINDS[status]) as raised:
        await either.calls.dial(to=to, from_=OURS, connection_id="1")
    assert raised.value.status_code == status
    assert as_told(raised) == {"errors": ERRORS}


@pytest.mark.parametrize("status", FINAL)
async def test_the_carriers_refusal_of_an_action(
    either: AsyncTelnyx, recorder: Recorder, status: int
) -> None:
    leg = f"v3:{secrets.token_hex(16)}"
    recorder.answer(leg, Answer(status=status, body={"errors": ERRORS}))
    with pytest.raises(KINDS[status]) as raised:
        await either.calls.actions.answer(leg)
    assert raised.value.status_code == status
    assert as_told(raised) == {"errors": ERRORS}


@pytest.mark.parametrize("status", KINDS)
async def test_the_carriers_answer_about_an_application(
    either: AsyncTelnyx, recorder: Recorder, status: int
) -> None:
    application_id = secrets.token_hex(8)
    recorder.answer(application_id, Answer(status=status, body={"errors": ERRORS}, headers=HEADERS))
    with pytest.raises(KINDS[status]) as raised:
        await either.call_control_applications.retrieve(application_id)
    assert raised.value.status_code == status
    assert as_told(raised) == {"errors": ERRORS}
    told = raised.value.response.headers
    assert {name: told[name] for name in HEADERS} == HEADERS


async def test_a_refusal_of_the_carriers_that_says_nothing(
    recorded: Stack, recorder: Recorder
) -> None:
    leg = f"v3:{secrets.token_hex(16)}"
    recorder.answer(leg, Answer(status=400, body="no errors in here"))
    async with sdk_at(f"{recorded.api_url}/v2", ADMIN) as telnyx:
        with pytest.raises(BadRequestError) as raised:
            await telnyx.calls.actions.answer(leg)
    (error,) = as_told(raised)["errors"]
    assert error["code"] == "10015"
    assert "400" in error["detail"]


async def test_what_the_sdk_repeats_by_itself_after_a_conflict_is_a_command_of_its_own(
    recorded: Stack, recorder: Recorder
) -> None:
    """The carrier refused the first, so nothing was done, and the SDK repeats every 409."""
    leg = f"v3:{secrets.token_hex(16)}"
    recorder.answer(leg, Answer(status=409, body={"errors": ERRORS}))
    async with sdk_at(f"{recorded.api_url}/v2", ADMIN, max_retries=1) as telnyx:
        with pytest.raises(ConflictError):
            await telnyx.calls.actions.answer(leg)
    first, second = recorder.asked(leg)
    assert first.json["command_id"] != second.json["command_id"]


async def test_offhooks_own(recorded: Stack) -> None:
    url, leg = f"{recorded.api_url}/v2", f"v3:{secrets.token_hex(16)}"
    async with (
        sdk_at(url, ADMIN) as admin,
        sdk_at(url, READER) as reader,
        sdk_at(url, "unknown") as stranger,
    ):
        cases: list[tuple[Any, Raised, str, str]] = [
            (admin.post("/calls", cast_to=object, body=[1]), BadRequestError, "10023", "JSON"),
            (stranger.calls.actions.answer(leg), AuthenticationError, "10009", "unknown"),
            (reader.calls.actions.answer(leg), PermissionDeniedError, "10010", "'read'"),
            (admin.calls.retrieve_status(leg), UnprocessableEntityError, "90015", leg),
            (admin.get("/nowhere", cast_to=object), NotFoundError, "10005", "/v2/nowhere"),
            (
                admin.calls.actions.reject(leg, cause="no"),  # type: ignore[arg-type]
                UnprocessableEntityError,
                "10032",
                "reject: cause is 'no'",
            ),
        ]
        for asking, kind, code, words in cases:
            with pytest.raises(kind) as raised:
                await asking
            (error,) = as_told(raised)["errors"]
            assert error["code"] == code
            assert error["title"]
            assert words in error["detail"]


@asynccontextmanager
async def unconnected(
    free_port: int, *, waiting_max: int = 10
) -> AsyncIterator[tuple[AsyncTelnyx, PositionWatch]]:
    """An API whose log and Postgres are not there, and its watch of Postgres."""
    engine = open_database(f"postgresql://postgres@127.0.0.1:{free_port}/nothing")
    client = Client()  # not connected: whatever went on would fail otherwise
    log = JetStreamLog(client)
    stream = StreamLookup(client)
    watch = PositionWatch(engine)
    views = Views(engine, watch, stream, utc_now)
    legs, outcomes = Legs(views), Outcomes(client, log, waiting_max=waiting_max)
    app = FastAPI()
    app.include_router(
        calls_router(
            tokens=tokens_from([f"admin:{ADMIN}"]),
            commands=CommandRunner(
                log=log, stream=stream, outcomes=outcomes, legs=legs, answer_timeout_s=60.0
            ),
            idempotency=Idempotency(views=views, log=log, now=utc_now),
            metrics=Metrics(),
        )
    )
    install(app)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    async with AsyncTelnyx(
        api_key=ADMIN, base_url="http://api/v2", http_client=http, max_retries=0
    ) as telnyx:
        yield telnyx, watch
    await engine.dispose()


async def test_too_many_commands_at_once(free_port: int) -> None:
    """Nothing was appended, so the SDK may repeat it, after the seconds that it is told."""
    async with unconnected(free_port, waiting_max=0) as (telnyx, _):
        with pytest.raises(RateLimitError) as raised:
            await telnyx.calls.dial(to="+12025550110", from_=OURS, connection_id="1")
    (error,) = as_told(raised)["errors"]
    assert error["code"] == "10011"
    assert "nothing was done" in error["detail"]
    assert raised.value.response.headers["retry-after"] == "1"
    assert "x-should-retry" not in raised.value.response.headers


async def test_a_command_while_postgres_is_silent_names_no_wait(free_port: int) -> None:
    async with unconnected(free_port) as (telnyx, watch):
        watch.silence.begin()
        with pytest.raises(InternalServerError) as raised:
            await telnyx.calls.actions.answer("v3:leg")
    (error,) = as_told(raised)["errors"]
    assert raised.value.status_code == 503
    assert error["detail"] == "The views cannot be read: Postgres does not answer"
