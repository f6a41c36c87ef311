"""The AsyncAPI document describes what is in the log; a command prints it, and a page shows it."""

import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.codec.facts import FACTS, decode
from offhook.workers.asyncapi.document import document
from offhook.workers.asyncapi.page import html_of, prose


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """It takes a second."""
    return document()


def test_every_record_has_a_channel_with_its_fields(described: dict[str, Any]) -> None:
    assert set(described["channels"]) == set(FACTS)
    for name, kind in FACTS.items():
        assert set(described["components"]["schemas"][name]["properties"]) == set(
            kind.__dataclass_fields__
        )


def test_the_command_prints_the_document(described: dict[str, Any]) -> None:
    printed = CliRunner().invoke(app, ["asyncapi"])
    assert printed.exit_code == 0
    assert json.loads(printed.output) == described


def test_every_record_is_on_the_side_where_it_is_stored(described: dict[str, Any]) -> None:
    addresses = {
        name: channel["address"].partition(":")[0]
        for name, channel in described["channels"].items()
    }
    inbound = {"WebhookReceived", "CommandRequested", "LegPlaced", "SessionResumed"}
    assert {name for name, address in addresses.items() if address.endswith(".in")} == inbound
    assert {name for name, address in addresses.items() if address.endswith(".out")} == (
        set(FACTS) - inbound
    )


def test_every_record_has_an_example_that_reads_as_that_record(described: dict[str, Any]) -> None:
    messages = described["components"]["messages"]
    for name, kind in FACTS.items():
        (example,) = messages[f"{name}:Message"]["examples"]
        headers = example["headers"]
        body = json.dumps(example["payload"]).encode()
        assert headers["Offhook-Type"] == name
        assert type(decode(name, int(headers["Offhook-Version"]), body)) is kind


def test_comments_beside_fields_describe_them(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    assert schemas["Decided"]["properties"]["cause_seq"] == {
        "type": "integer",
        "description": "position of the record decided on",
    }


def test_the_page_has_every_record_and_field_and_loads_nothing(described: dict[str, Any]) -> None:
    page = html_of(described)
    ids = set(re.findall(r'<section id="(\w+)"', page))
    assert ids == set(described["components"]["schemas"])
    assert set(re.findall(r'href="#(\w+)"', page)) <= ids
    for name, schema in described["components"]["schemas"].items():
        section = page.partition(f'id="{name}"')[2].partition("</section>")[0]
        assert re.findall(r"<tr>\n<td><code>(\w+)</code>", section) == list(schema["properties"])
    assert not re.search(r"<script|src=|@import|url\(|https?://(?!example\.com)", page)


def test_docstrings_keep_their_tables_and_names() -> None:
    assert prose("A `b` <c>.\n\nd   e\nf   g") == (
        "<p>A <code>b</code> &lt;c&gt;.</p><pre>d   e\nf   g</pre>"
    )
