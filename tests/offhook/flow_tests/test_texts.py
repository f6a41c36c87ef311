"""Texts in the code of a copied session, and secrets, which are not there."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from examples.notification import Notification
from offhook.commands import Answer, Hangup, Speak, StartPlayback, Transfer
from offhook.events import (
    CallAiGatherEnded,
    CallInitiated,
)
from offhook.flow.typed_client_state import client_state
from offhook.flow_tests.code import Constants
from tests.offhook.flow_tests.copying import (
    LEG,
    PERSON,
    Log,
    copied,
    desk,
    require_fails,
    require_passes,
)

TEXT = (
    'She said "it\'s 10 °C in Zürich – 🌧️ or {not}?" \\ and then:\n\tpress 1.\u2028 '
    "A text that goes on for longer than a line has room for, because menus do. " * 3
)


def test_texts_with_quotes_unicode_and_any_length_come_back_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flow = desk(
        lambda event, session: [
            Answer(client_state=client_state(Notification(text="né"))),
            Speak(payload=TEXT, voice="AWS.Polly.Joanna"),
            Speak(payload="short 'n' \"sweet\"", voice="AWS.Polly.Joanna"),
        ]
    )
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming", from_="+12025550101")))
    code = copied(log.records)
    require_passes(code, flow, monkeypatch)
    assert '# {"Notification":{"text":"né"}}' in code
    assert max(map(len, code.splitlines())) <= 100
    changed = replace(
        flow,
        decide=lambda event, session: [
            replace(each, payload=TEXT + "!") if isinstance(each, Speak) else each
            for each in flow.decide(event, session)
        ],
    )
    require_fails(code, changed, monkeypatch)


def test_the_names_of_many_long_texts_do_not_take_long_to_choose() -> None:
    constants = Constants()
    reads = _CountedReads()
    constants.values = reads
    for number in range(300):
        name = constants.name_of(f"{number} {TEXT}", "payload")
        assert name == f"TEXT_{number + 1}"
    assert reads.count == 0


class _CountedReads(dict[str, str]):
    """Counts how often all of it is read."""

    count = 0

    def __iter__(self) -> Iterator[str]:
        self.count += 1
        return super().__iter__()


def test_secrets_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = desk(
        lambda event, session: [
            Transfer(to=PERSON, sip_auth_username="me", sip_auth_password="hunter2")
        ]
    )
    log = Log(flow)
    (transfer,) = log.decide(log.webhook(CallInitiated(direction="incoming")))
    log.fail(transfer, "transfer")
    code = copied(log.records)
    assert "hunter2" not in code
    filled_in = code.replace('SIP_AUTH_PASSWORD = "(hidden)"', 'SIP_AUTH_PASSWORD = "hunter2"')
    require_passes(filled_in, flow, monkeypatch)


def test_secrets_in_urls_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [f"https://h/{name}.mp3?token=hunter2" for name in ("hello", "bye")]
    flow = desk(
        lambda event, session: [StartPlayback(call_control_id=LEG, audio_url=url) for url in urls]
    )
    log = Log(flow)
    log.decide(log.webhook(CallInitiated(direction="incoming")))
    code = copied(log.records)
    assert "hunter2" not in code
    require_passes(code.replace("(hidden)", "hunter2"), flow, monkeypatch)


def test_secrets_in_what_a_caller_said_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = desk(lambda event, session: [Hangup()])
    log = Log(flow)
    said = {"name": "Ada", "door": {"access_token": "4711-secret"}}
    log.decide(log.webhook(CallAiGatherEnded(result=said)))
    code = copied(log.records)
    assert "Ada" in code
    assert "4711-secret" not in code
    require_passes(code, flow, monkeypatch)
