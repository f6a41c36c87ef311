"""What is counted of calls, and the ratios of those counts: names, rules, sources. Pure.

A call here is one leg, as the carrier counts and bills them. Each counter is a condition on a row
of `chosen` in `timeseries`; each ratio adds and subtracts counters, and its formula is spelled from
that very rule, so a reader can do the sum again from the counts in the reply.

A call in progress is neither a success nor a failure: it is in a ratio as soon as what the ratio
asks is known of it, and on neither side before.

Sources: ITU-T E.425 (03/2002) for ASR and NER, RFC 6076 for SER, SEER, ISA and SCR, the carrier's
published traffic policy (support.telnyx.com, articles 1130707 and 12805746) for short calls and
abandoned ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

SHORT_CALL_S = 6
"""A call of so many seconds is still a short one to the carrier."""


@dataclass(frozen=True, kw_only=True)
class Counter:
    """How many of the calls meet `condition`, a boolean expression in SQL."""

    name: str
    meaning: str
    condition: str


@dataclass(frozen=True, kw_only=True)
class RatioRule:
    """Counters added on each side, and those subtracted from the denominator.

    `policy_line` is the value above which the carrier charges more.
    """

    name: str
    meaning: str
    source: str
    numerator: Sequence[str]
    denominator: Sequence[str]
    without: Sequence[str] = ()
    policy_line: float | None = None

    @cached_property
    def formula(self) -> str:
        """The ratio spelled with its counters: "answered / (answered + unanswered)"."""
        above, below = " + ".join(self.numerator), " + ".join(self.denominator)
        below += "".join(f" - {name}" for name in self.without)
        is_single = len(self.denominator) + len(self.without) == 1
        above = above if len(self.numerator) == 1 else f"({above})"
        return f"{above} / {below if is_single else f'({below})'}"

    def ratio(self, counts: Mapping[str, int]) -> "Ratio":
        """Its value, from the value of every counter by its name."""
        above = below = 0
        for name in self.numerator:
            above += counts[name]
        for name in self.denominator:
            below += counts[name]
        for name in self.without:
            below -= counts[name]
        return Ratio.of(above, below, self.formula)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """`value` is numerator / denominator, as it is and not in per cent; null if that is 0."""

    value: float | None
    numerator: int | float
    denominator: int | float
    formula: str

    @classmethod
    def of(cls, numerator: int | float, denominator: int | float, formula: str) -> "Ratio":
        """The ratio of two sums."""
        value = numerator / denominator if denominator else None
        return cls(value=value, numerator=numerator, denominator=denominator, formula=formula)


def ratios_of(counts: Mapping[str, int]) -> dict[str, Ratio]:
    """Every ratio by its name, from the value of every counter by its name."""
    return {rule.name: rule.ratio(counts) for rule in RATIOS}


_ENDED = "ended_at is not null"
_ANSWERED = "answered_at is not null"
_UNANSWERED = f"answered_at is null and {_ENDED}"
_OUTGOING = "direction = 'outgoing'"
_TALKED_OUT = f"{_OUTGOING} and {_ANSWERED} and {_ENDED}"


def _unanswered(name: str, meaning: str, condition: str) -> Counter:
    return Counter(
        name=name,
        meaning=f"ended unanswered: {meaning}",
        condition=f"{_UNANSWERED} and {condition}",
    )


def _unanswered_out(name: str, meaning: str, codes: str) -> Counter:
    """The codes are a pattern, for the carrier's code need not be a number."""
    return Counter(
        name=name,
        meaning=f"outgoing, ended unanswered: {meaning}",
        condition=f"{_OUTGOING} and {_UNANSWERED} and sip_hangup_cause ~ '^({codes})$'",
    )


COUNTERS = (
    Counter(name="calls", meaning="started in the range", condition="true"),
    Counter(name="answered", meaning="answered, ended or not", condition=_ANSWERED),
    Counter(name="unanswered", meaning="ended without an answer", condition=_UNANSWERED),
    Counter(name="in_progress", meaning="not ended yet", condition="is_up"),
    Counter(
        name="end_unknown",
        meaning="not up any more, without a hangup that says when and why; neither ended nor in "
        "progress",
        condition="ended_at is null and not is_up",
    ),
    Counter(name="ended", meaning="ended, answered or not", condition=_ENDED),
    Counter(
        name="completed",
        meaning="answered, and ended by normal_clearing",
        condition=f"{_ANSWERED} and {_ENDED} and hangup_cause = 'normal_clearing'",
    ),
    _unanswered("busy", "user_busy", "hangup_cause = 'user_busy'"),
    _unanswered("no_answer", "no_answer or timeout", "hangup_cause in ('no_answer', 'timeout')"),
    _unanswered("rejected", "call_rejected", "hangup_cause = 'call_rejected'"),
    _unanswered(
        "cancelled", "originator_cancel, the caller gave up", "hangup_cause = 'originator_cancel'"
    ),
    Counter(name="outgoing", meaning="outgoing", condition=_OUTGOING),
    Counter(
        name="outgoing_answered",
        meaning="outgoing and answered, ended or not",
        condition=f"{_OUTGOING} and {_ANSWERED}",
    ),
    Counter(
        name="outgoing_unanswered",
        meaning="outgoing, ended without an answer",
        condition=f"{_OUTGOING} and {_UNANSWERED}",
    ),
    _unanswered_out("outgoing_redirected", "SIP 3xx", "3[0-9][0-9]"),
    _unanswered_out("outgoing_refused", "SIP 480, 486, 600 or 603", "480|486|600|603"),
    _unanswered_out("outgoing_ineffective", "SIP 408, 500, 503 or 504", "408|500|503|504"),
    Counter(
        name="outgoing_cancelled",
        meaning="outgoing, ended unanswered: originator_cancel",
        condition=f"{_OUTGOING} and {_UNANSWERED} and hangup_cause = 'originator_cancel'",
    ),
    Counter(name="outgoing_talked", meaning="outgoing, answered and ended", condition=_TALKED_OUT),
    Counter(
        name="outgoing_short",
        meaning=f"outgoing, answered, and ended within {SHORT_CALL_S} s",
        condition=f"{_TALKED_OUT} and talk_s <= {SHORT_CALL_S}",
    ),
)

