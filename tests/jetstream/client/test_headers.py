"""Headers are read as nats-py reads them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.client.headers import headers_in

PARTS = st.one_of(
    st.sampled_from(["Nats-Sequence", "Offhook-Type", "traceparent", ":", ": ", " ", "\r\n", "\n"]),
    st.sampled_from(["\t", "\x0b", "\x1c", "\x85", "\u00a0", "é", "", "123"]),
    st.text(max_size=5),
).map(lambda text: text.encode("utf-8", "replace"))


@given(st.lists(PARTS | st.binary(max_size=3), max_size=20).map(b"".join))
@example(b"Nats-Sequence: 7\r\nOffhook-Type: Decided\r\n\r\n")
@example(b"Name:Value\r\nOther:\t Value \r\nno colon\r\ntwo words: a\r\n: b\r\n\r\n")
@example(b"a: 1\r\na: 2\r\nb: x: y\r\nc:d: e\r\n\xff: 1\r\nd: \xff\r\n\r\n")
def test_any_block_of_headers_is_read_as_nats_py_reads_it(raw: bytes) -> None:
    assert headers_in(raw) == Client._parse_header_lines(raw)


@pytest.mark.parametrize("value", ["plain", "a: b", "é"])
async def test_a_client_receives_headers_through_it(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    read: list[bytes] = []

    def noted(raw: bytes) -> dict[str, str]:
        read.append(raw)
        return headers_in(raw)

    monkeypatch.setattr("offhook.jetstream.client.headers.headers_in", noted)
    client = await connect(nats_server.url, "test")

    async def answer(message: Msg) -> None:
        await client.publish(message.reply, b"", headers=dict(message.headers or {}))

    await client.subscribe("headers", cb=answer)
    reply = await client.request("headers", b"", headers={"Name": value}, timeout=60)
    assert reply.headers == {"Name": value}
    assert len(read) == 2
    await close(client)
