"""What came of a command → what the application is answered."""

from typing import get_args

import pytest

from offhook.api.errors import ErrorAnswer
from offhook.api.telnyx.answers import answer_of
from offhook.events import CommandFailed, CommandSucceeded, FailureReason

OK = {"data": {"result": "ok"}}


def failed(
    reason: FailureReason,
    status: int | None = None,
    *codes: str,
    maybe_performed: bool | None = False,
) -> CommandFailed:
    return CommandFailed(
        command_id="c",
        operation="answer",
        reason=reason,
        detail="why",
        http_status=status,
        errors=[{"code": code, "title": "t"} for code in codes],
        maybe_performed=maybe_performed,
    )


@pytest.mark.parametrize(
    ("succeeded", "status", "body"),
    [
        (CommandSucceeded(command_id="c", http_status=200, answer={"data": 1}), 200, {"data": 1}),
        (CommandSucceeded(command_id="c", http_status=201, answer={"data": 1}), 201, {"data": 1}),
        (CommandSucceeded(command_id="c", http_status=200), 200, OK),
        (CommandSucceeded(command_id="c"), 200, OK),
        (CommandSucceeded(command_id="c", http_status=422, note="already ended"), 200, OK),
    ],
)
def test_a_success_is_a_2xx(succeeded: CommandSucceeded, status: int, body: object) -> None:
    assert answer_of(succeeded) == (status, body)


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (failed("refused", 422, "90034"), 422, "90034"),
        (failed("refused", 404, "10005"), 404, "10005"),
        (failed("refused", 400), 400, "10015"),
        (failed("unauthorized", 401, "10009"), 401, "10009"),
        (failed("call_ended", 422, "90018"), 422, "90018"),
        (failed("call_ended"), 422, "90018"),
        (failed("invalid"), 422, "10015"),
        (failed("deadline"), 503, "10007"),
        # What may have been performed has one answer: nobody knows.
        (failed("deadline", maybe_performed=True), 504, "10008"),
        (failed("call_ended", maybe_performed=True), 504, "10008"),
        (failed("call_ended", 422, "90018", maybe_performed=True), 504, "10008"),
        (failed("unauthorized", 401, "10009", maybe_performed=True), 504, "10008"),
        (failed("invalid", maybe_performed=True), 504, "10008"),
        # Recorded before that was kept.
        (failed("deadline", maybe_performed=None), 504, "10008"),
        (failed("call_ended", maybe_performed=None), 422, "90018"),
    ],
)
def test_a_failure_is_told_as_the_carrier_told_it(
    failure: CommandFailed, status: int, code: str
) -> None:
    with pytest.raises(ErrorAnswer) as raised:
        answer_of(failure)
    assert raised.value.status == status
    assert [error["code"] for error in raised.value.errors] == [code]


def test_only_what_was_not_done_is_answered_with_anything_but_a_504() -> None:
    for reason in get_args(FailureReason):
        for status in (None, 422):
            with pytest.raises(ErrorAnswer) as raised:
                answer_of(failed(reason, status, maybe_performed=True))
            assert raised.value.status == 504
            assert raised.value.headers["x-should-retry"] == "false"
            (error,) = raised.value.errors
            assert "may have been performed: why" in error["detail"]
