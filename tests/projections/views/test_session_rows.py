"""A fold becomes the row of its session: pure."""

from decimal import Decimal
from typing import Any

from offhook.events import (
    CommandAttempted,
    CommandFailed,
    CommandSucceeded,
    Decided,
    IssuedCommand,
    SessionParked,
    SessionResumed,
)
from offhook.projections.views.commands import command_rows
from offhook.projections.views.fold import FAILURES_MAX, folded_from
from offhook.projections.views.legs import leg_rows
from offhook.projections.views.sessions import session_rows
from tests.projections.story import Entry, call, fact, queued, webhook
from tests.projections.views.stored_entries import records, told


def test_a_session_has_its_recordings_conferences_and_cost() -> None:
    usd = {"cost_parts": [{"currency": "USD"}]}
    entries = [
        webhook("s", event)
        for event in (
            told("call.recording.saved", 2, recording_id="late", call_control_id=None),
            told("call.recording.saved", 1, recording_id="early", channels="dual"),
            told("conference.created", 1, conference_id="c"),
            told("conference.ended", 9, conference_id="c", reason="all_left"),
            told("call.cost", 3, total_cost="0.5", **usd),
            told("call.cost", 3, total_cost="0.25", call_control_id="v3:other", **usd),
        )
    ]
    [row] = session_rows(folded_from("s", records(entries)))
    assert row.recordings is not None
    assert [each["recording_id"] for each in row.recordings] == ["early", "late"]
    assert row.recordings[0] == {
        "recording_id": "early",
        "call_control_id": "v3:example",
        "call_leg_id": "call_leg_id",
        "conference_id": None,
        "channels": "dual",
        "format": "format",
        "started_at": "2026-11-22T09:00:00.076316Z",
        "ended_at": "2026-11-22T09:00:00.076316Z",
        "urls": {"name": "recording_urls"},
        "public_urls": {"name": "public_recording_urls"},
    }
    assert row.recording_count == 2
    assert row.conferences == [
        {
            "conference_id": "c",
            "created_at": "2026-11-22T09:00:01.076316Z",
            "ended_at": "2026-11-22T09:00:09.076316Z",
            "end_reason": "all_left",
        }
    ]
    assert (row.cost, row.currency) == (Decimal("0.75"), "USD")


def failed(command_id: str, **fields: Any) -> Entry:
    values: dict[str, Any] = {"operation": "transfer", "reason": "refused", "http_status": 422}
    values |= fields
    return fact("s", CommandFailed(command_id=command_id, **values))


def test_a_session_has_each_kind_of_failed_command_once() -> None:
    entries = [
        *call("s"),
        failed("a"),
        failed("b"),
        failed("b", http_status=500),  # the first outcome counts
        failed("c", reason="deadline", http_status=None),
        failed("d", reason="call_ended", attempts=1),  # a consequence of the end
        failed("g", reason="call_ended", http_status=None, attempts=0),  # likewise
        failed("f", reason="call_ended", http_status=None, attempts=3),
        fact("s", CommandSucceeded(command_id="e", http_status=200)),
        failed("e"),
    ]
    [session] = session_rows(folded_from("s", records(entries)))
    hangup, refused, late, overtaken = session.failed_commands or ()
    assert hangup["operation"] == "hangup"  # in the story itself
    assert refused == {
        "operation": "transfer",
        "reason": "refused",
        "http_status": 422,
        "count": 2,
    }
    assert (late["reason"], late["http_status"], late["count"]) == ("deadline", None, 1)
    assert (overtaken["reason"], overtaken["count"]) == ("call_ended", 1)
    attempted = CommandAttempted(command_id="h", attempt=3, because="503", worker="w", lease_s=3.0)
    # From before outcomes counted attempts: those recorded on the way count, as in its row.
    old = [*call("s"), fact("s", attempted), failed("h", reason="call_ended", http_status=None)]
    folded = folded_from("s", records(old))
    [session] = session_rows(folded)
    assert [each["reason"] for each in session.failed_commands or ()][1:] == ["call_ended"]
    assert {each.command_id: each.attempts for each in command_rows(folded)}["h"] == 3
    [fine] = session_rows(folded_from("q", records(queued("q"))))
    assert fine.failed_commands is None
    many = [failed(str(each), http_status=each) for each in range(400, 450)]
    [session] = session_rows(folded_from("s", records(many)))
    assert len(session.failed_commands or ()) == FAILURES_MAX


def decided(flow: str, seq: int = 1) -> Entry:
    order = IssuedCommand(command_id=f"{flow}-{seq}", operation="hangup", call_control_id="v3:s")
    return fact(
        "s",
        Decided(
            cause_seq=seq,
            cause_id="x",
            flow=flow,
            flow_version="7",
            worker="w",
            lease_s=3.0,
            commands=(order,),
        ),
    )


def test_a_parked_session_keeps_its_own_flow() -> None:
    def flows(*entries: Entry) -> set[tuple[str | None, str | None]]:
        folded = folded_from("s", records([*entries]))
        [row] = session_rows(folded)
        legs = {(leg.flow, leg.flow_version) for leg in leg_rows(folded)}
        return {(row.flow, row.flow_version), *legs}

    began, policy = call("s")[0], decided("parked-policy")
    raised = SessionParked(
        cause_seq=1, error="flow menu 7: KeyError", attempts=5, flow="menu", flow_version="7"
    )
    from_before = SessionParked(cause_seq=1, error="flow menu 7: KeyError", attempts=5)
    assert flows(began, decided("menu"), fact("s", from_before), policy) == {("menu", "7")}
    assert flows(began, fact("s", raised), policy) == {("menu", "7")}
    assert flows(began, fact("s", from_before), policy) == {(None, None)}


def test_a_session_keeps_when_its_flow_raised_last() -> None:
    raised = fact("s", SessionParked(cause_seq=1, error="flow menu 7: KeyError", attempts=5))
    resumed = fact("s", SessionResumed())
    stored = records([*call("s"), raised, resumed, raised, resumed, decided("menu")])
    [row] = session_rows(folded_from("s", stored))
    assert (row.parked, row.flow_raised_at) == (False, stored[-3].stored_at)
    assert stored[-3].stored_at > stored[-5].stored_at
    [fine] = session_rows(folded_from("s", records(call("s"))))
    assert fine.flow_raised_at is None
