"""Records as they are stored: those that cannot be read too."""

import pytest

from offhook.position import position_of
from offhook.projections.views.stored.event_log import INDEXED_CHARS_MAX, indexable, read_stored
from tests.projections.story import NOON


def test_ids_that_no_index_entry_holds_are_hashed() -> None:
    assert indexable("") is None
    assert indexable("x" * INDEXED_CHARS_MAX) == "x" * INDEXED_CHARS_MAX
    assert str(indexable("x" * (INDEXED_CHARS_MAX + 1))).startswith("sha256-")
    assert str(indexable("a\0")).startswith("sha256-")


@pytest.mark.parametrize(
    ("type_name", "version", "body"),
    [("Unheard", 1, b"{}"), ("Decided", 9, b"{}"), ("Decided", 1, b"not json"), ("", 0, b"")],
)
def test_an_unreadable_record_says_why(type_name: str, version: int, body: bytes) -> None:
    stored = read_stored(
        seq=position_of(2, 7), session_id="s", side="out", type=type_name, version=version,
        stored_at=NOON, body=body,
    )  # fmt: skip
    assert stored.record is None
    assert "seq 2:7: " in stored.error
    assert stored.row()["body"] == body
