"""Visits to queues in numbers, grouped: `queues` has the same of each queue, and who waits now.

A visit counts in the range in which it began, by its call.enqueued. A contact is handled from when
the visit left the queue as answered until the leg ended or was enqueued again. What an agent does
after the call is not known to the carrier, and is not in it.
"""

from offhook.projections.views.analytics.kpis import RatioRule
from offhook.projections.views.analytics.subjects.subject import Limit, Mean, Subject

_FACTS = """
select *,
    case when answered = 1 then round(1000000 * wait_s)::bigint end as wait_us,
    round(1000000 * wait_s)::bigint as wait,
    case when answered = 1 then greatest(round(1000000 * wait_s), 0)::bigint end as answered_us,
    case when abandoned = 1 then greatest(round(1000000 * wait_s), 0)::bigint end as abandoned_us,
    case when handled = 1 then spent end as handle,
    case when handled = 1 then spent end as handled_us
from (
    select *, (answered = 1 and spent is not null)::int as handled
    from (
        select visit.enqueued_at as at, left(visit.queue, 100) as queue, visit.wait_s, 1 as offered,
            coalesce(visit.reason in ('bridged', 'bridging-in-process'), false)::int as answered,
            coalesce(visit.reason = 'hangup', false)::int as abandoned,
            (visit.dequeued_at is null and visit.reason is null)::int as not_left,
            -- Not `greatest(…, 0)` alone, which leaves a null out.
            case when least(leg.ended_at, following.enqueued_at) is not null then
                (1000000 * extract(epoch from greatest(
                    least(leg.ended_at, following.enqueued_at) - visit.dequeued_at, interval '0'
                )))::bigint
            end as spent
        from queue_visits as visit
        left join legs as leg using (session_id, call_control_id)
        cross join lateral (
            select min(later.enqueued_at) as enqueued_at from queue_visits as later
            where later.session_id = visit.session_id
                and later.call_control_id = visit.call_control_id
                and later.number > visit.number
        ) as following
        where visit.enqueued_at >= {since} and visit.enqueued_at < {until}
    ) as visit
) as visit
"""

VISITS = Subject(
    name="visits",
    size="offered",
    dimensions={"queue": "the queue's name"},
    counters={
        "offered": "call.enqueued in the range",
        "answered": "left as bridged or bridging-in-process",
        "answered_in_time": "of these, after at most service_level_s",
        "abandoned": "left by hangup",
        "short_abandoned": "of these, after less than short_abandon_s",
        "not_left": "no call.dequeued was received (yet)",
        "handled": "answered, and the contact is over",
    },
    sums=("wait_us", "handled_us"),
    ratios=(
        RatioRule(
            name="service_level",
            meaning="answered within service_level_s; short abandons are on neither side",
            source="policy in the reply",
            numerator=("answered_in_time",),
            denominator=("answered", "abandoned"),
            without=("short_abandoned",),
        ),
        RatioRule(
            name="abandon_rate",
            meaning="callers who hung up in the queue",
            source="Amazon Connect, abandonment rate",
            numerator=("abandoned",),
            denominator=("offered",),
        ),
    ),
    means=(
        Mean(
            name="asa_s",
            meaning="average speed of answer: the wait of answered visits",
            microseconds="wait_us",
            counted="answered",
            formula="seconds waited by answered visits / answered",
            source="contact-center term",
        ),
        Mean(
            name="aht_s",
            meaning="average handle time: talk and hold of a contact, without after-call work",
            microseconds="handled_us",
            counted="handled",
            formula="seconds from the queue to the end of the contact / handled",
            source="contact-center term, without after-call work",
        ),
    ),
    durations={
        "wait": "seconds in the queue, of all who left it",
        "handle": "talk and hold of handled contacts",
    },
    limits={
        "answered_in_time": Limit(
            column="answered_us", parameter="service_level_s", is_included=True
        ),
        "short_abandoned": Limit(
            column="abandoned_us", parameter="short_abandon_s", is_included=False
        ),
    },
    facts=_FACTS,
    kinds={"all": (), "queue": ("queue",)},
)
