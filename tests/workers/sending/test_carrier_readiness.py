"""What turns a worker's readiness red, and what turns it green again."""

from offhook.events import CommandFailed, CommandSucceeded
from offhook.workers.sending.carrier_readiness import CarrierReadiness

DONE = CommandSucceeded(command_id="c", http_status=200)
NOT_SENT = CommandSucceeded(command_id="c", note="the call had already ended")


def refused(operation: str, group: str) -> CommandFailed:
    return CommandFailed(
        command_id="c",
        operation=operation,
        reason="unauthorized" if group == "unauthorized" else "refused",
        detail=f"4xx {group}",
        group=group,
    )


def test_a_refused_key_is_trouble_until_any_command_succeeds() -> None:
    readiness = CarrierReadiness()
    assert readiness.trouble == ""
    readiness.learn("dial", refused("dial", "unauthorized"))
    assert readiness.trouble == (
        "the carrier refuses OFFHOOK_CARRIER_KEY for dial: 4xx unauthorized"
    )
    readiness.learn("hangup", NOT_SENT)
    assert readiness.trouble, "nothing was sent, so nothing was learned"
    readiness.learn("hangup", DONE)
    assert readiness.trouble == ""


def test_a_stopped_account_is_trouble_until_the_same_operation_succeeds() -> None:
    readiness = CarrierReadiness()
    readiness.learn("dial", refused("dial", "account"))
    readiness.learn("hangup", DONE)
    assert readiness.trouble == "the carrier refuses commands of this account: dial: 4xx account"
    readiness.learn("dial", DONE)
    assert readiness.trouble == ""


def test_the_key_is_told_before_the_account() -> None:
    readiness = CarrierReadiness()
    readiness.learn("dial", refused("dial", "account"))
    readiness.learn("answer", refused("answer", "unauthorized"))
    assert "OFFHOOK_CARRIER_KEY" in readiness.trouble


def test_other_refusals_are_no_trouble() -> None:
    readiness = CarrierReadiness()
    for group in ("not_permitted", "capacity", "wrong_value", "leg_unknown", "unexplained", ""):
        readiness.learn("dial", refused("dial", group))
    assert readiness.trouble == ""
