"""A server that stops: an answer without an end ends at the signal."""

import asyncio
import os
import signal

import httpx

from offhook.process.asgi import Receive, Scope, Send
from offhook.process.serve import serve
from tests.free_ports import free_port

DEADLINE_S = 60.0


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
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
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
