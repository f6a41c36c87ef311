"""The log as an AsyncAPI document: which record may be on which subject, fields, an example."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

from faststream.asgi import AsgiFastStream
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI

from offhook import carrier_events, events
from offhook.codec.facts import FACTS
from offhook.events import side_of
from offhook.workers.asyncapi.examples import examples

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


def document() -> dict[str, Any]:
    """The whole document, as `offhook asyncapi` prints it."""
    broker = NatsBroker(apply_types=False)
    for name, kind in FACTS.items():
        broker.publisher(
            f"calls.{{slot}}.{{session}}.{side_of(kind)}",
            title=name,
            description=cleandoc(kind.__doc__ or ""),
            schema=kind,
        )
    app = AsgiFastStream(broker, specification=SPECIFICATION)
    found: dict[str, Any] = app.schema.to_specification().to_jsonable()
    # No server: the development broker above is none that anybody could connect to.
    del found["servers"]
    for channel in found["channels"].values():
        del channel["servers"]
    for name, example in examples().items():
        found["components"]["messages"][f"{name}:Message"]["examples"] = [example]
    for name, schema in found["components"]["schemas"].items():
        _describe(schema, dict(_comments_on(_kind(name))))
    return found


def _describe(schema: dict[str, Any], comments: Mapping[str, str]) -> None:
    """Put the comments on fields into a schema, in place, and drop titles that repeat names."""
    for name, value in schema.get("properties", {}).items():
        value.pop("title", None)
        if name in comments:
            value["description"] = comments[name]


def _kind(name: str) -> type:
    found: type = getattr(events, name, None) or getattr(carrier_events, name)
    return found


def _comments_on(kind: type) -> Iterator[tuple[str, str]]:
    """The comment beside each field of a dataclass, those of its bases too."""
    for each in reversed(kind.__mro__[:-1]):
        source = cleandoc(inspect.getsource(each))
        lines = source.splitlines()
        (definition,) = ast.parse(source).body
        assert isinstance(definition, ast.ClassDef)
        for statement in definition.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), end_lineno=int(line)):
                    _, mark, comment = lines[line - 1].partition("  # ")
                    if mark:
                        yield name, comment
