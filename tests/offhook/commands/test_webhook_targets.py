"""Webhooks that a command sends elsewhere: refused where they can never be read, else warned of."""

from typing import Any

import pytest

from offhook.commands.catalog import check, command_from
from offhook.commands.webhook_targets import sent_elsewhere
from offhook.errors import ParameterInvalid
from offhook.events import IssuedCommand

OWN = "https://voice.example.com/webhooks/telnyx"
LOOPBACK = "http://127.0.0.1:8080/webhooks/telnyx"
OTHER = "https://other.example.com/my/app"
NEEDED: dict[str, dict[str, Any]] = {
    "dial": {"to": "+12025550123", "from": "+12025550199", "connection_id": "1"},
    "answer": {},
    "transfer": {"to": "+12025550123"},
}


def issued(operation: str, **more: Any) -> IssuedCommand:
    leg = None if operation == "dial" else "v3:a"
    return IssuedCommand(
        command_id="c",
        operation=operation,
        call_control_id=leg,
        parameters={**NEEDED[operation], **more},
    )


def warned(own_url: str = OWN, operation: str = "dial", **more: Any) -> list[str]:
    return list(sent_elsewhere(issued(operation, **more), own_url))


@pytest.mark.parametrize("operation", NEEDED)
@pytest.mark.parametrize("name", ["webhook_url_method", "webhook_urls_method"])
def test_webhooks_by_get_are_refused_before_they_are_sent(operation: str, name: str) -> None:
    command = issued(operation, **{name: "GET"})
    # The carrier itself allows them.
    command_from(operation, command.parameters, command.call_control_id)
    with pytest.raises(ParameterInvalid) as raised:
        check(command)
    assert str(raised.value) == (
        f"{operation}: {name} is 'GET'; expected 'POST': ingress answers 405 to webhooks by any "
        "other method"
    )
    check(issued(operation, **{name: "POST"}))


@pytest.mark.parametrize("operation", NEEDED)
def test_webhooks_to_another_program_are_warned_of(operation: str) -> None:
    check(issued(operation, webhook_url=OTHER))
    [warning] = warned(operation=operation, webhook_url=OTHER)
    assert warning.startswith(f"{operation}: the call's webhooks go to webhook_url '{OTHER}'")
    assert OWN in warning
    elsewhere = {"call.hangup": OTHER, "call.answered": [OTHER, OWN], "call.bridged": [OTHER]}
    warnings = warned(operation=operation, webhook_urls=elsewhere)
    assert [warning.split()[3] for warning in warnings] == ["call.hangup", "call.bridged"]


@pytest.mark.parametrize(
    ("own_url", "url", "is_own"),
    [
        (OWN, OWN, True),
        (OWN, OWN + "/", True),
        (OWN, "https://voice.example.com/other", False),
        (OWN, "https://other.example.com/webhooks/telnyx", False),
        # Nobody has said by which name the carrier reaches ingress.
        (LOOPBACK, OWN, True),
        (LOOPBACK, "http://127.0.0.1:9/my/app", False),
        (LOOPBACK, "https://voice.example.com:port/webhooks/telnyx", False),
        ("", OTHER, True),
    ],
)
def test_what_counts_as_our_own_address(own_url: str, url: str, is_own: bool) -> None:
    assert (warned(own_url, webhook_url=url) == []) == is_own


def test_a_command_that_says_nothing_of_webhooks_has_no_warning() -> None:
    assert warned() == []
    assert list(sent_elsewhere(IssuedCommand(command_id="c", operation="hangup"), OWN)) == []


def test_a_warning_shows_no_password_of_an_address() -> None:
    own = "https://desk:hush@voice.example.com/webhooks/telnyx"
    other = "https://desk:hush@other.example.com/my/app?token=hush"
    warnings = warned(own, webhook_url=other, webhook_urls={"call.hangup": [other]})
    assert len(warnings) == 2
    assert all("//voice.example.com" in each and "//other.example.com" in each for each in warnings)
    assert "hush" not in " ".join(warnings)
