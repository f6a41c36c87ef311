"""The sentence on top of a session's page: what failed first, then how the call ended."""

from typing import Any

import pytest

from offhook.wording.why import tone_of, why

START, ANSWER, END = (f"2026-11-27T10:00:{second:02}.000000Z" for second in (0, 2, 12))


def leg(**given: Any) -> dict[str, Any]:
    return {
        "call_control_id": "v3:a",
        "direction": "incoming",
        "from_number": "+12025550101",
        "to_number": "+12025550102",
        "state": "ended",
        "started_at": START,
        "answered_at": ANSWER,
        "bridged_at": None,
        "ended_at": END,
        "hangup_cause": "normal_clearing",
        "hangup_source": "caller",
        "sip_hangup_cause": "200",
        "queue": None,
        "machine_detection": None,
        "dequeued_at": None,
    } | given


def placed(**given: Any) -> dict[str, Any]:
    """A leg that a transfer placed, and that was not answered."""
    return leg(
        **{
            "call_control_id": "v3:b",
            "direction": "outgoing",
            "to_number": "+12025550186",
            "answered_at": None,
            "hangup_cause": "user_busy",
            "hangup_source": "callee",
            "sip_hangup_cause": "486",
        }
        | given
    )


def command(**given: Any) -> dict[str, Any]:
    return {
        "operation": "hangup",
        "call_control_id": "v3:a",
        "parameters": {},
        "status": "succeeded",
        "reason": None,
        "detail": "",
        "http_status": 200,
        "errors": None,
        "maybe_performed": None,
        "attempts": 1,
        "flow": "desk",
    } | given


def detail(
    legs: list[dict[str, Any]], commands: list[dict[str, Any]] | None = None, **session: Any
) -> dict[str, Any]:
    is_up = any(each["ended_at"] is None for each in legs)
    answered = [each["answered_at"] for each in legs if each["answered_at"]]
    found = {
        "status": ("active" if is_up else "ended") if legs else "empty",
        "answered_at": min(answered, default=None),
        "parked": False,
        "fold_error": None,
        "end_inferred": False,
    } | session
    return {"session": found, "legs": legs, "commands": commands or []}


DIAL = command(operation="dial", call_control_id=None, parameters={"to": "+12025550154"})

DESK = placed(
    to_number="+12025550123",
    answered_at=ANSWER,
    bridged_at=ANSWER,
    hangup_cause="normal_clearing",
    hangup_source="caller",
    sip_hangup_cause="200",
)
OF_DESK = {"call_control_id": DESK["call_control_id"]}

