"""The ladder's drawing: each record once, nothing over anything else, and nothing raises."""

import itertools
import xml.etree.ElementTree as ElementTree
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.api.console.ladder.drawing import CHAR, STATES, Drawing, draw, in_order
from offhook.api.console.ladder.lines import CARRIER, OFFHOOK
from offhook.api.console.rendering import render
from offhook.session.inserted import UNWANTED_LEG, reason_of_hangup
from offhook.wording.moments import clock
from tests.offhook.wording.test_why import leg, placed

CALLER, CALLED = "v3:a", "v3:b"
PHONE = 364
"""The width of a ladder where the window is 390 pixels wide."""


def entry(seq: int, kind: str, at: float = 0.0, **fields: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "session_id": "s",
        "side": "in",
        "type": kind,
        "version": 1,
        "stored_at": f"2026-11-27T10:00:{seq:02}.000000Z",
        "fact_id": f"{kind}-{seq}",
        "fields": fields,
        "error": "",
    }


def webhook(seq: int, event: str, leg: str, occurred: float, **more: Any) -> dict[str, Any]:
    occurred_at = f"2026-11-27T10:00:{occurred:09.6f}Z"
    return entry(
        seq,
        "WebhookReceived",
        event_type=event,
        call_control_id=leg,
        occurred_at=occurred_at,
        attempt=1,
        **more,
    )


def decided(seq: int, cause: int, *commands: dict[str, Any]) -> dict[str, Any]:
    return entry(seq, "Decided", cause_seq=cause, commands=list(commands), timers=[], warnings=[])


def command(command_id: str, operation: str, leg: str | None, **parameters: Any) -> dict[str, Any]:
    return {
        "command_id": command_id,
        "operation": operation,
        "call_control_id": leg,
        "parameters": parameters,
    }


def detail() -> dict[str, Any]:
    return {"legs": [leg(), placed()]}


CALL = [
    webhook(1, "call.initiated", CALLER, 0.5),
    decided(2, 1, command("c-1", "answer", CALLER)),
    entry(3, "CommandSucceeded", command_id="c-1", http_status=200),
    webhook(4, "call.answered", CALLER, 3.5),
    decided(5, 4, command("c-2", "transfer", CALLER, to="+12025550186")),
    entry(6, "CommandFailed", command_id="c-2", reason="refused", http_status=422, detail="no"),
    webhook(7, "call.bridged", CALLER, 6.0),
    webhook(8, "call.bridged", CALLED, 6.0),
    webhook(9, "call.answered", CALLED, 5.0),
    webhook(10, "call.hangup", CALLER, 9.0, hangup_cause="normal_clearing"),
]


def texts(drawing: Drawing) -> dict[int, list[tuple[str, str, str]]]:
    return {
        row.seq: [(each.line.text, each.line.note, each.line.look) for each in row.lines]
        for row in drawing.rows
    }


def test_a_hangup_that_offhook_added_has_its_name() -> None:
    commands = command("c-1", "hangup", CALLER), command("c-2", "speak", CALLED)
    record = decided(2, 1, *commands)
    record["fields"]["warnings"] = [reason_of_hangup("d")]
    lines = [
        placed.line for row in draw(detail(), [record], "arrival").rows for placed in row.lines
    ]
    notes = [line.note for line in lines if line.kind == "command"]
    assert notes == [f"c-1 · by {UNWANTED_LEG} · no outcome yet", "c-2 · no outcome yet"]


def test_a_command_has_its_id_its_status_and_its_time() -> None:
    found = texts(draw(detail(), CALL))
    assert found[2] == [("answer", "c-1 · 200 accepted in 1 s", "")]
    assert found[5] == [("transfer +12025550186", "c-2 · 422 refused in 1 s", "bad")]
    assert found[6] == [("422 transfer · refused · 1 s", "no", "bad")]


