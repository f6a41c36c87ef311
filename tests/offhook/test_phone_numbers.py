"""One number has many spellings, and one key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.phone_numbers import number_key, spellings

NUMBER = "+12025550101"


@pytest.mark.parametrize(
    "spelt",
    [
        NUMBER,
        "12025550101",
        " 12025550101",  # a plus in a URL that was not escaped
        "+1 (202) 555-0101",
        "+1.202.555.0101",
        "1\u00a0202\u00a0555\u00a00101",
        "sip:+12025550101@acme.sip.telnyx.com",
        "SIP:12025550101@acme.sip.telnyx.com",
        "sips:+12025550101@acme.sip.telnyx.com:5061;transport=tls",
        "sip:+12025550101;phone-context=+1@acme.sip.telnyx.com?X-A=b",
        "sip:%2B12025550101@acme.sip.telnyx.com",
        "sip:+12025550101:secret@acme.sip.telnyx.com",
        "+12025550101@192.76.120.10:5060",
        "tel:+1-202-555-0101",
        "tel:+12025550101;ext=7",
        "+12025550101,200",
    ],
)
def test_a_number_has_one_key(spelt: str) -> None:
    assert number_key(spelt) == number_key(NUMBER)


@pytest.mark.parametrize(
    "other",
    [
        "2025550101",
        "+442025550101",
        "0012025550101",
        "+12025550102",
        "+120255501011",
        "anonymous",
        "",
    ],
)
def test_no_country_code_is_guessed(other: str) -> None:
    assert number_key(other) != number_key(NUMBER)


def test_a_sip_user_counts_with_its_host() -> None:
    desk = number_key("sip:Desk@acme.sip.telnyx.com")
    assert number_key("sip:Desk@ACME.sip.telnyx.com:5060;transport=udp") == desk
    assert number_key("Desk@acme.sip.telnyx.com") == desk
    assert number_key("sip:desk@acme.sip.telnyx.com") != desk
    assert number_key("sip:Desk@other.sip.telnyx.com") != desk
    assert number_key("sip:101@acme.sip.telnyx.com") != number_key("sip:101@other.sip.telnyx.com")
    assert number_key("101") == "101"


@given(st.text(max_size=30))
def test_any_text_has_a_key_and_is_one_of_its_spellings(text: str) -> None:
    assert number_key(text) == number_key(text)
    assert text in spellings(text)


def test_a_list_is_filtered_by_how_the_carrier_spells_a_number() -> None:
    assert spellings("1 202 555 0101") == {"1 202 555 0101", NUMBER, "12025550101"}
    assert spellings("anonymous") == {"anonymous"}
