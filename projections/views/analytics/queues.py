"""Queues in numbers: who waits now, what became of the visits of a time range, and who answered.

A visit counts in the range in which it began, by its call.enqueued. A service level needs a policy
for callers who hang up: here a hangup counts as not answered in time, except a short one, which is
left out; a visit that ended in another way (leave, timeout) is on neither side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.kpis import Ratio
from offhook.projections.views.analytics.rollups.changes import UP_HOURS_MAX
from offhook.projections.views.view import storable

QUEUES_MAX = 200
"""Queues in a reply: those in which most wait now, then those with most visits."""

WAITING_MAX = 250
"""Legs in a reply of `list_waiting`."""

AGENTS_MAX = 200
"""Agents in a reply: those who handled most."""

BRIDGES_MAX = 50_000
"""Bridge commands that `list_agents` looks at: the newest of the range."""

ABANDON_RATE_FORMULA = "abandoned / offered"
ASA_FORMULA = "seconds waited by answered visits / answered"
AVERAGE_TALK_FORMULA = "talk_s / handled"


@dataclass(frozen=True, kw_only=True)
class QueueRange:
    """What the figures of a range are for: from `start`, until before `end`, both in UTC."""

    start: datetime
    end: datetime
    queue: str | None = None
    service_level_s: float = 20.0
    short_abandon_s: float = 5.0


@dataclass(frozen=True, kw_only=True)
class WaitingLeg:
    """A leg that waits in a queue now. `wait_s` is how long, by Offhook's clock."""

    queue: str | None
    session_id: str
    call_control_id: str
    from_number: str | None
    to_number: str | None
    enqueued_at: datetime
    wait_s: float


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """A queue: `waiting` and `longest_wait_now_s` are of now, all else of the range.

    offered = answered + abandoned + left + waiting of the range + end_unknown.
    """

    queue: str | None
    waiting: int
    longest_wait_now_s: float | None
    offered: int  # call.enqueued in the range
    answered: int  # left with the reason bridged or bridging-in-process
    answered_in_time: int  # of these, after at most service_level_s
    abandoned: int  # left with the reason hangup
    short_abandoned: int  # of these, after less than short_abandon_s
    left: int  # in any other way: leave, timeout
    end_unknown: int  # neither waiting nor known to have left
    longest_wait_s: float | None  # of those who left
    service_level: Ratio
    abandon_rate: Ratio
    asa_s: Ratio  # average speed of answer


@dataclass(frozen=True, kw_only=True)
class AgentView:
    """The far side of bridges to legs from a queue.

    `agent` is the number or SIP address of that leg: where a dial went, or where an incoming call
    came from. `talk_s` is from each of its legs' first call.bridged to the leg's end, hold
    included; a leg that is still up is in `talking`.
    """

    agent: str
    queues: Sequence[str]
    handled: int  # bridges that the carrier accepted
    talking: int  # legs that are up now
    talk_s: float
    average_talk_s: Ratio  # over bridges whose leg has ended
    last_at: datetime


async def list_waiting(
    connection: AsyncConnection, now: datetime, *, queue: str | None, limit: int
) -> list[WaitingLeg]:
    """The legs that wait now, the longest wait first."""
    found = await connection.execute(
        text(
            "select queue, session_id, call_control_id, from_number, to_number, enqueued_at"
            f" from legs where {_WAITS}"
            " and (cast(:queue as text) is null or queue = :queue)"
            " order by enqueued_at, call_control_id limit :limit"
        ),
        {"now": now, "queue": storable(queue), "limit": max(1, min(limit, WAITING_MAX))},
    )
    return [
        WaitingLeg(**row._mapping, wait_s=max(0.0, (now - row.enqueued_at).total_seconds()))
        for row in found
    ]


async def list_queues(
    connection: AsyncConnection, wanted: QueueRange, now: datetime
) -> list[QueueView]:
    """Every queue with somebody in it now or a visit in the range; at most QUEUES_MAX."""
    found = await connection.execute(
        _QUEUES,
        {
            "now": now,
            "start": wanted.start,
            "end": wanted.end,
            "queue": storable(wanted.queue),
            "level": wanted.service_level_s,
            "short": wanted.short_abandon_s,
        },
    )
    return [_queue(dict(row._mapping), wanted, now) for row in found]


async def list_agents(
    connection: AsyncConnection, wanted: QueueRange, now: datetime
) -> list[AgentView]:
    """Who answered legs from queues, the busiest first; at most AGENTS_MAX.

    Known from bridge commands alone: of a leg with a queue, or of a leg with one that left a queue
    as answered. A call that was answered in another way has no agent here.
    """
    found = await connection.execute(
        _AGENTS,
        {"now": now, "start": wanted.start, "end": wanted.end, "queue": storable(wanted.queue)},
    )
    return [_agent(dict(row._mapping)) for row in found]


def service_level_formula(wanted: QueueRange) -> str:
    """The service level spelled out, with its policy."""
    return (
        f"answered within {wanted.service_level_s:g} s / (answered + abandoned - abandoned within "
        f"{wanted.short_abandon_s:g} s)"
    )


def _queue(row: dict[str, Any], wanted: QueueRange, now: datetime) -> QueueView:
    since, waited_s = row.pop("waiting_since"), row.pop("answered_wait_s")
    in_time, answered = row["answered_in_time"], row["answered"]
    level_of = answered + row["abandoned"] - row["short_abandoned"]
    return QueueView(
        **row,
        longest_wait_now_s=None if since is None else max(0.0, (now - since).total_seconds()),
        service_level=Ratio.of(in_time, level_of, service_level_formula(wanted)),
        abandon_rate=Ratio.of(row["abandoned"], row["offered"], ABANDON_RATE_FORMULA),
        asa_s=Ratio.of(waited_s, answered, ASA_FORMULA),
    )


