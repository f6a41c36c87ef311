"""Texts of `offhook show`: times, what was spoken, links, why it ended, and lines of any width."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from offhook.cli.show import follow
from offhook.cli.show.columns import elapsed, elapsed_from
from offhook.cli.show.fold import detail_of_call, links_of
from offhook.cli.show.hanging import hanging
from offhook.cli.show.text import is_over
from offhook.events import CommandFailed, CommandSucceeded, IssuedCommand
from offhook.position import position_of
from offhook.session import fold
from offhook.settings import Settings
from tests.cli.show.printing import decision, printed, records_of, shown
from tests.example_events import example_event
from tests.memory_log import MemoryLog
from tests.projections.story import NOON, Entry, call, dial_of, events_of, fact, webhook


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "+0.000"),
        (59.9994, "+59.999"),
        (59.9996, "+1:00.000"),
        (65.123, "+1:05.123"),
        (7265.5, "+2:01:05.500"),
        (-0.003, "-0.003"),
    ],
)
def test_elapsed_times_are_in_seconds_minutes_and_hours(seconds: float, shown: str) -> None:
    assert elapsed(NOON + timedelta(seconds=seconds), NOON) == shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("+1s", 1), ("+1.5m", 90), ("+250ms", 0.25), ("+1:05.123", 65.123), ("+2:01:05", 7265)],
)
def test_an_elapsed_time_is_read_as_it_is_written(text: str, seconds: float) -> None:
    assert elapsed_from(text) == timedelta(seconds=seconds, microseconds=500)


@pytest.mark.parametrize("text", ["1s", "+", "+1x", "-1s", "+1:99:", "+1:2:3:4", "+1e9", "5m"])
def test_what_is_no_elapsed_time_is_not_read(text: str) -> None:
    assert elapsed_from(text) is None


def test_what_is_spoken_is_in_quotes_and_shortened() -> None:
    said = "For sales press 1, for support\npress 2, for all else stay on the line, please."
    decided = decision(
        command("speak", payload="Hello."),
        command("gather_using_speak", payload=said),
        command("gather_using_ai", greeting="Who is calling?"),
        command("transfer", to="+12025550121"),
        command("hangup"),
    )
    heard = example_event("call.transcription", transcription_data={"transcript": "the desk"})
    text = printed([fact("s", decided), webhook("s", replace(heard, occurred_at=None))])
    assert (
        "speak L1 “Hello.”, gather_using_speak L1 “For sales press 1, for support press 2, for all "
        "else stay o…”, gather_using_ai L1 “Who is calling?”, transfer L1 +12025550121, hangup L1\n"
    ) in text
    assert re.search(r"call.transcription  L\d “the desk”\n", text)


def test_an_outcome_has_the_time_since_its_decision_and_the_session_that_it_placed() -> None:
    dial = command("dial", to="+12025550102")
    answer = {"data": {"call_session_id": "other", "call_control_id": "v3:other"}}
    entries = [
        *call("s")[:4],
        fact("s", decision(dial)),
        fact("s", CommandSucceeded(command_id="dial", http_status=200, answer=answer)),
    ]
    text = printed(entries)
    assert "dial L1, HTTP 200, in 1 s, placed session other\n" in text
    assert "\ndialled +12025550102 in session other\n" in text
    records = records_of(entries)
    assert links_of("s", detail_of_call("s", records, NOON), records) == [
        {"how": "dialled", "session_id": "other", "to": "+12025550102"}
    ]


def test_a_webhook_that_took_long_says_how_long() -> None:
    event = events_of("s")[0]
    late, early = (replace(event, occurred_at=NOON - timedelta(seconds=each)) for each in (3, -0.5))
    assert "+12025550101, 4 s after it occurred\n" in printed([webhook("s", late)])
    assert "+12025550101\n" in printed([webhook("s", early)])


def test_a_call_that_another_session_dialled_leads_back_to_it() -> None:
    placed = records_of(dial_of("asked", "placed"))
    sessions = ["asked", "asked", "placed", "asked"]
    records = [replace(each, session_id=at) for each, at in zip(placed, sessions, strict=True)]
    (link,) = links_of("placed", detail_of_call("placed", records, NOON), records)
    assert (link["how"], link["session_id"]) == ("requested", "asked")
    (link,) = links_of("placed", detail_of_call("placed", records[1:], NOON), records[1:])
    assert (link["how"], link["session_id"]) == ("dialled_by", "asked")


def test_what_comes_from_outside_cannot_command_the_terminal() -> None:
    event = example_event("call.initiated", from_="\x1b[31mred\x07")
    assert "�[31mred�" in printed([webhook("s", event)])


def test_a_dial_that_placed_no_call_is_over_once_it_has_an_outcome() -> None:
    asked = records_of([fact("s", decision(command("dial", to="+12025550154")))])
    failed = CommandFailed(command_id="dial", operation="dial", reason="refused", http_status=403)
    both = records_of([fact("s", decision(command("dial"))), fact("s", failed)])
    assert [is_over(fold("s", each)) for each in ([], asked, both)] == [False, False, True]
    whole = records_of(call("s"))
    assert [is_over(fold("s", each)) for each in (whole[:-4], whole)] == [False, True]


async def test_a_session_is_followed_until_it_ends_and_then_why_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = MemoryLog()
    entries = call("s")
    asked = []

    async def append(some: Sequence[Entry]) -> None:
        for entry in some:
            await log.append(entry.session_id, entry.side, entry.encoded)

    async def events(_: Settings, path: str, last_event_id: str) -> AsyncIterator[str | None]:
        asked.append((path, last_event_id))
        yield None
        for some in (entries[4:6], [], entries[6:]):
            await append(some)
            yield "{}"
        pytest.fail("it goes on after the end of the session")

    monkeypatch.setattr(follow, "events", events)
    await append(entries[:4])
    dial = replace(records_of(dial_of("asked", "s"))[0], session_id="asked", seq=position_of(3, 9))
    console = Console(width=80)
    with console.capture() as captured:
        known = [*await log.read("s"), dial]
        await follow.follow_session(console, Settings(), log, "s", known)
    assert asked == [("/sessions/s/stream", "4")]
    lines = captured.get().splitlines()
    seqs = [found[1] for line in lines if (found := re.match(r" *0:(\d+)  \d\d:", line))]
    assert seqs == [str(seq) for seq in range(5, len(entries) + 1)]
    assert sum("L2  v3:s-2" in line for line in lines) == 1
    assert not any("The call is up" in line for line in lines)
    assert lines[-2].startswith("The caller +12025550100 hung up 57 s after the answer")
    assert lines[-1] == "dialled by request asked"


words = st.lists(st.text("ab→漢", min_size=1, max_size=30), min_size=1, max_size=12)


@given(words=words, width=st.integers(min_value=1, max_value=60), indent=st.integers(0, 8))
def test_lines_fit_and_no_word_is_broken(words: Sequence[str], width: int, indent: int) -> None:
    lines = hanging("12:00  ", Text(" ".join(words)), width, " " * indent)
    assert [word for line in lines for word in line.plain.split()] == ["12:00", *words]
    for line in lines:
        assert line.cell_len <= width or len(line.plain.replace("12:00", "").split()) == 1
    assert len(hanging("", Text(" ".join(words)), None)) == 1


@pytest.mark.parametrize("width", [None, 40, 80])
def test_ids_are_whole_at_every_width(width: int | None) -> None:
    session_id = "0f6c2f8e-3a63-4f44-9d13-6d1b2f6f0a11"
    other = "7c6411ab-6d30-470e-898b-79302f2a67e8"
    entries = dial_of(other, session_id)
    records = [
        replace(record, session_id=at)
        for record, at in zip(records_of(entries), [other, other, session_id, other], strict=True)
    ]
    text = shown(records, session_id=session_id, width=width)
    assert f"dialled by request {other}" in text.replace("\n", " ")
    assert len(re.findall(session_id, text)) == 3  # the title, the leg, "placed session"
    assert len(re.findall(other, text)) == 2
    if width is None:
        heading = ["title", "why", "link", "L1", "day"]
        assert len(text.splitlines()) == len(heading) + 2 * len(records)


def command(operation: str, **parameters: object) -> IssuedCommand:
    return IssuedCommand(
        command_id=operation, operation=operation, call_control_id="v3:s", parameters=parameters
    )