def test_an_attempt_says_why_there_is_one() -> None:
    again = entry(3, "CommandAttempted", command_id="c-1", attempt=2, because="503 unavailable")
    assert texts(draw(detail(), [*CALL[:2], again]))[3] == [
        ("answer: attempt 2", "c-1 · because 503 unavailable", "")
    ]


def test_a_webhook_has_its_delay_and_its_attempt() -> None:
    again = webhook(4, "call.answered", CALLER, 3.5) | {}
    again["fields"] = again["fields"] | {"attempt": 2}
    ((_, note, _),) = texts(draw(detail(), [again]))[4]
    assert note == "500 ms delay · attempt 2"


def test_a_hangup_has_its_cause_and_code_where_they_fit() -> None:
    ended = {
        "hangup_cause": "originator_cancel",
        "sip_hangup_cause": "487",
        "hangup_source": "caller",
    }
    drawing = draw(detail(), [webhook(1, "call.hangup", CALLED, 0.9, **ended)])
    (row,) = drawing.rows
    (line,) = row.lines
    assert line.text == "call.hangup · originator_cancel, SIP 487"
    assert line.note == "Request Terminated · by caller · 100 ms delay"
    assert not row.is_cut


def test_a_text_that_does_not_fit_is_whole_in_its_row() -> None:
    text = "Nobody can take your call at the moment. Please try again tomorrow."
    speak = command("c-1", "speak", CALLER, payload=text)
    (row,) = draw(detail(), [decided(2, 1, speak)]).rows
    assert row.is_cut
    assert len(row.lines[0].text) < len(text)
    assert f"“{text}”" in row.full


def test_what_arrives_late_is_grey_where_it_arrived() -> None:
    arrived = draw(detail(), CALL)
    assert [row.seq for row in arrived.rows] == list(range(1, 11))
    (late,) = texts(arrived)[9]
    assert late == ("call.answered", "late: 1 s behind · 4 s delay", "grey")
    happened = draw(detail(), CALL, "true")
    assert [row.seq for row in happened.rows] == [1, 2, 3, 4, 5, 9, 6, 7, 8, 10]
    assert texts(happened)[9][0][2] == ""


def test_a_second_decision_on_a_record_is_a_duplicate() -> None:
    found = texts(draw(detail(), [*CALL[:2], decided(3, 1, command("c-1", "answer", CALLER))]))
    assert found[3] == [("answer", "c-1 · ignored: decided already", "grey")]


def test_a_bridge_joins_its_two_legs() -> None:
    (_, bridge) = draw(detail(), CALL).rows[7].lines
    assert bridge.line.kind == "bridge"
    assert {bridge.line.start, bridge.line.end} == {CALLER, CALLED}


def test_a_late_event_takes_no_state_back() -> None:
    bands = draw(detail(), CALL).bands
    assert [band.state for band in bands if band.key == CALLER] == [
        "initiated",
        "answered",
        "bridged",
        "ended",
    ]
    assert [band.state for band in bands if band.key == CALLED] == ["bridged"]


def test_the_rest_of_a_long_session_knows_what_was_before() -> None:
    asked = {"decided_at": "2026-11-27T10:00:05Z", **command("c-2", "transfer", CALLER)}
    before = {
        "started_at": "2026-11-27T10:00:00Z",
        "answered_at": "2026-11-27T10:00:03Z",
        "bridged_at": None,
        "ended_at": "2026-11-27T10:00:09Z",
    }
    legs = [leg() | before, placed() | dict.fromkeys(before)]
    session = {"started_at": "2026-11-27T10:00:00Z"}
    rest = draw({"legs": legs, "session": session, "commands": [asked]}, CALL[5:], has_earlier=True)
    assert texts(rest)[6][0][0] == "422 transfer · refused · 1 s"
    assert rest.rows[0].elapsed == "6 s"
    assert [band.state for band in rest.bands if band.key == CALLER] == [
        "answered",
        "bridged",
        "ended",
    ]


