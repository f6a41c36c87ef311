"""Histograms of ringing, of calls that ended without an answer.

The function of the roll-ups gets one more duration, and existing legs are counted. The SQL
is that of `offhook.projections.views.analytics.rollups` at this revision; a test compares the two.
"""

import re

from alembic import op
from sqlalchemy import text

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    body = _body()
    talk = re.search(_TALK, body)
    assert talk is not None
    ring = talk[0].replace("'talk'", "'ring'").replace("talked_us", "unanswered_us")
    assert body.count(talk[0]) * 3 == body.count(_TALKED) * 2
    _replace(body.replace(_TALKED, _TALKED + _UNANSWERED).replace(talk[0], talk[0] + ring))
    [class_] = re.findall(r"\((width_bucket\(.*\))\)::text", ring)
    op.execute(text(_FILL.replace("@class", class_)))


def downgrade() -> None:
    body = _body()
    ring = re.search(_TALK.replace("talk", "ring", 1).replace("talked_us", "unanswered_us"), body)
    assert ring is not None
    _replace(body.replace(ring[0], "").replace(_UNANSWERED, ""))
    op.execute("delete from leg_classes where kind = 'ring'")


def _body() -> str:
    found = op.get_bind().scalar(
        text("select prosrc from pg_proc where proname = 'offhook_rollups'")
    )
    return str(found)


def _replace(body: str) -> None:
    op.execute(
        text(
            "create or replace function offhook_rollups() returns trigger language plpgsql"
            f" security definer set search_path to pg_catalog, pg_temp as $${body}$$"
        )
    )


_TALK = (
    r"\n +\('talk', \(width_bucket\(talked_us - 1, array\[[0-9, ]+\]::bigint\[\]\)\)::text,"
    r" talked_us, 0\),"
)

_TALKED = (
    "case when answered_at is not null and ended_at is not null then (1000000 *"
    " extract(epoch from greatest(ended_at - answered_at, interval '0')))::bigint end as talked_us,"
)

_UNANSWERED = (
    "\n    case when answered_at is null and ended_at is not null then"
    " (1000000 * extract(epoch from greatest(coalesce(answered_at, ended_at) - started_at,"
    " interval '0')))::bigint end as unanswered_us,"
)

_FILL = """
insert into leg_classes (
    kind, level, starts_at, shard, direction, connection_id, value, legs, micros
)
select 'ring', level, date_trunc(level, started_at, 'UTC'), (leg.last_seq >> 47)::int,
    left(direction, 100), left(connection_id, 100), (@class)::text, count(*), 0
from legs as leg
cross join lateral (
    select (1000000 * extract(epoch from greatest(ended_at - started_at, interval '0')))::bigint
        as unanswered_us
) as each
cross join (values ('hour'), ('day'), ('month')) as period (level)
where answered_at is null and ended_at is not null and started_at is not null and not exists (
    select from leg_repeats where leg_repeats.call_control_id = leg.call_control_id
        and leg_repeats.session_id = leg.session_id
)
group by 1, 2, 3, 4, 5, 6, 7
"""
