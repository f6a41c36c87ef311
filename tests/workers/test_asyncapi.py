"""The AsyncAPI document describes what is in the log; a command prints it, and a page shows it."""

import json
import re

from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.codec.facts import FACTS, decode
from offhook.workers.asyncapi.document import document
from offhook.workers.asyncapi.page import html_of, prose


def test_every_record_has_a_channel_with_its_fields() -> None:
    found = document()
    assert set(found["channels"]) == set(FACTS)
    for name, kind in FACTS.items():
        assert set(found["components"]["schemas"][name]["properties"]) == set(
            kind.__dataclass_fields__
        )


def test_the_command_prints_the_document() -> None:
    printed = CliRunner().invoke(app, ["asyncapi"])
    assert printed.exit_code == 0
    assert json.loads(printed.output) == document()


def test_every_record_is_on_the_side_where_it_is_stored() -> None:
    addresses = {
        name: channel["address"].partition(":")[0]
        for name, channel in document()["channels"].items()
    }
    inbound = {"WebhookReceived", "CommandRequested", "LegPlaced", "SessionResumed"}
    assert {name for name, address in addresses.items() if address.endswith(".in")} == inbound
    assert {name for name, address in addresses.items() if address.endswith(".out")} == (
        set(FACTS) - inbound
    )


def test_every_record_has_an_example_that_reads_as_that_record() -> None:
    messages = document()["components"]["messages"]
    for name, kind in FACTS.items():
        (example,) = messages[f"{name}:Message"]["examples"]
        headers = example["headers"]
        body = json.dumps(example["payload"]).encode()
        assert headers["Offhook-Type"] == name
        assert type(decode(name, int(headers["Offhook-Version"]), body)) is kind


def test_comments_beside_fields_describe_them() -> None:
    schemas = document()["components"]["schemas"]
    assert schemas["Decided"]["properties"]["cause_seq"] == {
        "type": "integer",
        "description": "position of the record decided on",
    }


def test_the_page_has_every_record_and_field_and_loads_nothing() -> None:
    described = document()
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
