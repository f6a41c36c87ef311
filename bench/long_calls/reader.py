"""A process that reads sessions as a worker does which does not know them; no command is sent.

    python -m bench.long_calls.reader NATS_URL

Reads the sessions that are named on its standard input, one a line, and answers each with `read`.
"""

import asyncio
import sys

import uvloop

from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.fingerprint import fold_fingerprint
from offhook.workers.reading.snapshots import Snapshots


async def main(nats_url: str) -> None:
    client = await connect(nats_url, "bench")
    snapshots = Snapshots(JetStreamSnapshots(client), fold_fingerprint(), metrics=WorkerMetrics())
    log = JetStreamLog(client)
    while line := await asyncio.to_thread(sys.stdin.readline):
        state = await SessionCache(log, asyncio.sleep, snapshots=snapshots).read(line.strip())
        await state.next_cause()
        sys.stdout.write("read\n")
        sys.stdout.flush()
    await close(client)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
