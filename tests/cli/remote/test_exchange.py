"""What the command line reads of an answer."""

import httpx
import pytest

from offhook.cli.remote.exchange import RemoteServer, Unanswered


def carrier_that_says(content: bytes) -> RemoteServer:
    return RemoteServer(
        name="the carrier",
        url="https://carrier.example/v2",
        token="",
        timeout_s=5,
        see="OFFHOOK_X",
        transport=httpx.MockTransport(lambda request: httpx.Response(200, content=content)),
    )


def test_an_odd_character_in_an_answer_costs_only_itself() -> None:
    with carrier_that_says(b'{"data": [{"application_name": "Jos\xe9", "id": "7"}]}') as server:
        answer = server.ask("GET", "/call_control_applications")
    assert answer.body == {"data": [{"application_name": "Jos\ufffd", "id": "7"}]}


@pytest.mark.parametrize("content", [b"<html>", b'{"data": [', b"[1]"])
def test_what_is_no_object_is_no_answer_of_the_carrier(content: bytes) -> None:
    with carrier_that_says(content) as server, pytest.raises(Unanswered, match="not the carrier"):
        server.ask("GET", "/call_control_applications")
