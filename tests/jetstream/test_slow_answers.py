"""The API of JetStream answers late or not at all: one read waits for it, not all of them."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from offhook.jetstream import reads
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.reads import NOT_ASKED_S, SLOW_S, SessionReads


class Api:
    """Takes what it is asked, and answers nothing until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.asked = 0
        self.asks: asyncio.Queue[str] = asyncio.Queue()
        self.answer: Msg | None = None
        self.may_end = asyncio.Event()

        async def request(
            inbox: Inbox, subject: str, body: bytes, headers: Mapping[str, str], timeout_s: float
        ) -> Msg:
            self.asked += 1
            self.asks.put_nowait(subject)
            await self.may_end.wait()
            if self.answer is None:
                raise TimeoutError
            return self.answer

        monkeypatch.setattr(Inbox, "request", request)
        monkeypatch.setattr(reads, "time", SimpleNamespace(monotonic=lambda: self.now))


async def test_while_one_waits_for_long_no_other_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    api, log = Api(monkeypatch), SessionReads(Client(), partitions=1)
    waiting = [asyncio.create_task(log.counted("s")) for _ in range(2)]
    for _ in waiting:
        await api.asks.get()
    api.now = 2 * SLOW_S
    assert await log.counted("s") is None
    api.may_end.set()
    assert await asyncio.gather(*waiting) == [None, None]
    assert await log.counted("s") is None
    assert api.asked == 2
    api.now += 2 * NOT_ASKED_S
    assert await log.counted("s") is None
    assert api.asked == 3


async def test_after_a_late_answer_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    api, log = Api(monkeypatch), SessionReads(Client(), partitions=1)
    api.answer = Msg(Client(), data=b'{"state": {"last_seq": 7}}')
    waiting = asyncio.create_task(log.counted("s"))
    await api.asks.get()
    api.now = 2 * SLOW_S
    assert await log.counted("s") is None
    api.may_end.set()
    counted = await waiting
    assert counted is not None
    assert await log.counted("s") == counted
    assert api.asked == 2
