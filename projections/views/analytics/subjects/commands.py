"""Commands in numbers: what became of them, how soon after their event, and transfers that hold.

A command counts when it was decided. It was caused by the record that it was decided on: an event
of the carrier, a timer, or a request to the API.
"""

from offhook.projections.views.analytics.kpis import RatioRule
from offhook.projections.views.analytics.subjects.subject import Subject

SURVIVAL_S = 120
"""A transferred call that our own side hangs up earlier counts as lost."""

_US = "(1000000 * extract(epoch from greatest({end} - {start}, interval '0')))::bigint"
_HAS_FAILED = "command.status = 'failed'"

# The hangup may be of any leg of the session: it ends them all once they are bridged.
_HANGUP = f"""exists (
    select from commands as hangup
    where hangup.session_id = command.session_id and hangup.operation = 'hangup'
        and hangup.status = 'succeeded' and hangup.decided_at >= leg.bridged_at
        and hangup.decided_at <= leg.ended_at
        and leg.ended_at < leg.bridged_at + interval '{SURVIVAL_S} s'
)"""

_FACTS = f"""
select command.decided_at as at, left(command.operation, 100) as operation,
    left(command.flow, 100) as flow, left(command.flow_version, 100) as flow_version,
    command.status, left(command.reason, 100) as reason,
    command.http_status::text as http_status,
    1 as decided,
    (command.status = 'succeeded')::int as succeeded,
    ({_HAS_FAILED})::int as failed,
    (command.status not in ('succeeded', 'failed'))::int as unsettled,
    coalesce({_HAS_FAILED} and command.reason = 'deadline', false)::int as late,
    coalesce({_HAS_FAILED} and command.reason = 'call_ended', false)::int as call_ended,
    coalesce({_HAS_FAILED} and command.maybe_performed, false)::int as maybe_performed,
    (command.attempts > 1)::int as retried,
    transfer.bridged, transfer.survived,
    case when command.caused_at is not null then
        {_US.format(start="command.caused_at", end="command.decided_at")} end as reaction,
    case when command.settled_at is not null then
        {_US.format(start="command.decided_at", end="command.settled_at")} end as outcome
from commands as command
cross join lateral (
    select count(*)::int as bridged, (count(*) filter (where not is_lost))::int as survived from (
        select {_HANGUP} as is_lost from legs as leg
        where command.operation = 'transfer' and command.status = 'succeeded'
            and leg.call_control_id = command.call_control_id
            and leg.session_id = command.session_id and leg.bridged_at >= command.decided_at
    ) as leg
) as transfer
where command.decided_at >= {{since}} and command.decided_at < {{until}}
"""

COMMANDS = Subject(
    name="commands",
    size="decided",
    dimensions={
        "operation": "dial, transfer, speak …",
        "flow": "the flow that decided on it",
        "flow_version": "its version",
        "status": "pending, succeeded, failed",
        "reason": "why it failed: refused, deadline, call_ended, invalid, unauthorized",
        "http_status": "the status of the carrier's response",
    },
    counters={
        "decided": "decided in the range",
        "succeeded": "accepted by the carrier",
        "failed": "failed, for any reason",
        "unsettled": "without an outcome yet",
        "late": "not accepted in time: given up, because a late command is worse than none",
        "call_ended": "failed because the leg had ended",
        "maybe_performed": "failed without an answer, and may have been performed",
        "retried": "sent more than once",
        "bridged": "transfers after which the leg was bridged",
        "survived": f"of those, not hung up by a command within {SURVIVAL_S} s of the bridge",
    },
    ratios=(
        RatioRule(
            name="success_rate",
            meaning="commands that the carrier accepted",
            source="Offhook",
            numerator=("succeeded",),
            denominator=("succeeded", "failed"),
        ),
        RatioRule(
            name="late_rate",
            meaning="commands that were given up because they were late",
            source="Offhook",
            numerator=("late",),
            denominator=("decided",),
        ),
        RatioRule(
            name="retry_rate",
            meaning="commands that were sent more than once",
            source="Offhook",
            numerator=("retried",),
            denominator=("decided",),
        ),
        RatioRule(
            name="transfer_survival",
            meaning=f"transferred calls that our side did not hang up within {SURVIVAL_S} s",
            source="Offhook",
            numerator=("survived",),
            denominator=("bridged",),
        ),
    ),
    durations={
        "reaction": "from when the log stored the record that caused it until it was decided",
        "outcome": "from the decision until the outcome was stored",
    },
    facts=_FACTS,
    kinds={
        "all": (),
        "operation": ("operation",),
        "flow": ("flow", "flow_version"),
        "outcome": ("status", "reason", "http_status"),
        "every": ("operation", "flow", "flow_version", "status", "reason", "http_status"),
    },
)
