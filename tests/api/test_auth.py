"""Tokens and scopes, and what keeps the API from starting."""

import pytest

from offhook.api.app import run
from offhook.api.auth import SCOPES, tokens_from
from offhook.errors import SettingInvalid
from offhook.settings import Settings


def test_a_scope_includes_the_smaller_ones() -> None:
    tokens = tokens_from([f"{scope}:token-{scope}" for scope in SCOPES])
    for place, scope in enumerate(SCOPES):
        caller = tokens.caller(f"token-{scope}")
        assert caller is not None
        assert [caller.may(other) for other in SCOPES] == [
            number <= place for number in range(len(SCOPES))
        ]


def test_a_token_may_have_colons_and_its_name_tells_nothing_of_it() -> None:
    tokens = tokens_from(["command:a:b"])
    caller = tokens.caller("a:b")
    assert caller is not None
    assert caller.name.startswith("command-")
    assert "a:b" not in caller.name
    assert tokens.caller("a") is None
    assert tokens.caller("") is None


@pytest.mark.parametrize("text", ["secret", "root:secret", "read:", ":secret"])
def test_a_wrong_entry_is_named_by_its_place_and_not_told(text: str) -> None:
    with pytest.raises(SettingInvalid) as raised:
        tokens_from(["read:good", text])
    assert "OFFHOOK_API_TOKENS: entry 2" in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_the_api_does_not_start_without_tokens() -> None:
    with pytest.raises(SettingInvalid, match=r"OFFHOOK_API_TOKENS is not set.*scope:token"):
        await run(Settings())


async def test_the_api_does_not_start_with_a_carrier_that_is_no_address() -> None:
    with pytest.raises(SettingInvalid, match="OFFHOOK_CARRIER_URL is 'localhost'"):
        await run(Settings(api_tokens=("read:x",), carrier_url="localhost"))
