"""What analytics must answer: plain Python over the raw events. Imports nothing of the product."""

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

Event = dict[str, Any]
Numbers = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Leg:
    """Times are in microseconds since 1970."""

    direction: str | None
    connection_id: str | None
    start: int
    answer: int | None
    end: int | None
    limit: int  # the carrier ends it by then, or has billed it
    cause: str | None
    source: str | None
    sip: str | None
    number_prefix: str | None = None  # of the remote party
    mos_milli: int | None = None
    packets: int = 0
    skipped: int = 0
    cost_micros: int | None = None
    currency: str | None = None
    flow: str | None = None
    flow_version: str | None = None
    call_control_id: str = ""
    bridge: int | None = None  # the first
    true_end: int | None = None  # as the carrier has it, even if that is before the start

    def dimension(self, name: str) -> str | None:
        """What it is grouped by under that name."""
        names = {"hangup_cause": "cause", "hangup_source": "source", "sip_hangup_cause": "sip"}
        value: str | None = getattr(self, names.get(name, name))
        return value


def legs_of(
    events: Iterable[Event],
    flows: Mapping[str, tuple[str, str]] | None = None,
    *,
    started_only: bool = True,
) -> list[Leg]:
    """Each leg whose start is known, once; of two events that tell the same, the earlier counts.

    `flows` has the flow and its version of each session that has one.
    """
    by_leg: dict[str, dict[str, Event]] = {}
    for event in events:
        data = event["data"]
        if data["payload"].get("call_session_id"):
            by_leg.setdefault(data["payload"]["call_control_id"], {})[data["id"]] = data
    legs = []
    for call_control_id, once in by_leg.items():
        told = sorted(once.values(), key=lambda data: (data["occurred_at"], data["id"]))
        start = _first(told, "start_time") or _occurred(told, "call.initiated")
        if start is None and started_only:
            continue
        answer = _occurred(told, "call.answered")
        end = _first(told, "end_time") or _occurred(told, "call.hangup")
        bridged = _occurred(told, "call.bridged")
        answered = answer or bridged
        gone = _occurred(told, "call.cost")
        direction = _first(told, "direction")
        flow, flow_version = (flows or {}).get(_first(told, "call_session_id"), (None, None))
        heard = (_first(told, "call_quality_stats") or {}).get("inbound") or {}
        measured = _decimal(heard.get("packet_count")) is not None
        mos, cost = _decimal(heard.get("mos")), _last(told, "total_cost")
        limit_s = 4 * 3600 if answered else 4 * 3600 + 600
        legs.append(
            Leg(
                direction=direction,
                connection_id=_first(told, "connection_id"),
                start=0 if start is None else _us(start),
                answer=None if answer is None else _us(answer),
                end=None if end is None else max(_us(end), _us(start or end)),
                limit=_us(answered or start or "1970-01-01T00:00:00Z") + limit_s * 1_000_000
                if gone is None
                else _us(gone),
                cause=_first(told, "hangup_cause"),
                source=_first(told, "hangup_source"),
                sip=_first(told, "sip_hangup_cause"),
                number_prefix=_prefix(told, direction),
                mos_milli=None if mos is None else round(mos * 1000),
                packets=int(heard["packet_count"]) if measured else 0,
                skipped=int(heard["skip_packet_count"]) if measured else 0,
                cost_micros=None if cost is None else round(Decimal(cost) * 1_000_000),
                currency=None if cost is None else _last(told, "cost_parts")[0]["currency"],
                flow=flow,
                flow_version=flow_version,
                call_control_id=call_control_id,
                bridge=None if bridged is None else _us(bridged),
                true_end=None if end is None else _us(end),
            )
        )
    return legs


