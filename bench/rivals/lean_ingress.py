"""The ingress of `lean`, a fair rival: FastAPI, one PyNaCl verify, a row and a NOTIFY by asyncpg.

Run by `bench.latency` as `uvicorn bench.rivals.lean_ingress:app`, with DATABASE_URL and PUBLIC_KEY
(hex) in the environment. The event id is unique, so a repeated webhook is stored once here
too.
"""

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Request, Response
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from bench.rivals.lean_worker import INSERT, TABLE
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER

key = VerifyKey(bytes.fromhex(os.environ["PUBLIC_KEY"]))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], max_size=20) as pool:
        await pool.execute(TABLE)
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/telnyx")
async def receive(request: Request) -> Response:
    body = await request.body()
    signed = request.headers[TIMESTAMP_HEADER].encode() + b"|" + body
    try:
        key.verify(signed, base64.b64decode(request.headers[SIGNATURE_HEADER]))
    except BadSignatureError:
        return Response(status_code=403)
    event_id = json.loads(body)["data"]["id"]
    await request.app.state.pool.execute(INSERT, event_id, body.decode())
    return Response(status_code=200)
