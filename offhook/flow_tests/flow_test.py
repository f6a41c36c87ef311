"""The file: a session's records → a module for pytest. Pure.

from reception import reception as flow

CALL = (
    # 0
    CallInitiated(direction="incoming", …),
    Answer(),
    # 2
    CallAnswered(…),
)

def test_1_call_initiated() -> None:
    given(flow).when(CALL[0]).then_recorded(Answer())
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from keyword import iskeyword

from offhook.events import CommandFailed, Record, TimerFired, WebhookReceived
from offhook.flow_tests.code import Writer, comment, identifier
from offhook.flow_tests.copied import Case, Copied, copied

CASES_MAX = 200
"""Decisions of a session that become tests: the first ones."""

PLACEHOLDER = "flows"
"""The module that the code imports the flow from, if nobody knows it."""


@dataclass(frozen=True, kw_only=True)
class FlowTest:
    """The code, and the flow's name as an identifier."""

    name: str
    code: str


def flow_test(
    records: Sequence[Record],
    *,
    flow_from: str = "",
    known_flows: Sequence[str] = (),
    has_more: bool = False,
) -> FlowTest | None:
    """The test, which passes with the flow that decided; None if no flow of its own decided.

    `records` are the session's own, in order of position. `flow_from` is where the code imports the
    flow from, as `module:attribute`; else it is looked for among `known_flows`. `has_more`: the
    session has further records.
    """
    copy = copied(records)
    if copy is None:
        return None
    name = _python_name(copy.flow)
    flow_from = flow_from or _found_among(known_flows, name) or f"{PLACEHOLDER}:{name}"
    lines = _module(copy, records[0], flow_from, has_more)
    return FlowTest(name=name, code="\n".join(lines))


def _module(copy: Copied, first: Record, flow_from: str, has_more: bool) -> Iterator[str]:
    writer = Writer()
    for record in copy.events.values():
        _name_leg(writer, record)
    # Written first: the code says what is imported and named above it.
    call = list(_call(writer, copy))
    places = {record.seq: place for place, record in copy.events.items()}
    tests = [
        _test(writer, number, case, places.get(case.record.seq))
        for number, case in enumerate(copy.cases[:CASES_MAX], 1)
    ]
    versions = ", ".join(copy.versions)
    yield f'"""Session {first.session_id}, as recorded {first.stored_at:%Y-%m-%d %H:%M:%S} UTC.'
    yield ""
    yield "CALL is what happened, oldest first, each event with what the flow decided on it."
    if has_more or len(copy.cases) > CASES_MAX:
        yield f"This is its beginning: {len(tests)} decisions."
    yield '"""'
    yield ""
    if writer.imports.has_times:
        yield from ("from datetime import datetime", "")
    if any(case.raises for case in copy.cases[:CASES_MAX]):
        yield from ("import pytest", "")
    yield "from offhook import ("
    yield from (f"    {name}," for name in sorted(writer.imports.names))
    yield ")"
    yield "from offhook.testing import given"
    yield ""
    yield f"# The flow {comment(repr(copy.flow))}, recorded in version {comment(versions)}."
    module, _, attribute = flow_from.partition(":")
    if module == PLACEHOLDER:
        yield "# Import it from your own module."
    yield f"from {module} import {attribute} as flow"
    yield ""
    if writer.imports.has_times:
        yield from ("at = datetime.fromisoformat", "")
    if writer.constants.values:
        yield from writer.constants.lines()
        yield ""
    yield from call
    for test in tests:
        yield from ("", "", *test)
    yield ""


def _found_among(known: Sequence[str], name: str) -> str:
    """The one with that attribute, or the only one; empty if it is not clear."""
    usual = [each for each in known if _FLOW_FROM.fullmatch(each)]
    alike = [each for each in usual if each.partition(":")[2] == name]
    found = alike or (usual if len(known) == 1 else [])
    return found[0] if len(found) == 1 else ""


_FLOW_FROM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _python_name(flow: str) -> str:
    name = identifier(flow)
    return name if name.isidentifier() and not iskeyword(name) else f"flow_{name}"


def _call(writer: Writer, copy: Copied) -> Iterator[str]:
    yield "CALL = ("
    for place, item in enumerate(copy.past):
        if place in copy.events:
            yield f"    # {place}"
        yield from writer.lines(item, indent=4, after=",")
    yield ")"


def _test(writer: Writer, number: int, case: Case, place: int | None) -> list[str]:
    """`place` is that of its event in CALL; None if it is not there."""
    past = f"given(flow, *CALL[:{case.place}])" if case.place else "given(flow)"
    name = _name_of(case.record)
    if case.raises:
        name = f"{name}_raises"
    lines = [f"def test_{number}_{identifier(name)}() -> None:"]
    if not case.raises:
        when = f"{past}.when(CALL[{place}]).then_recorded"
        return [*lines, *writer.call(when, case.orders, indent=4)]
    lines.append(f"    # {comment(case.error)}")
    if case.raises == "carrier":
        lines.append('    with pytest.raises(AssertionError, match="does not allow"):')
    else:
        lines.append("    with pytest.raises(Exception):")
    if place is None:
        return [*lines, *writer.call(f"{past}.when", [case.event], indent=8)]
    return [*lines, f"        {past}.when(CALL[{place}])"]


def _name_of(record: Record) -> str:
    match record.fact:
        case WebhookReceived(event=event):
            return event.event_type or "webhook"
        case CommandFailed(operation=operation):
            return f"{operation}_failed"
        case TimerFired(name=name):
            return f"{name}_fired"
        case fact:
            return type(fact).__name__


def _name_leg(writer: Writer, record: Record) -> None:
    """A constant for its leg, with its numbers."""
    if not isinstance(record.fact, WebhookReceived):
        return
    event = record.fact.event
    if event.call_control_id:
        from_, to = (getattr(event, name, None) for name in ("from_", "to"))
        writer.constants.leg(event.call_control_id, f"{from_} → {to}" if from_ and to else "")
