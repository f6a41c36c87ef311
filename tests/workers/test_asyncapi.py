"""The AsyncAPI document describes what is in the log, and `offhook asyncapi` prints it."""

import json

from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.codec import FACTS
from offhook.workers.asyncapi import document


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
