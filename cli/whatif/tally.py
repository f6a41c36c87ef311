"""What a run has found: counts, and the differences in groups. Tallies of parts add up to one."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from offhook.cli.whatif.replay import Found, Replayed
from offhook.flow.whatif import Kind

GROUPS_MAX = 500
"""Groups that are kept apart; the differences of others are counted alone."""

EXAMPLES_MAX = 5
"""Sessions kept of each group: the earliest."""

REASONS_MAX = 50
"""Reasons kept why sessions could not be read."""

Key = tuple[Kind, str, str]
"""Kind, event, and what differs."""


@dataclass(kw_only=True)
class Group:
    """Sessions whose first difference is the same."""

    count: int = 0
    versions: Counter[str] = field(default_factory=Counter)  # of the recorded flow
    examples: list[Found] = field(default_factory=list)

    def add(self, other: "Group") -> None:
        """Take in another part's."""
        self.count += other.count
        self.versions += other.versions
        self.examples = heapq.nsmallest(
            EXAMPLES_MAX,
            [*self.examples, *other.examples],
            key=lambda found: (found.stored_at, found.session_id),
        )


@dataclass(kw_only=True)
class Tally:
    """`same` and `after` count decisions, the others sessions."""

    sessions: Counter[str] = field(default_factory=Counter)  # by verdict
    same: int = 0
    after: int = 0  # not compared, because they come after a difference
    versions: Counter[str] = field(default_factory=Counter)  # of the recorded flow, by session
    groups: dict[Key, Group] = field(default_factory=dict)
    ungrouped: Counter[str] = field(default_factory=Counter)  # beyond GROUPS_MAX, by kind
    unreadable: dict[str, tuple[int, str]] = field(default_factory=dict)  # count, and an example

    @property
    def read(self) -> int:
        """Sessions that were looked at."""
        return self.sessions.total()

    @property
    def compared(self) -> int:
        """Sessions with decisions to compare."""
        return self.sessions["same"] + self.sessions["different"]

    @property
    def is_clean(self) -> bool:
        """Whether something was compared, everything could be, and nothing differs."""
        return (
            bool(self.compared)
            and self.compared == self.sessions["same"]
            and not (self.sessions["unreadable"])
        )

    def count(self, replayed: Replayed) -> None:
        """Count a session."""
        self.sessions[replayed.verdict] += 1
        self.same += replayed.same
        self.after += replayed.after
        self.versions.update(replayed.versions)
        if replayed.verdict == "unreadable":
            self._add_unreadable(replayed.why, 1, replayed.session_id)
        if (found := replayed.found) is not None:
            differs = found.difference
            group = Group(count=1, versions=Counter([found.version]), examples=[found])
            self._add_group((differs.kind, found.event, differs.what), group)

    def add(self, other: "Tally") -> None:
        """Take in another part's."""
        self.sessions += other.sessions
        self.same += other.same
        self.after += other.after
        self.versions += other.versions
        self.ungrouped += other.ungrouped
        for key, group in other.groups.items():
            self._add_group(key, group)
        for why, (count, example) in other.unreadable.items():
            self._add_unreadable(why, count, example)

    def by_kind(self) -> Counter[str]:
        """How many sessions differ, by kind."""
        kinds = Counter(self.ungrouped)
        for (kind, _, _), group in self.groups.items():
            kinds[kind] += group.count
        return kinds

    def in_order(self) -> Iterable[tuple[Key, Group]]:
        """The groups, the largest first."""
        return sorted(self.groups.items(), key=lambda item: (-item[1].count, item[0]))

    def _add_group(self, key: Key, group: Group) -> None:
        if key in self.groups:
            self.groups[key].add(group)
        elif len(self.groups) < GROUPS_MAX:
            self.groups[key] = group
        else:
            self.ungrouped[key[0]] += group.count

    def _add_unreadable(self, why: str, count: int, example: str) -> None:
        if why not in self.unreadable and len(self.unreadable) >= REASONS_MAX:
            why = "other reasons"
        known, first = self.unreadable.get(why, (0, example))
        self.unreadable[why] = (known + count, first)