def test_on_a_phone_both_sides_of_a_call_fit() -> None:
    narrow = draw(detail(), CALL, narrow=PHONE)
    assert [each.key for each in narrow.columns] == [CALLER, OFFHOOK, CALLED]
    assert narrow.width <= PHONE
    assert texts(narrow)[1] == texts(draw(detail(), CALL))[1]  # though the arrow is shorter
    arrows = [each for row in narrow.rows for each in row.lines if each.x1 != each.x2]
    for each in arrows:
        half = len(each.text) * CHAR / 2
        assert 0 <= each.text_x - half <= each.text_x + half <= narrow.width
    dial = [webhook(1, "call.initiated", CALLER, 0.0), decided(2, 1, command("d", "dial", None))]
    assert CARRIER in [each.key for each in draw(detail(), dial, narrow=PHONE).columns]


def test_what_is_beside_a_mark_is_on_its_wider_side() -> None:
    parked = entry(2, "SessionParked", cause_seq=1, error="boom", attempts=5)
    call = [webhook(1, "call.initiated", CALLER, 0.0), parked]
    alone = {"legs": [leg()]}
    (mark,) = draw(alone, call, narrow=PHONE).rows[1].lines
    assert mark.is_before
    assert mark.text == "Parked: the flow raised an error"
    (wide,) = draw(alone, call).rows[1].lines
    assert (wide.is_before, wide.text) == (False, mark.text)


def test_timers_and_parking_are_marks() -> None:
    timer = {"timer_id": "t", "name": "no-answer", "after_s": 20.0}
    found = texts(
        draw(
            detail(),
            [
                CALL[0],
                decided(2, 1) | {"fields": {"cause_seq": 1, "commands": [], "timers": [timer]}},
                entry(3, "TimerFired", name="no-answer", due_at="2026-11-27T10:00:02.000000Z"),
                entry(4, "SessionParked", cause_seq=1, error="KeyError: 'name'", attempts=5),
            ],
        )
    )
    assert found[2] == [("no-answer: in 20 s", "", "")]
    assert found[3] == [("no-answer fired", "1 s after it was due", "")]
    assert found[4] == [("Parked: the flow raised an error", "KeyError: 'name'", "bad")]


TEXTS = st.sampled_from(
    [CALLER, CALLED, "v3:other", "c-1", "2026-11-27T10:00:03Z", "yesterday", "", "call.hangup"]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**16) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "event_type",
        "call_control_id",
        "occurred_at",
        "attempt",
        "command_id",
        "commands",
        "timers",
        "warnings",
        "command",
        "leg",
        "cause_seq",
        "operation",
        "reason",
        "http_status",
        "name",
        "due_at",
        "from_",
        "to",
        "digits",
        "hangup_cause",
        "detail",
    ]
)
EVENTS = st.sampled_from(
    ["call.initiated", "call.answered", "call.bridged", "call.hangup", "call.speak.ended"]
)
KINDS = st.sampled_from(
    [
        "WebhookReceived",
        "Decided",
        "CommandRequested",
        "CommandAttempted",
        "CommandSucceeded",
        "CommandFailed",
        "TimerSet",
        "TimerCancelled",
        "TimerFired",
        "LegPlaced",
        "SessionParked",
        "SessionResumed",
        "Unheard",
    ]
)
PLAIN = st.fixed_dictionaries(
    {
        "event_type": EVENTS,
        "call_control_id": st.sampled_from([CALLER, CALLED, "v3:other"]),
        "occurred_at": st.integers(0, 59).map(lambda at: f"2026-11-27T10:00:{at:02}Z"),
        "commands": st.lists(
            st.sampled_from([command("c-1", "answer", CALLER), command("c-2", "dial", None)]),
            max_size=3,
        ),
        "command_id": st.sampled_from(["c-1", "c-2", "c-3"]),
    }
)


