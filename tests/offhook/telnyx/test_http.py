"""The one HTTP client: what it sends, what it refuses, what it says when there is no answer."""

import gc
import weakref

import httpx
import pytest

from offhook.errors import SettingInvalid
from offhook.telnyx.http import HttpAnswer, NoHttpAnswer, TelnyxHttp

URL = "https://carrier.example/v2"


def recording(seen: list[httpx.Request]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"{}", headers={"X-Request-Id": "r"})

    return httpx.MockTransport(answer)


async def test_without_a_key_no_authorization_is_sent() -> None:
    seen: list[httpx.Request] = []
    for key in ("", "KEY1"):
        async with TelnyxHttp(
            base_url=URL, key=key, timeout_s=5, transport=recording(seen)
        ) as http:
            answer = await http.request("GET", "/calls", query={"page[size]": "1"})
    assert isinstance(answer, HttpAnswer)
    assert (answer.status, answer.body, answer.headers["x-request-id"]) == (200, b"{}", "r")
    assert [request.headers.get("authorization") for request in seen] == [None, "Bearer KEY1"]
    assert str(seen[0].url) == f"{URL}/calls?page%5Bsize%5D=1"


async def test_a_requests_own_headers_replace_the_usual_ones() -> None:
    seen: list[httpx.Request] = []
    async with TelnyxHttp(base_url=URL, key="K", timeout_s=5, transport=recording(seen)) as http:
        await http.request("GET", "/calls", headers=[(b"accept", b"\xff/*")])
    accepted = [value for name, value in seen[0].headers.raw if name.lower() == b"accept"]
    assert accepted == [b"\xff/*"]


async def test_an_answer_is_freed_without_the_garbage_collector() -> None:
    responses: list[weakref.ref[httpx.Response]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        response = httpx.Response(200, stream=httpx.ByteStream(b"{}"))
        responses.append(weakref.ref(response))
        return response

    gc.disable()
    try:
        async with TelnyxHttp(
            base_url=URL, key="K", timeout_s=5, transport=httpx.MockTransport(answer)
        ) as http:
            for _ in range(3):
                assert await http.request("POST", "/calls", content=b"{}") is not None
        assert [response() for response in responses] == [None, None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("error", "maybe_taken"),
    [(httpx.ConnectError("refused"), False), (httpx.ReadError("reset"), True)],
)
async def test_no_answer_says_whether_the_request_may_have_arrived(
    error: Exception, maybe_taken: bool
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    transport = httpx.MockTransport(fail)
    async with TelnyxHttp(base_url=URL, key="K", timeout_s=5, transport=transport) as http:
        answer = await http.request("POST", "/calls", content=b"{}")
    detail = f"{type(error).__name__}: {error}"
    assert answer == NoHttpAnswer(detail=detail, maybe_taken=maybe_taken)


def test_errors_name_the_setting_and_never_the_key() -> None:
    with pytest.raises(SettingInvalid, match=r"^the token for the API is not valid") as raised:
        TelnyxHttp(base_url=URL, key="hush hush", timeout_s=5, key_name="the token for the API")
    assert "hush" not in str(raised.value)
    with pytest.raises(SettingInvalid, match=r"^the address of the API is 'localhost:1'"):
        TelnyxHttp(base_url="localhost:1", key="", timeout_s=5, url_name="the address of the API")
