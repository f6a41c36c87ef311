"""The floor of ingress: verify, publish once, answer; every other check is left out.

Run by `bench.ingress`:
`python -m bench.rivals.floor_ingress NATS_URL PUBLIC_KEY STREAM PARTITIONS`.
It publishes on `STREAM.0`, `STREAM.1` and so on, by a hash of the event id.
"""

import base64
import json
import sys
import zlib

import nats
from nacl.signing import VerifyKey
from nats.aio.client import Client

from offhook.process.asgi import AsgiApp, Receive, Scope, Send
from offhook.process.logs import configure_logs
from offhook.process.serve import run_to_end, serve


async def run(nats_url: str, public_key: str, stream: str, partitions: str) -> None:
    client = await nats.connect(nats_url)
    key = VerifyKey(base64.b64decode(public_key))
    application = _application(client, key, stream, int(partitions))
    await serve(application, host="127.0.0.1", port=0)


def _application(client: Client, key: VerifyKey, stream: str, partitions: int) -> AsgiApp:
    jetstream = client.jetstream()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = dict(scope["headers"])
        signature = base64.b64decode(headers[b"telnyx-signature-ed25519"])
        key.verify(headers[b"telnyx-timestamp"] + b"|" + body, signature)
        event_id = json.loads(body)["data"]["id"]
        subject = f"{stream}.{zlib.crc32(event_id.encode()) % partitions}"
        await jetstream.publish(subject, body, headers={"Nats-Msg-Id": event_id})
        await send(_START)
        await send({"type": "http.response.body"})

    return application


async def _lifespan(receive: Receive, send: Send) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}

if __name__ == "__main__":
    configure_logs("floor")
    run_to_end(run(*sys.argv[1:5]))
