"""Ingress reads little of a body, and never otherwise than the log will."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from offhook.ingress.place import place_of
from offhook.webhooks import read_webhook

TEXTS = st.text(max_size=20) | st.sampled_from(["s-1", "a.b", "x" * 70])
VALUES = TEXTS | st.none() | st.integers() | st.lists(st.integers(), max_size=2)
PAYLOADS = st.dictionaries(
    st.sampled_from(
        ["call_session_id", "creator_call_session_id", "conference_id", "call_control_id"]
    ),
    VALUES,
)
DATA = st.fixed_dictionaries(
    {}, optional={"event_type": VALUES, "id": VALUES, "payload": PAYLOADS | VALUES}
)
DOCUMENTS = st.fixed_dictionaries({}, optional={"data": DATA | VALUES, "event_type": VALUES})


@given(DOCUMENTS.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=50))
def test_a_body_has_the_place_that_its_event_has(body: bytes) -> None:
    _same(body)


def test_a_captured_webhook_has_the_place_that_its_event_has(capture_files: list[Path]) -> None:
    for file in capture_files:
        _same(file.read_bytes())


def _same(body: bytes) -> None:
    webhook = read_webhook(body)
    place = place_of(body)
    assert (place.session_id, place.event_id) == (webhook.session_id, webhook.event.event_id)
