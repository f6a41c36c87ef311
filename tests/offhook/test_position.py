"""A position: sorts within its partition, names it, and is a number that JavaScript can hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.jetstream.subjects import SLOTS, partition_for, slot_of, slots_of
from offhook.position import (
    PARTITIONS_MAX,
    SEQ_MAX,
    partition_of,
    position_from,
    position_of,
    position_text,
    referred,
    seq_of,
)

partitions = st.integers(0, PARTITIONS_MAX - 1)
sequences = st.integers(0, SEQ_MAX)


@given(partitions, sequences)
def test_a_position_gives_back_what_it_was_made_of(partition: int, seq: int) -> None:
    position = position_of(partition, seq)
    assert (partition_of(position), seq_of(position)) == (partition, seq)
    assert 0 <= position < 2**53


@given(partitions, sequences, sequences)
def test_positions_of_a_partition_are_in_the_order_of_its_stream(
    partition: int, one: int, other: int
) -> None:
    assert (position_of(partition, one) < position_of(partition, other)) == (one < other)


@given(partitions, sequences)
def test_a_position_is_read_as_it_is_printed_and_as_one_number(partition: int, seq: int) -> None:
    position = position_of(partition, seq)
    assert position_from(position_text(position)) == position
    assert position_from(f"{partition}:{seq}") == position
    assert position_from(str(position)) == position


def test_a_position_is_printed_with_its_partition_but_for_the_first() -> None:
    assert position_text(position_of(2, 1234)) == "2:1234"
    assert position_text(position_of(0, 1234)) == "0:1234"


@pytest.mark.parametrize(
    "text", ["", ":", "2:", ":5", "-1", "1.5", "64:1", f"1:{2**47}", str(2**53), "1:2:3", "9" * 30]
)
def test_what_is_no_position_is_read_as_none(text: str) -> None:
    assert position_from(text) is None


@given(sequences)
def test_in_a_log_of_one_partition_a_position_is_the_sequence(seq: int) -> None:
    assert position_of(0, seq) == seq


@pytest.mark.parametrize(("partition", "seq"), [(-1, 1), (64, 1), (0, -1), (0, 2**47)])
def test_what_no_position_can_name_is_refused(partition: int, seq: int) -> None:
    with pytest.raises(ValueError, match="is not from 0 to"):
        position_of(partition, seq)


@given(st.integers(1, PARTITIONS_MAX), st.text("abcdef0123456789-", min_size=1, max_size=64))
def test_a_session_is_in_the_partition_that_has_its_slot(count: int, session_id: str) -> None:
    partition = partition_for(session_id, count)
    assert slot_of(session_id) in slots_of(partition, count)


@given(st.integers(1, PARTITIONS_MAX))
def test_every_slot_is_in_exactly_one_partition(count: int) -> None:
    every = [slot for partition in range(count) for slot in slots_of(partition, count)]
    assert sorted(every) == list(range(SLOTS))


@given(partitions, sequences, sequences)
def test_a_reference_is_in_the_partition_of_the_record_that_has_it(
    partition: int, seq: int, reference: int
) -> None:
    """Of a record that was moved it is a sequence of the stream it was written in."""
    position = position_of(partition, seq)
    expected = position_of(partition, reference) if reference else 0
    assert referred(reference, position) == expected
    assert referred(expected, position) == expected
