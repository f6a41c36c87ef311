"""`offhook verify`: what was signed is checked again, and an altered byte is found."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from nacl.signing import SigningKey
from sqlalchemy import text

from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.history.files import records_in, writing
from offhook.history.lines import line_of
from offhook.history.verifying import Verified
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, public_key_text, sign
from tests.cli.history.conftest import KEY, Installation, take_calls
from tests.cli.terminal import Printed, Terminal
from tests.offhook.history.test_lines import RECORD
from tests.projections.story import events_of

OLDER = SigningKey(b"o" * 32)
HEADERS = sign(RECORD.body, KEY, 1_600_000_000)
SIGNED = replace(RECORD, headers=HEADERS)


async def verified(here: Installation, *options: str) -> Printed:
    return await asyncio.to_thread(here.terminal, "verify", *options)


async def test_an_altered_byte_is_found_and_named(here: Installation) -> None:
    await take_calls(here, "s1", "s2")
    printed = await verified(here)
    assert printed.status == 0, printed.errors
    assert printed.output.splitlines() == [
        "18 webhooks",
        "18 authentic",
        f"  18 by key {public_key_text(KEY)}",
        "0 altered",
        "0 unsigned",
    ]

    async with here.engine.begin() as connection:
        changed = await connection.execute(
            text(
                "update event_log set body = set_byte(body, octet_length(body) - 12, 65)"
                " where event_id = 's2-event-3' returning seq"
            )
        )
        seq = changed.scalar_one()
    printed = await verified(here)
    assert printed.status == 1
    assert "17 authentic" in printed.output
    assert (
        f"1 altered\n  position 0:{seq}: event s2-event-3 of session s2, stored" in printed.output
    )
    assert (await verified(here, "--session", "s1")).status == 0
    as_json = (await verified(here, "--json", "--type", "call.initiated")).json
    assert (as_json["webhooks"], as_json["altered"]) == (4, 1)
    assert as_json["examples"]["altered"][0]["position"] == seq


async def test_which_key_signed_and_what_nobody_did(here: Installation, tmp_path: Path) -> None:
    first, second = (wire_body(event) for event in events_of("s")[:2])
    await here.log.append(
        "s", "in", encoded_webhook(first, "s-event-1"), headers=sign(first, OLDER, 1_600_000_000)
    )
    await here.log.append("s", "in", encoded_webhook(second, "s-event-2"))
    await here.project()
    printed = await verified(here)
    assert printed.status == 1
    assert "1 altered" in printed.output
    assert "1 unsigned" in printed.output
    older = ("--public-key", public_key_text(OLDER))
    printed = await verified(here, *older)
    assert f"1 authentic\n  1 by key {public_key_text(OLDER)}\n0 altered" in printed.output
    assert printed.status == 1
    assert (await verified(here, *older, "--allow-unsigned")).status == 0
    path = str(tmp_path / "calls.jsonl")
    await asyncio.to_thread(here.terminal, "export", "-o", path)
    assert [each.fact_id for each in records_in(path)] == ["s-event-1", "s-event-2"]
    printed = await verified(here, "--file", path, *older, "--allow-unsigned")
    assert (printed.status, "1 authentic" in printed.output) == (0, True)


def test_a_file_is_verified_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "calls.jsonl.zst")
    with writing(path) as file:
        file.write(line_of(SIGNED))
    terminal = Terminal(monkeypatch, capsys)
    printed = terminal("verify", "--file", path)
    assert printed.status == 1
    assert "there is no key to verify with: set OFFHOOK_PUBLIC_KEYS" in printed.errors
    key = ("--public-key", public_key_text(KEY))
    assert terminal("verify", "--file", path, *key).status == 0
    assert "cannot be used with --file" in (
        terminal("verify", "--file", path, *key, "--number", "+12025550100").errors
    )
    assert terminal("verify", "--file", path, "--public-key", "x").status == 1
    for chosen, named in (
        (("--session", "nope"), "session 'nope' has no records in "),
        (("--type", "call.hangupp"), "did you mean call.hangup?"),
    ):
        printed = terminal("verify", "--file", path, *key, *chosen)
        assert (printed.status, printed.output) == (1, "")
        assert named in printed.errors


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "authentic"),
        ({"body": SIGNED.body + b" "}, "altered"),
        ({"headers": HEADERS | {TIMESTAMP_HEADER: "1600000001"}}, "altered"),
        ({"headers": HEADERS | {SIGNATURE_HEADER: "AAAA"}}, "altered"),
        ({"headers": HEADERS | {SIGNATURE_HEADER: "no base64"}}, "altered"),
        ({"headers": {TIMESTAMP_HEADER: "1600000000"}}, "unsigned"),
        ({"headers": {}}, "unsigned"),
        ({"type": "Decided"}, None),
    ],
)
def test_each_verdict(change: dict[str, object], verdict: str | None) -> None:
    keys = [OLDER.verify_key, KEY.verify_key]
    found = Verified()
    assert found.check(replace(SIGNED, **change), keys) == verdict  # type: ignore[arg-type]
    assert found.by_key == ({1: 1} if verdict == "authentic" else {})
