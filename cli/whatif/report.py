"""What a run has found, as text for a terminal and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from offhook.cli.counted import counted
from offhook.cli.listing import print_listing
from offhook.cli.printable import printable
from offhook.cli.whatif.replay import Found
from offhook.cli.whatif.tally import Group, Key, Tally
from offhook.flow.whatif import KINDS
from offhook.wording.durations import duration

GROUPS_SHOWN_MAX = 30
"""Groups that a terminal shows; JSON and page have all that are kept."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run and its result."""

    flow: str  # as it was typed
    name: str
    version: str
    compared_with: Sequence[str] | None  # names of the recorded flows; None: all
    history: str
    since: datetime | None
    until: datetime | None
    finished_at: datetime
    took_s: float
    tally: Tally

    @property
    def rate_s(self) -> float:
        """Sessions per second."""
        return self.tally.read / self.took_s if self.took_s else 0.0


STOPPED = (
    "A session is followed up to its first difference: after that the carrier's recorded answers"
    " are answers to something else."
)


def verdict_of(report: Report) -> str:
    """The result in one line."""
    tally = report.tally
    different = tally.sessions["different"]
    if not tally.compared:
        return "nothing was compared: no session has a decision of the wanted flow"
    if not different:
        return f"no difference in {counted(tally.compared, 'session')}"
    share = different / tally.compared
    differ = "differs" if different == 1 else "differ"
    return f"{different:,} of {counted(tally.compared, 'session')} {differ} ({share:.1%})"


def counts_of(report: Report) -> Sequence[tuple[str, int]]:
    """What was counted, with its name; zeros that say nothing are left out."""
    tally = report.tally
    rows = [
        ("sessions compared", tally.compared, True),
        ("  the same", tally.sessions["same"], True),
        ("  different", tally.sessions["different"], True),
        ("decisions that are the same", tally.same, True),
        ("decisions after a difference, not compared", tally.after, False),
        ("sessions of other flows", tally.sessions["other_flow"], False),
        ("sessions without a decision", tally.sessions["undecided"], False),
        ("sessions that cannot be read", tally.sessions["unreadable"], False),
    ]
    return [(name, count) for name, count, is_shown in rows if is_shown or count]


def title_of(key: Key) -> str:
    """A group in words: the event, and what differs."""
    _, event, what = key
    return f"{event}: {what}"


def print_report(console: Console, report: Report) -> None:
    """Print it for people."""
    tally = report.tally
    counts = Table(show_header=False, box=None, pad_edge=False)
    counts.add_column()
    counts.add_column(justify="right")
    for name, count in counts_of(report):
        counts.add_row(name, f"{count:,}")
    console.print(counts)
    if tally.groups:
        names = ("sessions", "kind", "first difference", "for example")
        print_listing(console, names, list(_rows_of(tally)))
        console.print(STOPPED, style="dim")
    for why, (count, example) in tally.unreadable.items():
        console.print(
            f"{counted(count, 'session')} cannot be read, such as {example}: {why}",
            style="yellow",
            markup=False,
            highlight=False,
        )
    style = "green" if tally.is_clean else "yellow"
    console.print(
        f"{report.name} {report.version}: {verdict_of(report)};"
        f" {duration(report.took_s)}, {report.rate_s:,.0f} sessions/s",
        style=style,
        markup=False,
        highlight=False,
    )


def _rows_of(tally: Tally) -> Iterator[Sequence[str]]:
    groups = list(tally.in_order())
    for key, group in groups[:GROUPS_SHOWN_MAX]:
        first = group.examples[0]
        texts = (f"{group.count:,}", key[0], title_of(key), first.session_id)
        yield [printable(text) for text in texts]
    hidden = sum(group.count for _, group in groups[GROUPS_SHOWN_MAX:])
    if hidden := hidden + tally.ungrouped.total():
        yield (f"{hidden:,}", "", "others, in smaller groups", "")


def json_of(report: Report) -> bytes:
    """It for programs."""
    tally = report.tally
    kinds = tally.by_kind()
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "flow": {
                    "loaded": report.flow,
                    "name": report.name,
                    "version": report.version,
                },
                "compared_with": report.compared_with,
                "history": report.history,
                "since": report.since,
                "until": report.until,
                "finished_at": report.finished_at,
                "took_s": round(report.took_s, 3),
                "is_clean": tally.is_clean,
                "sessions": {
                    "compared": tally.compared,
                    "same": tally.sessions["same"],
                    "different": tally.sessions["different"],
                    "other_flow": tally.sessions["other_flow"],
                    "undecided": tally.sessions["undecided"],
                    "unreadable": tally.sessions["unreadable"],
                },
                "decisions": {"same": tally.same, "after_a_difference": tally.after},
                "recorded_versions": dict(tally.versions.most_common()),
                "kinds": {kind: kinds[kind] for kind in KINDS},
                "differences": [_group(key, group) for key, group in tally.in_order()],
                "ungrouped": dict(tally.ungrouped),
                "unreadable": [
                    {"why": why, "sessions": count, "example": example}
                    for why, (count, example) in tally.unreadable.items()
                ],
            }
        ),
        indent=2,
    )


def _group(key: Key, group: Group) -> Mapping[str, Any]:
    kind, event, what = key
    return {
        "kind": kind,
        "event": event,
        "what": what,
        "sessions": group.count,
        "recorded_versions": dict(group.versions.most_common()),
        "examples": [_example(found) for found in group.examples],
    }


def _example(found: Found) -> Mapping[str, Any]:
    example: dict[str, Any] = {
        "session_id": found.session_id,
        "position": found.position,
        "stored_at": found.stored_at,
        "recorded_version": found.version,
        "recorded": found.difference.recorded,
        "now": found.difference.now,
    }
    if found.traceback:
        example["traceback"] = found.traceback
    return example
