"""What became of the commands that were decided lately."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, kw_only=True)
class CommandOutcomes:
    """How many commands; `failed` is by reason. `retried` were sent more than once.

    `overtaken` of those with the reason call_ended had failed before their leg ended: only these
    are failures of their own (docs/search.md).
    """

    decided: int
    succeeded: int
    unsettled: int
    failed: Mapping[str, int]
    retried: int
    attempts: int  # of all
    overtaken: int


async def count_outcomes(connection: AsyncConnection, since: datetime) -> CommandOutcomes:
    """Of the commands decided since then."""
    found = await connection.execute(
        text(
            "select status, reason, count(*) as commands, sum(attempts) as attempts,"
            " count(*) filter (where attempts > 1) as retried,"
            # As `offhook.session.failures.is_command_failure` has it.
            " count(*) filter (where attempts > (http_status is not null)::int) as had_failed"
            " from commands where decided_at >= :since group by status, reason"
        ),
        {"since": since},
    )
    rows = found.all()
    failed = {row.reason or "unknown": row.commands for row in rows if row.status == "failed"}
    succeeded = sum(row.commands for row in rows if row.status == "succeeded")
    decided = sum(row.commands for row in rows)
    return CommandOutcomes(
        decided=decided,
        succeeded=succeeded,
        unsettled=decided - succeeded - sum(failed.values()),
        failed=failed,
        retried=sum(row.retried for row in rows),
        attempts=sum(int(row.attempts or 0) for row in rows),
        overtaken=sum(
            row.had_failed for row in rows if row.status == "failed" and row.reason == "call_ended"
        ),
    )