RATIOS = (
    RatioRule(
        name="asr",
        meaning="answer-seizure ratio: calls that are answered",
        source="ITU-T E.425 §1.3",
        numerator=("answered",),
        denominator=("answered", "unanswered"),
    ),
    RatioRule(
        name="ner",
        meaning="network effectiveness ratio: calls that the network delivered, whatever the "
        "called party then did; a caller who gives up is on neither side",
        source="ITU-T E.425 §1.5",
        numerator=("answered", "busy", "no_answer", "rejected"),
        denominator=("answered", "unanswered"),
        without=("cancelled",),
    ),
    RatioRule(
        name="ner_strict",
        meaning="the same, with callers who give up in the denominator",
        source="ITU-T E.425 §1.5",
        numerator=("answered", "busy", "no_answer", "rejected"),
        denominator=("answered", "unanswered"),
    ),
    RatioRule(
        name="ser",
        meaning="session establishment ratio, of outgoing calls",
        source="RFC 6076 §4.6",
        numerator=("outgoing_answered",),
        denominator=("outgoing_answered", "outgoing_unanswered"),
        without=("outgoing_redirected",),
    ),
    RatioRule(
        name="seer",
        meaning="session establishment effectiveness ratio, of outgoing calls",
        source="RFC 6076 §4.7",
        numerator=("outgoing_answered", "outgoing_refused"),
        denominator=("outgoing_answered", "outgoing_unanswered"),
        without=("outgoing_redirected",),
    ),
    RatioRule(
        name="isa",
        meaning="ineffective session attempts, of outgoing calls: the carrier was in trouble",
        source="RFC 6076 §4.8",
        numerator=("outgoing_ineffective",),
        denominator=("outgoing_answered", "outgoing_unanswered"),
    ),
    RatioRule(
        name="scr",
        meaning="session completion ratio: answered, and hung up by one of the two",
        source="RFC 6076 §4.9",
        numerator=("completed",),
        denominator=("ended",),
    ),
    RatioRule(
        name="short_call",
        meaning=f"answered outgoing calls of {SHORT_CALL_S} s or less; the carrier surcharges "
        "above 15 % in a UTC day",
        source="Telnyx, short duration calls",
        numerator=("outgoing_short",),
        denominator=("outgoing_talked",),
        policy_line=0.15,
    ),
    RatioRule(
        name="abandoned",
        meaning="outgoing calls that our own side ended before an answer; the carrier charges "
        "above 20 %",
        source="Telnyx, abandoned calls",
        numerator=("outgoing_cancelled",),
        denominator=("outgoing_answered", "outgoing_unanswered"),
        policy_line=0.20,
    ),
)

BIDS_FAILED = "bids_failed"
"""Counts dials and transfers that failed: bids that never became a call. They are commands."""

BIDS_FAILED_MEANING = (
    "dials and transfers that failed before there was a call: refused by the carrier, too late, "
    "invalid; by the time of the decision"
)

ABR = RatioRule(
    name="abr",
    meaning="answer-bid ratio: outgoing calls that are answered, of all that were asked for",
    source="ITU-T E.425 §1.4",
    numerator=("outgoing_answered",),
    denominator=("outgoing_answered", "outgoing_unanswered", BIDS_FAILED),
)

ABR_UNKNOWN = Ratio(
    value=None,
    numerator=0,
    denominator=0,
    formula=f"{ABR.formula}; null: a bid that failed has no number, cause or source of a call",
)

ACD_FORMULA = "seconds from answer to end / answered calls that ended"
ANSWER_DELAY_FORMULA = "nearest rank of the seconds from start to answer"
ERLANGS_FORMULA = "seconds that calls were up / seconds of the range so far"

GROUPING = {
    "call": "one leg, once its start is known",
    "counts, ratios, hangup_causes": "calls that started in the range",
    "durations": "answered calls that ended in the range",
    "concurrency": "calls that were up in the range, from start to end",
}
"""Which calls each part of a reply is about."""

GROUPS_GROUPING = {
    "call": GROUPING["call"],
    "all figures": "calls that started in the bucket and have the group's values, whenever they "
    "ended",
}
"""The same of a reply with groups."""
