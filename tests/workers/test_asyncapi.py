"""The AsyncAPI document says what is really in the log, and the committed copy is the newest."""

import json
from pathlib import Path

from offhook.codec import FACTS
from offhook.workers.asyncapi import document

COMMITTED = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def test_every_record_has_a_channel_with_its_fields() -> None:
    found = document()
    assert set(found["channels"]) == set(FACTS)
    for name, kind in FACTS.items():
        assert set(found["components"]["schemas"][name]["properties"]) == set(
            kind.__dataclass_fields__
        )


def test_the_committed_document_is_the_newest() -> None:
    assert json.loads(COMMITTED.read_text()) == document(), (
        "run: .venv/bin/offhook asyncapi > docs/asyncapi.json"
    )
