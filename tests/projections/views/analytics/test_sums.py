"""How much Postgres sends of a group: the reader would add up anything, but memory is bounded."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.projections.views.analytics import groups, subject_figures
from offhook.projections.views.analytics.grouping.percentiles import Blocks
from offhook.projections.views.analytics.grouping.statement import histograms_of
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.groups import read_groups
from offhook.projections.views.analytics.hourly.keeping import make_old
from offhook.projections.views.analytics.subject_figures import read_figures
from offhook.projections.views.analytics.subjects.commands import COMMANDS

HOUR = timedelta(hours=1)
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
RANGE: dict[str, Any] = {"start": AT - 6 * HOUR, "end": AT + 6 * HOUR}


@pytest.mark.parametrize("tz", ["Asia/Kolkata", "Asia/Kathmandu", "UTC"])
async def test_legs_of_an_hour_are_added_up_in_every_time_zone(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, tz: str
) -> None:
    sent: list[Sequence[int]] = []

    def note(blocks: Sequence[int], counts: Sequence[Sequence[int]]) -> list[Blocks]:
        sent.append(blocks)
        return histograms_of(blocks, counts)

    monkeypatch.setattr(groups, "histograms_of", note)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "insert into legs (call_control_id, session_id, state, started_at, answered_at,"
                " ended_at, cost, currency, last_seq) select n, n, 'ended', :at,"
                " cast(:at as timestamptz) + interval '2 s', cast(:at as timestamptz) +"
                " interval '9 s', 0.5, 'USD', n from generate_series(1, 200) as n"
            ).bindparams(at=AT + HOUR / 10)
        )
        wanted = GroupsWanted(**RANGE, unit="hour", tz=tz)
        [group] = await read_groups(connection, wanted, AT + 6 * HOUR)
    assert group.counts["calls"] == 200
    assert group.durations.talk is not None
    assert group.durations.talk.samples == 200
    # Classes of the time until the answer, and of the time from there.
    [blocks] = sent
    assert len(blocks) == 2


async def test_commands_told_apart_by_what_nobody_asked_for_are_not_too_many_groups(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters of two kinds are found only in the finest kind, which has a row for each version."""
    versions = 100
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "insert into commands (session_id, command_id, operation, status, flow,"
                " flow_version, attempts, ordinal, decided_at, last_seq) select n, n, 'speak',"
                " 'succeeded', 'desk', n, 1, 0, :at, n from generate_series(1, :versions) as n"
            ).bindparams(at=AT + HOUR / 10, versions=versions)
        )
    await make_old(engine)
    monkeypatch.setattr(subject_figures, "ROWS_MAX", versions)
    filters = {"operation": "speak", "status": "succeeded"}
    async with engine.connect() as connection:
        wanted = GroupsWanted(**RANGE, unit="hour", filters=filters)
        [group] = await read_figures(connection, COMMANDS, wanted)
    assert group.counts["decided"] == group.counts["succeeded"] == versions