def cut(start: datetime, end: datetime, width_s: int) -> list[tuple[datetime, datetime]]:
    """The range, cut at whole multiples of the width."""
    edges = [start]
    at = datetime.fromtimestamp(int(start.timestamp()) // width_s * width_s, UTC)
    while (at := at + timedelta(seconds=width_s)) < end:
        edges.append(at)
    return list(zip(edges, [*edges[1:], end], strict=True))


def numbers_of(
    legs: Sequence[Leg],
    edges: Sequence[tuple[datetime, datetime]],
    now: datetime,
    direction: str | None = None,
    connection_id: str | None = None,
) -> list[Numbers]:
    """All numbers of each bucket; a ratio is (value, numerator, denominator)."""
    legs = [
        leg
        for leg in legs
        if direction in (None, leg.direction) and connection_id in (None, leg.connection_id)
    ]
    until_now = _Spans(legs, _since_1970(now))
    at = _since_1970(now)
    return [
        _numbers(legs, until_now, _since_1970(start), _since_1970(end), at) for start, end in edges
    ]


def _numbers(legs: Sequence[Leg], until_now: "_Spans", since: int, until: int, now: int) -> Numbers:
    began = [leg for leg in legs if since <= leg.start < until]
    return {
        **counts_of(began, now),
        **_durations([leg for leg in legs if leg.end is not None and since <= leg.end < until]),
        **until_now.concurrency(since, until),
        **_causes(began),
    }


def counts_of(legs: Sequence[Leg], now: int) -> Numbers:
    """Every counter and ratio of these legs, at that microsecond since 1970."""
    answered = [leg for leg in legs if leg.answer is not None]
    failed = [leg for leg in legs if leg.answer is None and leg.end is not None]
    out = [leg for leg in legs if leg.direction == "outgoing"]
    out_answered = [leg for leg in out if leg.answer is not None]
    out_failed = [leg for leg in out if leg.answer is None and leg.end is not None]
    out_over = [leg for leg in out_answered if leg.end is not None]
    over = [leg for leg in legs if leg.end is not None]

    causes = Counter(leg.cause for leg in failed)
    codes = Counter(leg.sip for leg in out_failed)
    no_answer = causes["no_answer"] + causes["timeout"]
    delivered = len(answered) + causes["user_busy"] + no_answer + causes["call_rejected"]
    seizures = len(answered) + len(failed)
    out_seizures = len(out_answered) + len(out_failed)
    redirected = sum(
        count for code, count in codes.items() if code in {str(n) for n in range(300, 400)}
    )
    refused = sum(codes[code] for code in ("480", "486", "600", "603"))
    ineffective = sum(codes[code] for code in ("408", "500", "503", "504"))
    out_cancelled = sum(leg.cause == "originator_cancel" for leg in out_failed)
    short = sum(_talk(leg) <= 6_000_000 for leg in out_over)
    completed = sum(leg.answer is not None and leg.cause == "normal_clearing" for leg in over)
    return {
        "calls": len(legs),
        "answered": len(answered),
        "unanswered": len(failed),
        "in_progress": sum(leg.end is None and leg.limit > now for leg in legs),
        "end_unknown": sum(leg.end is None and leg.limit <= now for leg in legs),
        "ended": len(over),
        "completed": completed,
        "busy": causes["user_busy"],
        "no_answer": no_answer,
        "rejected": causes["call_rejected"],
        "cancelled": causes["originator_cancel"],
        "outgoing": len(out),
        "outgoing_answered": len(out_answered),
        "outgoing_unanswered": len(out_failed),
        "outgoing_redirected": redirected,
        "outgoing_refused": refused,
        "outgoing_ineffective": ineffective,
        "outgoing_cancelled": out_cancelled,
        "outgoing_talked": len(out_over),
        "outgoing_short": short,
        "asr": _ratio(len(answered), seizures),
        "ner": _ratio(delivered, seizures - causes["originator_cancel"]),
        "ner_strict": _ratio(delivered, seizures),
        "ser": _ratio(len(out_answered), out_seizures - redirected),
        "seer": _ratio(len(out_answered) + refused, out_seizures - redirected),
        "isa": _ratio(ineffective, out_seizures),
        "scr": _ratio(completed, len(over)),
        "short_call": _ratio(short, len(out_over)),
        "abandoned": _ratio(out_cancelled, out_seizures),
    }


def _durations(ended: Sequence[Leg]) -> Numbers:
    talked = [leg for leg in ended if leg.answer is not None]
    delays = sorted(max(0, (leg.answer or 0) - leg.start) for leg in talked)

    def rank(percent: int) -> float | None:
        return delays[-(-len(delays) * percent // 100) - 1] / 1e6 if delays else None

    return {
        "acd_s": _ratio(sum(map(_talk, talked)) / 1e6, len(talked)),
        "p50_s": rank(50),
        "p95_s": rank(95),
        "samples": len(delays),
    }


class _Spans:
    """No sweep: how many are up is looked up at each instant at which it can be the most."""

    def __init__(self, legs: Sequence[Leg], now: int) -> None:
        spans = [(leg.start, min(leg.limit if leg.end is None else leg.end, now)) for leg in legs]
        self._now = now
        self._spans = [(rise, fall) for rise, fall in spans if rise < fall]
        self._rises = sorted(rise for rise, _ in self._spans)
        self._falls = sorted(fall for _, fall in self._spans)

    def concurrency(self, since: int, until: int) -> Numbers:
        known = min(max(self._now, since), until)
        instants = [since, *(rise for rise in self._rises if since <= rise < until)]
        overlaps = (min(fall, known) - max(rise, since) for rise, fall in self._spans)
        occupied_us = sum(overlap for overlap in overlaps if overlap > 0)
        return {
            "peak": max(map(self._up, instants)),
            "erlangs": _ratio(occupied_us / 1e6, (known - since) / 1e6),
        }

    def _up(self, at: int) -> int:
        return bisect.bisect_right(self._rises, at) - bisect.bisect_right(self._falls, at)


def _causes(began: Sequence[Leg]) -> Numbers:
    pairs = Counter((leg.cause, leg.sip) for leg in began if leg.end is not None)
    last = "\U0010ffff"
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], *(text or last for text in item[0])))
    return {
        "causes": [(cause, sip, count) for (cause, sip), count in ranked[:50]],
        "other_causes": sum(count for _, count in ranked[50:]),
    }


def _talk(leg: Leg) -> int:
    assert leg.end is not None
    assert leg.answer is not None
    return max(0, leg.end - leg.answer)


def _ratio(above: float, below: float) -> tuple[float | None, float, float]:
    return (above / below if below else None, above, below)


def _first(told: Sequence[Event], name: str) -> Any:
    return next((data["payload"][name] for data in told if name in data["payload"]), None)


def _last(told: Sequence[Event], name: str) -> Any:
    return next((data["payload"][name] for data in told[::-1] if name in data["payload"]), None)


def _prefix(told: Sequence[Event], direction: str | None) -> str | None:
    """Plus and at most four digits, of a number with its country."""
    side = {"incoming": "from", "outgoing": "to"}.get(direction or "")
    number = str(_first(told, side)).removeprefix("sip:").partition("@")[0] if side else ""
    is_number = number.startswith("+") and number[1:].isdigit() and len(number) > 4
    return number[: min(5, len(number) - 3)] if is_number else None


def _decimal(text: Any) -> Decimal | None:
    is_number = isinstance(text, str) and text.replace(".", "", 1).isdigit()
    return Decimal(text) if is_number else None


def _occurred(told: Sequence[Event], kind: str) -> Any:
    return next((data["occurred_at"] for data in told if data["event_type"] == kind), None)


def _us(text: str) -> int:
    return _since_1970(datetime.fromisoformat(text))


def _since_1970(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
