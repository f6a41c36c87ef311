"""What a subject of figures is: names and meanings, the facts in SQL, and how facts become numbers.

A group of facts is a set of numbers with totals, which add up over groups and hours:

    1 …                   a counter or a sum
    1000 n + class        durations in a class of `leg_facts`, of the n-th duration
    EXACT n + us          durations of just so many microseconds, of the n-th limit
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from offhook.projections.views.analytics.kpis import RatioRule
from offhook.projections.views.analytics.leg_facts import class_of

CLASSES = 1_000
EXACT = 10**15


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A counter of durations up to a parameter of the request, or below it.

    So any limit can be asked for, the durations are kept exactly. `column` is one of the facts.
    """

    column: str
    parameter: str  # in seconds
    is_included: bool


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Seconds: a sum in microseconds, divided by a counter."""

    name: str
    meaning: str
    microseconds: str  # name of the sum
    counted: str  # name of the counter
    formula: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is counted. `counters`, `dimensions`, `durations` have the meaning of each name.

    `facts` is SQL with a row for each thing of [{since}, {until}): `at`, the dimensions, `counters`
    and `sums` as integers, and `durations` and the columns of `limits` in microseconds or null.
    If it `is_rolled_up`, it has a row for each figure: `at`, the dimensions, `number` and `total`.
    Groups are ranked by `size`; one in which it is 0 is not there.

    Whole hours are kept for each of `kinds`, the dimensions that groups are told apart by; the last
    has all of them.
    """

    name: str
    size: str
    dimensions: Mapping[str, str]
    counters: Mapping[str, str]
    sums: Sequence[str] = ()
    ratios: Sequence[RatioRule] = ()
    means: Sequence[Mean] = ()
    durations: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    facts: str
    kinds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_rolled_up: bool = False

    @property
    def numbered(self) -> Sequence[str]:
        """The counters and sums whose numbers in `numbers_of` are 1, 2, …"""
        return [name for name in (*self.counters, *self.sums) if name not in self.limits]

    def facts_in(self, since: str, until: str) -> str:
        """The facts between two times, as expressions.

        With `offset 0` each piece of time is looked up in the index; joined with several, the table
        would be read from end to end.
        """
        return f"{self.facts.rstrip()} offset 0".replace("{since}", since).replace("{until}", until)

    def kind(self, names: Iterable[str]) -> str:
        """The kind of hours that tells these dimensions apart."""
        return next(kind for kind, by in self.kinds.items() if {*names} <= {*by})

    @property
    def definitions(self) -> dict[str, str]:
        """What each counter, ratio, mean and duration is."""
        named = dict(self.counters)
        named |= {rule.name: f"{rule.meaning} ({rule.source})" for rule in self.ratios}
        named |= {mean.name: mean.meaning for mean in self.means}
        return named | dict(self.durations)


def numbers_of(subject: Subject, columns: str, source: str = "facts") -> str:
    """A query over a relation of facts: the columns, by which it is grouped, `number`, `total`."""
    sums = ", ".join(f"sum({name})::bigint as {name}" for name in subject.numbered)
    named = ", ".join(f"({at}, {name})" for at, name in enumerate(subject.numbered, start=1))
    parts = [
        f"select {columns}, each.number::bigint, each.total from"
        f" (select {columns}, {sums} from {source} group by {columns}) as sums"
        f" cross join lateral (values {named}) as each (number, total) where each.total <> 0"
    ]
    durations = (
        (subject.durations, f"{CLASSES} * each.number + {class_of('each.us')}"),
        ([limit.column for limit in subject.limits.values()], f"{EXACT} * each.number + each.us"),
    )
    for names, number in durations:
        if names:
            listed = ", ".join(f"({at}, {name})" for at, name in enumerate(names, start=1))
            parts.append(
                f"select {columns}, ({number})::bigint as number, count(*)"
                f" from {source} cross join lateral (values {listed}) as each (number, us)"
                f" where each.us is not null group by {columns}, {number}"
            )
    return "\nunion all\n".join(parts)