CASES = {
    "caller hangs up": (
        detail([leg()]),
        "good",
        "The caller +12025550101 hung up 10 s after the answer "
        "(normal_clearing, SIP 200 OK, ended by the caller).",
    ),
    "flow hangs up": (
        detail([leg(hangup_source="callee")], [command()]),
        "good",
        "The flow desk hung up 10 s after the answer (normal_clearing, SIP 200 OK).",
    ),
    "flow hangs up the connected leg": (
        detail([leg(hangup_source="callee", bridged_at=ANSWER), DESK], [command(**OF_DESK)]),
        "good",
        "The flow desk hung up the connected leg +12025550101 → +12025550123 10 s after the answer "
        "(normal_clearing, SIP 200 OK).",
    ),
    "connected leg hangs up and is hung up later": (
        detail(
            [
                leg(hangup_source="callee", bridged_at=ANSWER),
                DESK | {"hangup_source": "callee"},
            ],
            [command(**OF_DESK, detail="already ended", attempts=2)],
        ),
        "good",
        "The called side hung up 10 s after the answer "
        "(normal_clearing, SIP 200 OK, ended by the callee).",
    ),
    "caller hangs up, and the flow the connected leg": (
        detail([leg(bridged_at=ANSWER), DESK], [command(**OF_DESK)]),
        "good",
        "The caller +12025550101 hung up 10 s after the answer "
        "(normal_clearing, SIP 200 OK, ended by the caller).",
    ),
    "hangup without an answer that had its effect": (
        detail(
            [leg(hangup_source="callee")],
            [command(detail="the call had already ended", attempts=1, http_status=None)],
        ),
        "good",
        "The flow desk hung up 10 s after the answer (normal_clearing, SIP 200 OK).",
    ),
    "caller hangs up while a hangup is retried": (
        detail(
            [leg()], [command(detail="the call had already ended", attempts=1, http_status=None)]
        ),
        "good",
        "The caller +12025550101 hung up 10 s after the answer "
        "(normal_clearing, SIP 200 OK, ended by the caller).",
    ),
    "flow cuts a leg": (
        detail([leg(hangup_cause="unspecified", sip_hangup_cause="500")], [command()]),
        "bad",
        "The call to +12025550102 was cut: the carrier gave no cause (unspecified, SIP 500 Server "
        "Internal Error, ended by the flow desk).",
    ),
    "application hangs up": (
        detail([leg()], [command(flow="api")]),
        "good",
        "An application hung up 10 s after the answer (normal_clearing, SIP 200 OK).",
    ),
    "hangup of an ended call": (
        detail([leg(hangup_source="callee")], [command(detail="the call had ended")]),
        "good",
        "The called side hung up 10 s after the answer "
        "(normal_clearing, SIP 200 OK, ended by the callee).",
    ),
    "caller gives up": (
        detail([leg(answered_at=None, hangup_cause="originator_cancel", sip_hangup_cause="487")]),
        "warn",
        "The caller +12025550101 hung up 12 s after the start, before an answer "
        "(originator_cancel, SIP 487 Request Terminated, ended by the caller).",
    ),
    "caller gives up while it rings": (
        detail([leg(), placed(hangup_cause="originator_cancel", sip_hangup_cause="487")]),
        "warn",
        "The caller +12025550101 hung up 10 s after the answer (normal_clearing, SIP 200 OK, "
        "ended by the caller). +12025550186 had not answered yet.",
    ),
    "flow rejects": (
        detail(
            [leg(answered_at=None, hangup_cause="user_busy", sip_hangup_cause="486")],
            [command(operation="reject", parameters={"cause": "USER_BUSY"})],
        ),
        "warn",
        "The flow desk rejected the call (USER_BUSY, user_busy, SIP 486 Busy Here).",
    ),
    "transfer is busy": (
        detail([leg(), placed()], [command()]),
        "bad",
        "The leg to +12025550186 was not answered: busy (user_busy, SIP 486 Busy Here, ended by "
        "the callee). The flow desk hung up 10 s after the answer "
        "(normal_clearing, SIP 200 OK).",
    ),
    "nobody answers a call placed by us": (
        detail([placed(hangup_cause="timeout", hangup_source="unknown", sip_hangup_cause="487")]),
        "bad",
        "The call to +12025550186 was not answered: nobody answered before timeout_secs ran out "
        "(timeout, SIP 487 Request Terminated).",
    ),
    "a call placed by us is forbidden": (
        detail([placed(hangup_cause="call_rejected", sip_hangup_cause="403", hangup_source=None)]),
        "bad",
        "The call to +12025550186 was not answered: the call was rejected (call_rejected, SIP 403 "
        "Forbidden). Telnyx sends 403 when a channel limit is reached, or the connection, the "
        "outbound voice profile, the destination or the caller ID is not allowed.",
    ),
    "time limit": (
        detail([leg(hangup_cause="time_limit", hangup_source="unknown")]),
        "bad",
        "The call to +12025550102 was cut: time_limit_secs of the leg ran out "
        "(time_limit, SIP 200 OK).",
    ),
    "a cause that is new": (
        detail([placed(hangup_cause="moon_phase", sip_hangup_cause="unspecified")]),
        "bad",
        "The call to +12025550186 was not answered: moon_phase (moon_phase, ended by the callee).",
    ),
    "dial refused": (
        detail(
            [],
            [
                DIAL
                | {
                    "status": "failed",
                    "reason": "refused",
                    "http_status": 422,
                    "errors": [{"code": "90041", "title": "Channel limit exceeded"}],
                }
            ],
        ),
        "bad",
        "The command dial to +12025550154 failed: the carrier refused it "
        "(HTTP 422, 90041 Channel limit exceeded). No call was placed.",
    ),
    "dial perhaps performed": (
        detail(
            [],
            [
                DIAL
                | {
                    "status": "failed",
                    "reason": "deadline",
                    "detail": "45 s have passed",
                    "http_status": None,
                    "maybe_performed": True,
                }
            ],
        ),
        "bad",
        "The command dial to +12025550154 failed: the carrier did not accept it in time "
        "(45 s have passed). It may have been performed. No call of it has been seen.",
    ),
    "a machine answers": (
        detail(
            [leg(direction="outgoing", machine_detection="machine", hangup_source="callee")],
            [command()],
        ),
        "good",
        "An answering machine answered at +12025550102 (machine detection: machine). The flow desk "
        "hung up 10 s after the answer (normal_clearing, SIP 200 OK).",
    ),
    "a leg that nobody wants": (
        detail([leg(direction="outgoing", hangup_source="caller")], [command(flow="unwanted-leg")]),
        "good",
        "Offhook (its dial had failed, and nobody wanted the leg any more) hung up 10 s after the "
        "answer (normal_clearing, SIP 200 OK).",
    ),
    "deadline, perhaps performed": (
        detail(
            [leg()],
            [
                command(
                    operation="speak",
                    status="failed",
                    reason="deadline",
                    detail="not accepted within 45 s",
                    http_status=None,
                    maybe_performed=True,
                )
            ],
        ),
        "bad",
        "The command speak failed: the carrier did not accept it in time "
        "(not accepted within 45 s). It may have been performed. The caller +12025550101 hung up "
        "10 s after the answer (normal_clearing, SIP 200 OK, ended by the caller).",
    ),
    "a command after the end is no cause": (
        detail([leg()], [command(operation="speak", status="failed", reason="call_ended")]),
        "good",
        "The caller +12025550101 hung up 10 s after the answer "
        "(normal_clearing, SIP 200 OK, ended by the caller).",
    ),
    "an answer that was retried until the caller left": (
        detail(
            [leg(answered_at=None, hangup_cause="originator_cancel", sip_hangup_cause="487")],
            [
                command(
                    operation="answer",
                    status="failed",
                    reason="call_ended",
                    http_status=None,
                    attempts=14,
                    maybe_performed=True,
                    detail="the call has ended; 14 attempts, which may have been performed; "
                    "last: 503 10007 Service unavailable",
                )
            ],
        ),
        "bad",
        "The command answer failed: it had not succeeded when its leg ended (the call has ended; "
        "14 attempts, which may have been performed; last: 503 10007 Service unavailable). "
        "The caller +12025550101 hung up 12 s after the start, before an answer "
        "(originator_cancel, SIP 487 Request Terminated, ended by the caller).",
    ),
    "hangup lost": (
        detail([leg(ended_at=None)], status="ended", end_inferred=True),
        "warn",
        "No hangup was received; the carrier's time limit for the call has passed.",
    ),
    "not readable": (
        detail([leg(ended_at=None)], fold_error="record 7 has version 9"),
        "bad",
        "The views cannot follow this session: record 7 has version 9. The call is up.",
    ),
    "talking": (
        detail(
            [
                leg(ended_at=None, state="bridged"),
                placed(ended_at=None, state="bridged", answered_at=ANSWER),
            ]
        ),
        "info",
        "The call is up: two legs are connected.",
    ),
    "ringing": (
        detail([leg(ended_at=None, state="answered"), placed(ended_at=None, state="initiated")]),
        "info",
        "The call is up; +12025550186 has not answered yet.",
    ),
    "in a queue": (
        detail([leg(ended_at=None, state="answered", queue="support")]),
        "info",
        "The call is up and waits in the queue support.",
    ),
    "setting up": (
        detail([leg(ended_at=None, state="initiated", answered_at=None)]),
        "info",
        "The call is not answered yet.",
    ),
    "dial on its way": (
        detail([], [DIAL | {"status": "pending", "http_status": None}]),
        "info",
        "A command is on its way; there is no call yet.",
    ),
}


