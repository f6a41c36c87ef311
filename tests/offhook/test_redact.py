"""Secrets by name: in commands' parameters, in any JSON, in messages."""

from typing import Any

import msgspec
import pytest

from offhook.commands import COMMANDS
from offhook.errors import ParameterInvalid
from offhook.redact import HIDDEN, LEVELS_MAX, TOO_DEEP, hidden, is_secret_name

SECRETS = {"payment_token", "sip_auth_password", "stream_auth_token"}


def test_the_secrets_among_all_parameters_of_commands() -> None:
    """A new secret parameter must be named here, and recognised by its name."""
    _, schemas = msgspec.json.schema_components(tuple(COMMANDS.values()))
    names = {name for schema in schemas.values() for name in schema.get("properties", {})}
    suspects = {name for name in names if any(part in name for part in ("pass", "secret", "token"))}
    assert suspects == SECRETS
    assert {name for name in names if is_secret_name(name)} == SECRETS


@pytest.mark.parametrize("name", [*sorted(SECRETS), "password", "client_secret"])
def test_an_error_does_not_show_a_secret(name: str) -> None:
    error = ParameterInvalid("dial", name, "hush", "expected another")
    assert "hush" not in str(error)
    assert str(error) == f"dial: {name} is a secret; expected another"


def test_secrets_are_hidden_wherever_they_are() -> None:
    value = {
        "to": "+12025550123",
        "sip_auth_password": "hush",
        "list": [{"API_KEY": "hush", "api_key_ref": "a name"}],
        "token": {"not": "a text"},
        "tuple": ("x",),
    }
    assert hidden(value) == {
        "to": "+12025550123",
        "sip_auth_password": HIDDEN,
        "list": [{"API_KEY": HIDDEN, "api_key_ref": "a name"}],
        "token": {"not": "a text"},
        "tuple": ["x"],
    }


def test_a_secret_may_be_a_number() -> None:
    value = {"password": 1234, "pin_token": 5.5, "is_token": True, "secret": None, "digits": 7}
    assert hidden(value) == value | {"password": HIDDEN, "pin_token": HIDDEN}


@pytest.mark.parametrize(
    "name", ["X-Api-Key", "Proxy-Authorization", "X-Auth-Token", "X-Password", "x-secret-key"]
)
@pytest.mark.parametrize("value", ["hush", 1234])
def test_a_header_with_the_name_of_a_secret_is_hidden(name: str, value: object) -> None:
    others = [{"name": "X-Account-Id", "value": "1234"}, {"name": "X-Authorized", "value": "yes"}]
    headers = [{"name": name, "value": value, "password": "hush"}, *others]
    seen = {"name": name, "value": HIDDEN, "password": HIDDEN}
    assert hidden({"custom_headers": headers}) == {"custom_headers": [seen, *others]}


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://h/a?token=hush&b=1", f"https://h/a?token={HIDDEN}&b=1"),
        (
            "https://h/?b=1&X-Amz-Signature=hush#access_token=hush",
            f"https://h/?b=1&X-Amz-Signature={HIDDEN}#access_token={HIDDEN}",
        ),
        ("wss://me:hush@h/s?sig=hu,sh", f"wss://{HIDDEN}@h/s?sig={HIDDEN}"),
        ("see https://h/?API_KEY=hush now", f"see https://h/?API_KEY={HIDDEN} now"),
        ("https://h/?page=2&state=open", "https://h/?page=2&state=open"),
        ("sip:me@h;token=1", "sip:me@h;token=1"),
        ("https://h/token=1?mail=a@b", "https://h/token=1?mail=a@b"),
    ],
)
def test_the_secrets_in_a_url_are_hidden_and_nothing_else(url: str, seen: str) -> None:
    assert hidden({"webhook_url": url, "nested": [{"stream_url": url}]}) == {
        "webhook_url": seen,
        "nested": [{"stream_url": seen}],
    }


def test_the_links_of_a_recording_are_whole() -> None:
    """They are what their reader wants, and hold for a while only."""
    signed = "https://h/a.wav?X-Amz-Signature=s&X-Amz-Expires=600"
    links = {"recording_urls": {"wav": signed}, "public_recording_urls": {}}
    assert hidden({"payload": links}) == {"payload": links}
    assert hidden({"recording_urls": [signed]}) != {"recording_urls": [signed]}


def test_an_error_does_not_show_the_secret_in_a_url() -> None:
    error = ParameterInvalid("dial", "webhook_url", "ftp://h/?token=hush", "expected https")
    assert str(error) == f"dial: webhook_url is 'ftp://h/?token={HIDDEN}'; expected https"


def test_the_depth_is_bounded() -> None:
    nested: Any = "bottom"
    for _ in range(LEVELS_MAX + 1):
        nested = [nested]
    found = hidden(nested)
    for _ in range(LEVELS_MAX):
        (found,) = found
    assert found == TOO_DEEP