@st.composite
def timelines(draw_: st.DrawFn) -> list[dict[str, Any]]:
    """Records of every kind in any order, some of them with fields that make no sense."""
    found = []
    for seq in range(draw_(st.integers(0, 12))):
        fields = draw_(PLAIN | st.dictionaries(NAMES, ODD, max_size=5))
        record = entry(seq, draw_(KINDS), **fields) | {
            "error": draw_(st.sampled_from(["", "", "", "version 9 is not known"])),
            "fact_id": draw_(st.sampled_from(["", "same", f"own-{seq}"])),
        }
        found.append(record)
    return found


@settings(max_examples=100, deadline=None)
@given(timelines(), st.sampled_from(["arrival", "true"]), st.sampled_from([None, PHONE]))
def test_every_record_is_there_once_and_nothing_overlaps(
    timeline: Any, order: Any, narrow: int | None
) -> None:
    drawing = draw(detail(), timeline, order, narrow=narrow)
    assert sorted(row.seq for row in drawing.rows) == [each["seq"] for each in timeline]
    bottom = 0
    for row in drawing.rows:
        assert row.lines
        for each in row.lines:
            assert each.y >= bottom
            bottom = each.y + each.height
            assert 0 <= min(each.x1, each.x2) <= max(each.x1, each.x2) <= drawing.width
        assert row.y + row.height == bottom
    assert bottom <= drawing.height
    for column in drawing.columns:
        bands = [band for band in drawing.bands if band.key == column.key]
        for above, below in itertools.pairwise(bands):
            assert above.y2 <= below.y1
            assert STATES.index(above.state) < STATES.index(below.state)
    xs = [column.x for column in drawing.columns]
    assert xs == sorted(set(xs))


@settings(max_examples=30, deadline=None)
@given(timelines(), st.integers(1, 60))
def test_slices_make_up_the_picture(timeline: Any, times: int) -> None:
    drawing = draw(detail(), timeline * times)
    slices = drawing.slices
    assert [row for each in slices for row in each.rows] == drawing.rows
    assert [each.top for each in slices] == [0, *(each.bottom for each in slices[:-1])]
    assert slices[-1].bottom == drawing.height
    for each in slices:
        assert all(each.top <= row.y <= row.y + row.height <= each.bottom for row in each.rows)
        for band in drawing.bands:
            is_in_sight = max(band.y1, each.top) < min(band.y2, each.bottom)
            assert (band in each.bands) == is_in_sight


@settings(max_examples=30, deadline=None)
@given(timelines())
def test_the_picture_has_each_record_and_is_well_formed(timeline: Any) -> None:
    svg = render(
        "ladder.svg",
        drawing=draw(detail(), timeline),
        session={"session_id": "s<&"},
        why=["it <ended>", "& so on", "\x01\x0b\ud800"],  # no characters of XML
        chosen=None,
        link=lambda **changes: f"?record={changes['record']}",
        position=str,
    )
    root = ElementTree.fromstring(svg)
    rows = [each for each in root.iter() if each.get("data-record") is not None]
    assert sorted(int(each.get("data-record") or "") for each in rows) == [
        each["seq"] for each in timeline
    ]


def test_a_timer_that_is_set_again_is_one_mark() -> None:
    timers = [
        {"timer_id": "1", "name": "patience", "after_s": None},
        {"timer_id": "2", "name": "patience", "after_s": 60.0},
        {"timer_id": "3", "name": "other", "after_s": None},
    ]
    fields = {"cause_seq": 1, "commands": [], "timers": timers}
    found = texts(draw(detail(), [CALL[0], decided(2, 1) | {"fields": fields}]))
    assert [text for text, _, _ in found[2]] == ["patience: again in 60 s", "other: cancel"]


def test_a_decision_never_precedes_its_cause() -> None:
    # The carrier's clock is a minute ahead.
    call = [webhook(1, "call.initiated", CALLER, 59.0), decided(2, 1)]
    assert [each["seq"] for each in in_order(call, "true")] == [1, 2]


def test_times_are_written_in_utc() -> None:
    assert clock("2026-11-27T11:00:03.5+01:00") == "10:00:03.500"
    assert clock("soon") == "soon"
