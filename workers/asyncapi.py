"""The log as an AsyncAPI document: which record may be on which subject. FastStream draws it."""

from importlib.metadata import version
from inspect import cleandoc
from typing import Any

from faststream.asgi import AsgiFastStream, AsyncAPIRoute
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI

from offhook.codec import FACTS
from offhook.events import side_of

# Without the page's "try it out": nobody appends to the log of live calls from a browser.
ROUTE = AsyncAPIRoute("/docs/asyncapi", try_it_out_path=None)

SPECIFICATION = AsyncAPI(
    title="Offhook: the event log",
    version=version("offhook"),
    description=(
        "One JetStream stream for each partition, CALLS_0, CALLS_1, …, or CALLS alone. A session "
        "lives in one, and the stream's sequence is the only order there. A record's type and "
        "version are in the headers Offhook-Type and Offhook-Version. The body of "
        "WebhookReceived is the bytes that the carrier signed; the schema here is what they are "
        "read as."
    ),
)


def describe(broker: NatsBroker) -> None:
    """Name every record with its subject; nothing is published through these."""
    for name, kind in FACTS.items():
        broker.publisher(
            f"calls.{{slot}}.{{session}}.{side_of(kind)}",
            title=name,
            description=cleandoc(kind.__doc__ or ""),
            schema=kind,
        )


def document() -> dict[str, Any]:
    """The whole document, as `offhook asyncapi` prints it."""
    broker = NatsBroker(apply_types=False)
    describe(broker)
    app = AsgiFastStream(broker, specification=SPECIFICATION)
    found: dict[str, Any] = app.schema.to_specification().to_jsonable()
    return found
