"""A process: full collections are rare in it, and an answer without an end ends at the signal."""

import asyncio
import gc
import os
import signal

import httpx
import pytest

from offhook.process.asgi import Receive, Scope, Send
from offhook.process.serve import run_to_end, serve
from tests.free_ports import free_port

DEADLINE_S = 60.0
KEPT = 200_000
"""Objects after which Python's own thresholds had made at least one full collection."""


def test_what_a_process_keeps_is_not_searched_for_garbage_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "freeze", lambda: None)  # the process of the tests
    collected: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            collected.append(about["generation"])

    async def keep() -> None:
        gc.callbacks.append(note)
        kept = [[number] for number in range(KEPT)]
        gc.callbacks.remove(note)
        assert len(kept) == KEPT

    before = gc.get_threshold()
    try:
        run_to_end(keep())
    finally:
        gc.set_threshold(*before)
    assert {0, 1} <= {*collected}
    assert 2 not in collected


async def test_an_endless_answer_ends_at_the_signal() -> None:
    stopping = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
        await stopping.wait()
        await send({"type": "http.response.body", "body": b"ended\n"})

    port = free_port()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        group.create_task(serve(endless, host="127.0.0.1", port=port, on_exit=stopping.set))
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_S) as http:
            while True:
                try:
                    async with http.stream("GET", "/") as response:
                        lines = response.aiter_lines()
                        assert await anext(lines) == "begun"
                        os.kill(os.getpid(), signal.SIGTERM)
                        assert await anext(lines) == "ended"
                        break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