def _agent(row: dict[str, Any]) -> AgentView:
    ended = row.pop("ended_bridges")
    return AgentView(**row, average_talk_s=Ratio.of(row["talk_s"], ended, AVERAGE_TALK_FORMULA))


# A leg's row has its latest visit. One that was bridged since does not wait, even if its
# call.dequeued was lost; nor does one that cannot be up any more. Those that have not ended are
# found by their start.
_WAITS = f"""ended_at is null and state not in ('ended', 'unseen') and up_until > :now
 and (started_at > :now - interval '{UP_HOURS_MAX} hours' or started_at is null)
 and enqueued_at is not null and dequeued_at is null
 and (bridged_at is null or bridged_at < enqueued_at)"""

_QUEUES = text(
    f"""
with now_waiting as (
  select queue, session_id, call_control_id, enqueued_at from legs where {_WAITS}
   and (cast(:queue as text) is null or queue = :queue)
), here as (
  select queue, count(*) as waiting, min(enqueued_at) as waiting_since
   from now_waiting group by queue
), visits as (
  select visit.queue, visit.reason, visit.wait_s,
   coalesce(visit.reason in ('bridged', 'bridging-in-process'), false) as answered,
   coalesce(visit.reason = 'hangup', false) as abandoned,
   visit.dequeued_at is not null or visit.reason is not null as has_left,
   exists (select from now_waiting as leg
    where leg.session_id = visit.session_id and leg.call_control_id = visit.call_control_id
     and leg.enqueued_at = visit.enqueued_at) as waits
  from queue_visits as visit
  where visit.enqueued_at >= :start and visit.enqueued_at < :end
   and (cast(:queue as text) is null or visit.queue = :queue)
), ranged as (
  select queue,
   count(*) as offered,
   count(*) filter (where answered) as answered,
   count(*) filter (where answered and wait_s <= :level) as answered_in_time,
   count(*) filter (where abandoned) as abandoned,
   count(*) filter (where abandoned and wait_s < :short) as short_abandoned,
   count(*) filter (where has_left and not answered and not abandoned) as "left",
   count(*) filter (where not has_left and not waits) as end_unknown,
   max(wait_s) as longest_wait_s,
   sum(wait_s) filter (where answered) as answered_wait_s
  from visits group by queue
)
select coalesce(here.queue, ranged.queue) as queue, coalesce(waiting, 0) as waiting, waiting_since,
 coalesce(offered, 0) as offered, coalesce(answered, 0) as answered,
 coalesce(answered_in_time, 0) as answered_in_time, coalesce(abandoned, 0) as abandoned,
 coalesce(short_abandoned, 0) as short_abandoned, coalesce("left", 0) as "left",
 coalesce(end_unknown, 0) as end_unknown, longest_wait_s, coalesce(answered_wait_s, 0) as
 answered_wait_s
from here full join ranged on coalesce(here.queue, '') = coalesce(ranged.queue, '')
order by waiting desc, offered desc, queue limit {QUEUES_MAX}
"""
)

_AGENTS = text(
    f"""
with bridges as (
  select call_control_id as one, parameters->>'call_control_id' as other,
   parameters->>'queue' as queue, decided_at
  from commands
  where decided_at >= :start and decided_at < :end
   and operation = 'bridge' and status = 'succeeded'
  order by decided_at desc limit {BRIDGES_MAX}
), handled as (
  select one as agent_leg, queue, decided_at from bridges where queue is not null
  union all
  -- Either leg may be the one that the flow had in hand.
  select case when visit.call_control_id = one then other else one end, visit.queue, decided_at
  from bridges, lateral (
    select call_control_id, past.queue
    from legs join queue_visits as past using (call_control_id, session_id)
    where call_control_id in (one, other) and past.reason in ('bridged', 'bridging-in-process')
    order by abs(extract(epoch from past.dequeued_at - decided_at)) limit 1
  ) as visit where bridges.queue is null
), agent_legs as (
  select distinct on (call_control_id) call_control_id,
   case when direction = 'outgoing' then to_number else from_number end as agent,
   bridged_at, ended_at, ended_at is null and up_until > :now as is_up
  from legs where call_control_id in (select agent_leg from handled)
  order by call_control_id, (state <> 'unseen') desc, last_seq desc
), bridged as (
  select agent, call_control_id, bridged_at, ended_at, is_up, handled.queue, decided_at
  from handled join agent_legs on call_control_id = agent_leg
  where agent is not null and (cast(:queue as text) is null or handled.queue = :queue)
), by_agent as (
  select agent, array_agg(distinct queue order by queue) as queues, count(*) as handled,
   count(*) filter (where ended_at >= bridged_at) as ended_bridges, max(decided_at) as last_at
  from bridged group by agent
), talk as (
  select agent, count(*) filter (where is_up) as talking,
   cast(coalesce(sum(extract(epoch from ended_at - bridged_at))
    filter (where ended_at >= bridged_at), 0) as double precision) as talk_s
  from (select distinct agent, call_control_id, bridged_at, ended_at, is_up from bridged) as legs
  group by agent
)
select agent, queues, handled, talking, talk_s, ended_bridges, last_at
from by_agent join talk using (agent) order by handled desc, agent limit {AGENTS_MAX}
"""
)
