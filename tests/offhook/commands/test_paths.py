"""Ids in paths that are requested with the account's key: none leads to another path."""

from collections.abc import Callable

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.commands.catalog import check, path_of
from offhook.commands.paths import call_path
from offhook.errors import ParameterInvalid
from offhook.events import IssuedCommand
from offhook.telnyx.client import Carrier
from offhook.telnyx.paths import active_calls_path, application_path

OUTSIDE = [
    "",
    ".",
    "..",
    "../x",
    "a/../b",
    "..\\x",
    "/",
    "a/",
    "/a",
    "a//b",
    "a b",
    "é",
    "a\n",
    "\udc80",
]
"""What is no id: the last one is a byte of a command line that is not UTF-8."""

ODD = {"v3:a/b": "v3:a%2Fb", "a?b#c": "a%3Fb%23c", "%2e%2e": "%252e%252e", "a..b": "a..b"}
PATHS: list[tuple[Callable[[str], str], str]] = [
    (call_path, "/calls/{}"),
    (lambda text: path_of("hangup", text), "/calls/{}/actions/hangup"),
    (active_calls_path, "/connections/{}/active_calls"),
    (application_path, "/call_control_applications/{}"),
]


@pytest.mark.parametrize(("path", "shape"), PATHS)
@pytest.mark.parametrize("text", OUTSIDE)
def test_an_id_that_leads_elsewhere_is_refused(
    path: Callable[[str], str], shape: str, text: str
) -> None:
    with pytest.raises(ParameterInvalid, match="expected printable ASCII without spaces"):
        path(text)


@pytest.mark.parametrize(("path", "shape"), PATHS)
@pytest.mark.parametrize(("text", "quoted"), ODD.items())
def test_an_odd_id_stays_one_segment(
    path: Callable[[str], str], shape: str, text: str, quoted: str
) -> None:
    assert path(text) == shape.format(quoted)


@given(st.one_of(st.text("./\\%2eEfFa:?#", max_size=8), st.text(max_size=8)))
@example("..")
def test_a_request_goes_to_the_path_it_was_meant_for(text: str) -> None:
    """As the HTTP client sends it, which resolves dots by itself."""
    for path, shape in PATHS:
        try:
            built = path(text)
        except ParameterInvalid:
            continue
        sent = httpx.Client(base_url="https://carrier.example/v2").build_request("GET", built)
        before, after = f"/v2{shape}".split("{}")
        target = sent.url.raw_path.decode()
        assert target.startswith(before)
        assert target.endswith(after)
        assert target.count("/") == f"/v2{shape}".count("/")
        assert "?" not in target


async def test_the_carrier_is_not_asked_about_an_id_that_leads_elsewhere() -> None:
    asked: list[bytes] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={"data": {}})

    async with Carrier(
        base_url="https://carrier.example/v2",
        key="KEY1",
        timeout_s=5.0,
        transport=httpx.MockTransport(handler),
    ) as carrier:
        for text in OUTSIDE:
            command = IssuedCommand(
                command_id="c-1", operation="hangup", call_control_id=text, parameters={}
            )
            with pytest.raises(ParameterInvalid):
                check(command)  # what a worker does before it sends anything
            with pytest.raises(ParameterInvalid):
                await carrier.send(command)
    assert asked == []
