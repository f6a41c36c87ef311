"""Ingress reads only a little of a body, with the same result as reading the whole event."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from offhook.codec.webhooks import read_webhook
from offhook.ingress.identity import identity_of

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
def test_a_body_has_the_identity_of_its_event(body: bytes) -> None:
    _same(body)


def test_a_captured_webhook_has_the_identity_of_its_event(capture_files: list[Path]) -> None:
    for file in capture_files:
        _same(file.read_bytes())


def _same(body: bytes) -> None:
    webhook = read_webhook(body)
    identity = identity_of(body)
    assert (identity.session_id, identity.event_id) == (webhook.session_id, webhook.event.event_id)
