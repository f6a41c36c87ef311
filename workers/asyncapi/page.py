"""The page at /docs/asyncapi: the document as plain HTML, without scripts or anything to load."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from offhook.process.asgi import Receive, Scope, Send, respond
from offhook.workers.asyncapi.document import document

PATH = "/docs/asyncapi"


async def asyncapi_page(scope: Scope, _: Receive, send: Send) -> None:
    """The page as an ASGI application."""
    if scope["method"] not in ("GET", "HEAD"):
        return await respond(send, 405, b"Expected GET\n", headers=[(b"allow", b"GET, HEAD")])
    body = b"" if scope["method"] == "HEAD" else page().encode()
    await respond(send, 200, body, "text/html; charset=utf-8", [_POLICY])
    return None


_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; img-src data:",
)


@cache
def page() -> str:
    """The page of this version; a document does not change while a process runs."""
    return html_of(document())


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a record. `type` has links in it, to the objects that the field may be."""

    name: str
    type: str
    links: Sequence[str]
    is_required: bool
    default: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A record, or an object inside one."""

    name: str
    description: str
    fields: Sequence[Field]
    example: str = ""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A subject with its records."""

    address: str
    records: Sequence[Section]


def html_of(described: Mapping[str, Any]) -> str:
    """The page of an AsyncAPI document."""
    schemas = described["components"]["schemas"]
    channels: dict[str, list[Section]] = {}
    for name, channel in described["channels"].items():
        (reference,) = channel["messages"].values()
        message = described["components"]["messages"][reference["$ref"].rpartition("/")[2]]
        record = _section(name, schemas[name], channel["description"], message["examples"][0])
        channels.setdefault(channel["address"], []).append(record)
    others = [
        _section(name, schemas[name]) for name in schemas if name not in described["channels"]
    ]
    return _template().render(
        info=described["info"],
        channels=[
            Channel(address=address, records=sorted(records, key=lambda each: each.name))
            for address, records in sorted(channels.items())
        ],
        events=[each for each in others if any(f.name == "event_type" for f in each.fields)],
        objects=[each for each in others if all(f.name != "event_type" for f in each.fields)],
    )


def _section(
    name: str,
    schema: Mapping[str, Any],
    description: str = "",
    example: Mapping[str, Any] | None = None,
) -> Section:
    return Section(
        name=name,
        description=description or schema.get("description", ""),
        fields=[
            _field(each, value, each in schema.get("required", ()))
            for each, value in schema.get("properties", {}).items()
        ],
        example="" if example is None else json.dumps(example["payload"], indent=2),
        headers=None if example is None else example["headers"],
    )


def _field(name: str, schema: Mapping[str, Any], is_required: bool) -> Field:
    links = list(_links(schema))
    return Field(
        name=name,
        type=" or ".join(dict.fromkeys(_types(schema))),
        links=links,
        is_required=is_required,
        default=json.dumps(schema["default"]) if "default" in schema else "",
        description=schema.get("description", ""),
    )


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    """What a value may be, in words; objects with a name are links instead."""
    match schema:
        case {"anyOf": members}:
            for member in members:
                yield from _types(member)
        case {"$ref": _}:
            return
        case {"enum": values}:
            yield from map(json.dumps, values)
        case {"const": value}:
            yield json.dumps(value)
        case {"type": "array", "items": {"$ref": _}}:
            yield "list of"
        case {"type": "array", "items": item}:
            yield f"list of {' or '.join(_types(item)) or 'anything'}"
        case {"type": "string", "format": "date-time"}:
            yield "time in RFC 3339"
        case {"type": str(name)}:
            yield _WORDS.get(name, name)
        case _:
            yield "anything"


_WORDS = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}


def _links(schema: Mapping[str, Any]) -> Iterator[str]:
    """The names of the objects that a value may be."""
    match schema:
        case {"anyOf": members}:
            for member in members:
                yield from _links(member)
        case {"$ref": reference}:
            yield reference.rpartition("/")[2]
        case {"items": item}:
            yield from _links(item)


def prose(text: str) -> Markup:
    """A docstring as HTML: paragraphs, tables as they are, and names in backticks as code."""
    blocks = []
    for block in text.split("\n\n"):
        is_table = any("  " in line for line in block.splitlines())
        content = re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(block)))
        blocks.append(f"<pre>{content}</pre>" if is_table else f"<p>{content}</p>")
    return Markup("".join(blocks))


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["prose"] = prose
    return environment.from_string(Path(__file__).with_name("page.html").read_text("utf-8"))