@pytest.mark.parametrize(("shown", "tone", "text"), CASES.values(), ids=CASES)
def test_it_says_why(shown: dict[str, Any], tone: str, text: str) -> None:
    assert " ".join(why(shown)) == text
    assert tone_of(shown) == tone


def parked(**fields: Any) -> list[dict[str, Any]]:
    cause = {"seq": 7, "type": "WebhookReceived", "fields": {"event_type": "call.answered"}}
    error = "flow desk 7: KeyError: 'name'"
    given = {"cause_seq": 7, "error": error, "attempts": 5} | fields
    return [cause, {"seq": 9, "type": "SessionParked", "fields": given}]


def test_a_parked_session_shows_the_error_of_its_flow() -> None:
    shown = detail([leg(ended_at=None)], parked=True)
    assert why(shown, parked()) == [
        "The flow desk 7 raised an error on call.answered in each of 5 attempts: KeyError: 'name'. "
        "The session is parked: its flow decides nothing until it is resumed.",
        "The call is up.",
    ]
    assert tone_of(shown) == "bad"
    assert why(shown)[0].startswith("The flow raised an error, so the session is parked until")


def test_a_resumed_session_shows_what_had_happened() -> None:
    shown = detail([leg()])
    assert (tone_of(shown), tone_of(shown, parked())) == ("good", "warn")
    (found, _) = why(shown, parked(attempts=1))
    assert found.endswith("KeyError: 'name'. An operator has resumed the session since.")


def test_what_failed_again_and_again_is_said_once() -> None:
    """A flow that repeated a wrong transfer gave a thousand equal sentences."""
    wrong = command(
        operation="transfer",
        parameters={"to": "555"},
        status="failed",
        reason="invalid",
        detail="transfer: to is '555'",
        http_status=None,
    )
    other = wrong | {"parameters": {"to": "556"}, "detail": "transfer: to is '556'"}
    because = "it was not sent, because a parameter is not allowed"
    (first, second, _) = why(detail([leg()], [wrong, other, *[wrong] * 1_000]))
    assert first == (
        f"The command transfer to 555 failed 1,001 times: {because} (transfer: to is '555')."
    )
    assert second == f"The command transfer to 556 failed: {because} (transfer: to is '556')."
