"""The outcome of a command → the answer to the application. Pure.

    outcome                                       answer
    succeeded                                     200, the carrier's own body; {"data": {"result":
                                                  "ok"}} if it sent none, or none was needed
    refused, unauthorized, call_ended by carrier  the carrier's status and errors
    call_ended before it was sent                 422 with 90018
    invalid                                       422 with 10015
    deadline, and it was not performed            503 with 10007
    any failure, but it may have been performed   504 with 10008
    no outcome in time                            504 with 10008

504, and no other status, means that the outcome is unknown; with any other the command was not
performed. The official SDKs send a command again after a 5xx, which would be a second call if the
caller gave no command_id: so the header x-should-retry says "false". It is left out if the caller
gave the command_id and the outcome is open: the repeated request then waits for the same command.
"""

from typing import Any, assert_never

from offhook.api.errors import RETRY_HEADER, ErrorAnswer, refusal
from offhook.events import CommandFailed, CommandSucceeded, IssuedCommand


def answer_of(outcome: CommandSucceeded | CommandFailed) -> tuple[int, dict[str, Any]]:
    """Status and body of a success. Raises ErrorAnswer for a failure."""
    if isinstance(outcome, CommandFailed):
        raise _failure(outcome)
    # A success can have a 4xx: a hangup of an ended call, a repeated command.
    status = outcome.http_status or 200
    if not outcome.answer or not 200 <= status < 300:
        return 200, {"data": {"result": "ok"}}
    return status, outcome.answer


def no_outcome(command: IssuedCommand, waited_s: float, *, given: bool) -> ErrorAnswer:
    """The command is in the log, and its outcome is not known yet."""
    return refusal(
        504,
        "10008",
        f"The {command.operation} with command_id {command.command_id} was accepted, but had no "
        f"outcome within {waited_s:g} s. It may have been performed, or still be until 45 s after "
        f"the request. GET /commands/{command.command_id} shows its outcome; another request with "
        "this command_id waits for the same command",
        headers={} if given else {RETRY_HEADER: "false"},
    )


def not_begun(command: IssuedCommand, waited_s: float) -> ErrorAnswer:
    """The time was up before the command was in the log: late is worse than never."""
    return refusal(
        503,
        "10007",
        f"The {command.operation} with command_id {command.command_id} could not be accepted "
        f"within {waited_s:g} s: the log or the views did not answer. This request did nothing",
    )


def not_appended(command: IssuedCommand, why: str, *, given: bool) -> ErrorAnswer:
    """The log did not acknowledge in time; it may have stored the command all the same."""
    return refusal(
        503,
        "10007",
        f"The {command.operation} with command_id {command.command_id} could not be accepted for "
        f"certain: {why}. It may be carried out all the same; a request with this command_id does "
        "not repeat it",
        headers={} if given else {RETRY_HEADER: "false"},
    )


def _failure(failed: CommandFailed) -> ErrorAnswer:
    which = f"The {failed.operation} with command_id {failed.command_id}"
    if _may_have_been_performed(failed):
        detail = (
            f"{which} failed, but may have been performed: {failed.detail}. Webhooks show "
            "what the carrier did"
        )
        if failed.operation == "dial" and failed.reason == "call_ended":
            detail += "; if its leg comes up, it is hung up"
        return refusal(504, "10008", detail, headers={RETRY_HEADER: "false"})
    match failed.reason:
        case "refused" | "unauthorized" | "call_ended" if failed.http_status is not None:
            if failed.errors:
                return ErrorAnswer(failed.http_status, failed.errors)
            detail = f"The carrier answered {failed.detail} without saying why"
            return refusal(failed.http_status, "10015", detail)
        case "call_ended":
            return refusal(422, "90018", failed.detail)
        case "invalid" | "refused" | "unauthorized":
            return refusal(422, "10015", failed.detail)
        case "deadline":
            detail = f"{which} was given up: {failed.detail}"
            return refusal(503, "10007", detail, headers={RETRY_HEADER: "false"})
        case _:
            assert_never(failed.reason)


def _may_have_been_performed(failed: CommandFailed) -> bool:
    """Old records do not say; then it is open if the deadline passed."""
    if failed.maybe_performed is None:
        return failed.reason == "deadline"
    return failed.maybe_performed
