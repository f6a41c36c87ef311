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
    standing = CarrierReadiness()
    assert standing.trouble == ""
    standing.learn("dial", refused("dial", "unauthorized"))
    assert standing.trouble == (
        "the carrier refuses OFFHOOK_CARRIER_KEY for dial: 4xx unauthorized"
    )
    standing.learn("hangup", NOT_SENT)
    assert standing.trouble, "nothing was sent, so nothing was learned"
    standing.learn("hangup", DONE)
    assert standing.trouble == ""


def test_a_stopped_account_is_trouble_until_the_same_operation_succeeds() -> None:
    standing = CarrierReadiness()
    standing.learn("dial", refused("dial", "account"))
    standing.learn("hangup", DONE)
    assert standing.trouble == "the carrier has stopped the account: dial: 4xx account"
    standing.learn("dial", DONE)
    assert standing.trouble == ""


def test_the_key_is_told_before_the_account() -> None:
    standing = CarrierReadiness()
    standing.learn("dial", refused("dial", "account"))
    standing.learn("answer", refused("answer", "unauthorized"))
    assert "OFFHOOK_CARRIER_KEY" in standing.trouble


def test_other_refusals_are_no_trouble() -> None:
    standing = CarrierReadiness()
    for group in ("not_permitted", "capacity", "wrong_value", "leg_unknown", "unexplained", ""):
        standing.learn("dial", refused("dial", group))
    assert standing.trouble == ""
