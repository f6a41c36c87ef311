"""The floor of the worker: a bare pull consumer that posts one command for each message.

Run by `bench.latency`: `python -m bench.rivals.floor_worker NATS_URL STREAM CARRIER_URL`. It reads
no history and decides and records nothing, so it is neither ordered nor exactly-once.
"""

import asyncio
import json
import logging
import sys

import httpx
import nats
from nats.aio.msg import Msg

from offhook.process.logs import configure_logs
from offhook.process.serve import run_to_end

FETCH_MAX = 32
FETCH_WAIT_S = 1.0


async def run(nats_url: str, stream: str, carrier_url: str) -> None:
    client = await nats.connect(nats_url)
    consumer = await client.jetstream().pull_subscribe(f"{stream}.>", durable="floor")
    tasks: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(trust_env=False) as http:
        # `bench.setting.children` waits for this line; this worker has no port.
        logging.getLogger(__name__).info("listening", extra={"port": 0})
        while True:
            try:
                messages = await consumer.fetch(FETCH_MAX, timeout=FETCH_WAIT_S)
            except TimeoutError:
                continue
            for message in messages:
                task = asyncio.create_task(_command(http, carrier_url, message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)


async def _command(http: httpx.AsyncClient, carrier_url: str, message: Msg) -> None:
    call_control_id = json.loads(message.data)["data"]["payload"]["call_control_id"]
    url = f"{carrier_url}/calls/{call_control_id}/actions/answer"
    answer = await http.post(url, json={"command_id": call_control_id})
    answer.raise_for_status()
    await message.ack()


if __name__ == "__main__":
    configure_logs("floor")
    run_to_end(run(*sys.argv[1:4]))
