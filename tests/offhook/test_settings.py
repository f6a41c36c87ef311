"""Settings: a wrong value names its variable and what was expected."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import SettingInvalid
from offhook.settings import (
    PREFIX,
    Count,
    Factor,
    HttpUrl,
    NatsUrls,
    Partitions,
    Port,
    Rate,
    Seconds,
    Seed,
    Settings,
    Share,
    WholeSeconds,
    environment_from,
    settings_from,
)

FIELDS = dataclasses.fields(Settings)
LIST = tuple[str, ...]


def variable_of(name: str) -> str:
    return PREFIX + name.upper()


def test_without_variables_there_are_defaults() -> None:
    assert settings_from({}) == Settings()
    assert settings_from({"PATH": "/bin", "offhook_nats_url": "lower case"}) == Settings()


def test_every_variable_is_read_as_its_fields_type() -> None:
    settings = settings_from(
        {
            "OFFHOOK_NATS_URL": "nats://log:4222",
            "OFFHOOK_INGRESS_PORT": "9000",
            "OFFHOOK_CARRIER_TIMEOUT_S": "1.5",
            "OFFHOOK_PUBLIC_KEYS": " key1 , key2,,",
            "OFFHOOK_FLOWS": "",
            "OFFHOOK_API_DOCS": "false",
        }
    )
    assert settings == Settings(
        nats_url="nats://log:4222",
        ingress_port=9000,
        carrier_timeout_s=1.5,
        public_keys=("key1", "key2"),
        flows=(),
        api_docs=False,
    )


NUMBERS = {
    Port: (int, "a whole number from 0 to 65535"),
    Count: (int, "a whole number from 1 to 10000"),
    Partitions: (int, "a whole number from 1 to 64"),
    WholeSeconds: (int, "a whole number from 1 to 86400"),
    Seconds: (float, "a number above 0 to 3600"),
    Share: (float, "a number from 0 to 1"),
    Factor: (float, "a number above 0 to 1000"),
    Rate: (float, "a number from 0 to 10000"),
    Seed: (int, "a whole number from 0 to 4294967295"),
}
URLS = {
    HttpUrl: "http://… or https://…",
    NatsUrls: "nats://host:port, several separated by commas",
}
HTTP_URLS = (
    *("OFFHOOK_WEBHOOK_URL", "OFFHOOK_CARRIER_URL", "OFFHOOK_API_URL"),
    "OFFHOOK_NATS_MONITOR_URLS",
)
WRONG_TEXTS = {
    int: ["", "many", "1.5", "0x10", "true"],
    float: ["", "soon", "1,5", "2 s", "nan", "inf", "-1", "99999"],
}
WRONG: list[tuple[str, str, str]] = [
    (variable_of(item.name), text, NUMBERS[item.type][1])
    for item in FIELDS
    if item.type in NUMBERS
    for text in WRONG_TEXTS[NUMBERS[item.type][0]]
]
WRONG += [
    ("OFFHOOK_API_PORT", "65536", NUMBERS[Port][1]),
    ("OFFHOOK_API_PORT", "-1", NUMBERS[Port][1]),
    ("OFFHOOK_LANES_MAX", "0", NUMBERS[Count][1]),
    *(("OFFHOOK_PARTITIONS", text, NUMBERS[Partitions][1]) for text in ("0", "65")),
    ("OFFHOOK_CARRIER_TIMEOUT_S", "0", NUMBERS[Seconds][1]),
    *((variable, "ftp://x", URLS[HttpUrl]) for variable in HTTP_URLS),
    *(
        ("OFFHOOK_WEBHOOK_URL", text, URLS[HttpUrl])
        for text in ("ours.example", "http://", "https:/x")
    ),
    *(("OFFHOOK_NATS_URL", text, URLS[NatsUrls]) for text in ("ftp://x", "nats://a:1,http://b:1")),
    *(("OFFHOOK_API_DOCS", text, "true or false") for text in ("", "yes", "2", "off")),
]


@pytest.mark.parametrize(("variable", "text", "expected"), WRONG)
def test_a_wrong_value_names_variable_and_expectation(
    variable: str, text: str, expected: str
) -> None:
    with pytest.raises(SettingInvalid) as raised:
        settings_from({variable: text})
    assert str(raised.value) == f"{variable} is {text!r}; expected {expected}"


def test_an_unknown_variable_lists_the_known_ones() -> None:
    with pytest.raises(SettingInvalid) as raised:
        settings_from({"OFFHOOK_REDIS": "redis://cache:6379"})
    message = str(raised.value)
    assert message.startswith("OFFHOOK_REDIS is not a setting of Offhook; known: ")
    assert all(variable_of(item.name) in message for item in FIELDS)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("OFFHOOK_NATS_URI", "OFFHOOK_NATS_URL"),
        ("OFFHOOK_FLOW", "OFFHOOK_FLOWS"),
        ("OFFHOOK_APITOKENS", "OFFHOOK_API_TOKENS"),
    ],
)
def test_a_variable_with_a_typo_is_answered_with_the_one_that_was_meant(
    variable: str, meant: str
) -> None:
    with pytest.raises(SettingInvalid) as raised:
        settings_from({variable: "x"})
    assert str(raised.value) == f"{variable} is not a setting of Offhook; did you mean {meant}?"


def test_variables_of_the_test_run_are_no_settings() -> None:
    assert settings_from({"OFFHOOK_CAPTURES": "/captures"}) == Settings()


def test_secrets_are_not_shown() -> None:
    secrets = Settings(
        carrier_key="KEY-1",
        api_tokens=("admin:TOKEN-1",),
        signing_key="SEED-1",
        metrics_token="SEE-1",
    )
    shown = repr(secrets)
    assert not any(secret in shown for secret in ("KEY-1", "TOKEN-1", "SEED-1", "SEE-1"))


# ------------------------------------------------------------------ to a child process

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    bool: st.booleans(),
    Seed: st.integers(0, 4_294_967_295),
    Port: st.integers(0, 65535),
    Count: st.integers(1, 10_000),
    Partitions: st.integers(1, 64),
    WholeSeconds: st.integers(1, 86_400),
    Seconds: st.floats(0, 3600, exclude_min=True),
    Share: st.floats(0, 1),
    Factor: st.floats(0, 1000, exclude_min=True),
    Rate: st.floats(0, 10_000),
    HttpUrl: st.sampled_from(["", "http://127.0.0.1:8081", "HTTPS://ours.example/x?y=z"]),
    NatsUrls: st.sampled_from(["", "log:4222", "nats://a:4222,tls://b:4222", "localhost"]),
    tuple[HttpUrl, ...]: st.just(("http://a:8222", "http://b:8222")),
    LIST: st.lists(
        texts.map(lambda text: text.replace(",", "").strip()).filter(bool), max_size=3
    ).map(tuple),
}


@given(st.fixed_dictionaries({}, optional={item.name: VALUES[item.type] for item in FIELDS}))
def test_a_child_process_reads_the_same_settings(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    environment = environment_from(settings)
    assert settings_from(environment) == settings
    assert all(isinstance(text, str) for text in environment.values())


def test_only_what_differs_is_handed_on() -> None:
    assert environment_from(Settings()) == {}
    assert environment_from(Settings(api_port=9001, public_keys=("a", "b"))) == {
        "OFFHOOK_API_PORT": "9001",
        "OFFHOOK_PUBLIC_KEYS": "a,b",
    }


def test_every_field_has_a_type_that_can_be_read() -> None:
    assert {item.type for item in FIELDS} <= {str, bool, LIST, tuple[HttpUrl, ...], *URLS, *NUMBERS}
