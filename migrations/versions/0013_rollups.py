"""Roll-ups of legs by hour, day and month, and the triggers that keep them.

They are filled from the legs that there are. The SQL is that of
`offhook.projections.views.analytics.rollups.triggers` at this revision; a test compares the two.
"""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    PrimaryKeyConstraint,
    Text,
    text,
)

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leg_sums",
        Column("kind", Text, nullable=False),
        Column("level", Text, nullable=False),
        Column("starts_at", DateTime(timezone=True), nullable=False),
        Column("shard", Integer, nullable=False),
        Column("direction", Text, nullable=True),
        Column("connection_id", Text, nullable=True),
        Column("value1", Text, nullable=True),
        Column("value2", Text, nullable=True),
        Column("value3", Text, nullable=True),
        Column("calls", BigInteger, nullable=False),
        Column("answered", BigInteger, nullable=False),
        Column("unanswered", BigInteger, nullable=False),
        Column("ended", BigInteger, nullable=False),
        Column("completed", BigInteger, nullable=False),
        Column("busy", BigInteger, nullable=False),
        Column("no_answer", BigInteger, nullable=False),
        Column("rejected", BigInteger, nullable=False),
        Column("cancelled", BigInteger, nullable=False),
        Column("outgoing", BigInteger, nullable=False),
        Column("outgoing_answered", BigInteger, nullable=False),
        Column("outgoing_unanswered", BigInteger, nullable=False),
        Column("outgoing_redirected", BigInteger, nullable=False),
        Column("outgoing_refused", BigInteger, nullable=False),
        Column("outgoing_ineffective", BigInteger, nullable=False),
        Column("outgoing_cancelled", BigInteger, nullable=False),
        Column("outgoing_talked", BigInteger, nullable=False),
        Column("outgoing_short", BigInteger, nullable=False),
        Column("talked", BigInteger, nullable=False),
        Column("talk_us", BigInteger, nullable=False),
        Column("rang", BigInteger, nullable=False),
        Column("ring_us", BigInteger, nullable=False),
        Column("mos_legs", BigInteger, nullable=False),
        Column("mos_milli", BigInteger, nullable=False),
        Column("packets", BigInteger, nullable=False),
        Column("skipped_packets", BigInteger, nullable=False),
    )
    op.create_table(
        "leg_classes",
        Column("kind", Text, nullable=False),
        Column("level", Text, nullable=False),
        Column("starts_at", DateTime(timezone=True), nullable=False),
        Column("shard", Integer, nullable=False),
        Column("direction", Text, nullable=True),
        Column("connection_id", Text, nullable=True),
        Column("value", Text, nullable=True),
        Column("legs", BigInteger, nullable=False),
        Column("micros", BigInteger, nullable=False),
    )
    op.create_table(
        "leg_repeats",
        Column("call_control_id", Text, nullable=False),
        Column("session_id", Text, nullable=False),
        PrimaryKeyConstraint("call_control_id", "session_id", name="leg_repeats_pkey"),
    )
    for table, values in (("leg_sums", _VALUES), ("leg_classes", ["value"])):
        key = ["kind", "level", "starts_at", "shard", "direction", "connection_id", *values]
        op.create_index(f"{table}_key", table, key, unique=True, postgresql_nulls_not_distinct=True)
    op.create_index(
        "legs_up_until_index", "legs", ["up_until"], postgresql_where=text("ended_at IS NULL")
    )
    op.execute(text(_FILL_REPEATS))
    op.execute(text(_changed(added=_facts("legs"))))
    op.execute(
        text(
            "create function offhook_rollups() returns trigger language plpgsql security definer"
            f" set search_path to pg_catalog, pg_temp as $$\n{_FUNCTION}$$"
        )
    )
    for event, rows in _TRIGGERS.items():
        op.execute(
            f"create trigger offhook_rollups_{event} after {event} on legs {rows}"
            " for each statement execute function offhook_rollups()"
        )


def downgrade() -> None:
    op.execute("drop function offhook_rollups() cascade")
    op.drop_index("legs_up_until_index", "legs")
    for table in ("leg_repeats", "leg_classes", "leg_sums"):
        op.drop_table(table)


_VALUES = ["value1", "value2", "value3"]

_TRIGGERS = {
    "insert": "referencing new table as new_rows",
    "update": "referencing old table as old_rows new table as new_rows",
    "delete": "referencing old table as old_rows",
    "truncate": "",
}

# The figures are generated, and as wide as they are.
# ruff: noqa: E501
_FACTS = r"""
select started_at, direction, connection_id, number_prefix, flow, flow_version, hangup_cause, hangup_source, sip_hangup_cause, shard,
    case when answered_at is not null then (1000000 * extract(epoch from greatest(answered_at - started_at, interval '0')))::bigint end as delay_us,
    case when answered_at is not null and ended_at is not null then (1000000 * extract(epoch from greatest(ended_at - answered_at, interval '0')))::bigint end as talked_us,
    (true)::int as calls,
    (answered_at is not null)::int as answered,
    (answered_at is null and ended_at is not null)::int as unanswered,
    (ended_at is not null)::int as ended,
    (answered_at is not null and ended_at is not null and hangup_cause = 'normal_clearing')::int as completed,
    (answered_at is null and ended_at is not null and hangup_cause = 'user_busy')::int as busy,
    (answered_at is null and ended_at is not null and hangup_cause in ('no_answer', 'timeout'))::int as no_answer,
    (answered_at is null and ended_at is not null and hangup_cause = 'call_rejected')::int as rejected,
    (answered_at is null and ended_at is not null and hangup_cause = 'originator_cancel')::int as cancelled,
    (direction = 'outgoing')::int as outgoing,
    (direction = 'outgoing' and answered_at is not null)::int as outgoing_answered,
    (direction = 'outgoing' and answered_at is null and ended_at is not null)::int as outgoing_unanswered,
    (direction = 'outgoing' and answered_at is null and ended_at is not null and sip_hangup_cause ~ '^(3[0-9][0-9])$')::int as outgoing_redirected,
    (direction = 'outgoing' and answered_at is null and ended_at is not null and sip_hangup_cause ~ '^(480|486|600|603)$')::int as outgoing_refused,
    (direction = 'outgoing' and answered_at is null and ended_at is not null and sip_hangup_cause ~ '^(408|500|503|504)$')::int as outgoing_ineffective,
    (direction = 'outgoing' and answered_at is null and ended_at is not null and hangup_cause = 'originator_cancel')::int as outgoing_cancelled,
    (direction = 'outgoing' and answered_at is not null and ended_at is not null)::int as outgoing_talked,
    (direction = 'outgoing' and answered_at is not null and ended_at is not null and talk_s <= 6)::int as outgoing_short,
    (answered_at is not null and ended_at is not null)::int as talked,
    (1000000 * extract(epoch from greatest(ended_at - answered_at, interval '0')))::bigint as talk_us,
    (coalesce(answered_at, ended_at) is not null)::int as rang,
    (1000000 * extract(epoch from greatest(coalesce(answered_at, ended_at) - started_at, interval '0')))::bigint as ring_us,
    (mos is not null)::int as mos_legs,
    round(1000 * mos)::int as mos_milli,
    packets::bigint as packets,
    case when packets is not null then skipped_packets::bigint end as skipped_packets,
    round(1000000 * cost)::bigint as cost_micros,
    currency
from (
    select started_at, left(direction, 100) as direction, left(connection_id, 100) as connection_id, left(number_prefix, 100) as number_prefix, left(flow, 100) as flow, left(flow_version, 100) as flow_version, left(hangup_cause, 100) as hangup_cause, left(hangup_source, 100) as hangup_source, left(sip_hangup_cause, 100) as sip_hangup_cause, (leg.last_seq >> 47)::int as shard, answered_at, ended.ended_at, cost, currency,
        extract(epoch from greatest(ended.ended_at - answered_at, interval '0')) as talk_s,
        substring(quality #>> '{inbound,mos}' from '^[0-5](?:\.[0-9]{1,6})?$')::numeric as mos,
        substring(quality #>> '{inbound,packet_count}' from '^[0-9]{1,9}$') as packets,
        substring(quality #>> '{inbound,skip_packet_count}' from '^[0-9]{1,9}$')
            as skipped_packets
    from @rows as leg
    cross join lateral (
        select case when leg.ended_at is not null then greatest(leg.ended_at, started_at) end
            as ended_at
    ) as ended
    where started_at is not null and leg.ended_at is not null and @condition
) as leg
"""

_CHANGED = r"""with @beforechanges as materialized (
    @rows
),
hours as materialized (
    select date_trunc('hour', started_at, 'UTC') as hour, shard, direction, connection_id, number_prefix, flow, flow_version, hangup_cause, hangup_source, sip_hangup_cause, coalesce(sum(sign * calls), 0) as calls, coalesce(sum(sign * answered), 0) as answered, coalesce(sum(sign * unanswered), 0) as unanswered, coalesce(sum(sign * ended), 0) as ended, coalesce(sum(sign * completed), 0) as completed, coalesce(sum(sign * busy), 0) as busy, coalesce(sum(sign * no_answer), 0) as no_answer, coalesce(sum(sign * rejected), 0) as rejected, coalesce(sum(sign * cancelled), 0) as cancelled, coalesce(sum(sign * outgoing), 0) as outgoing, coalesce(sum(sign * outgoing_answered), 0) as outgoing_answered, coalesce(sum(sign * outgoing_unanswered), 0) as outgoing_unanswered, coalesce(sum(sign * outgoing_redirected), 0) as outgoing_redirected, coalesce(sum(sign * outgoing_refused), 0) as outgoing_refused, coalesce(sum(sign * outgoing_ineffective), 0) as outgoing_ineffective, coalesce(sum(sign * outgoing_cancelled), 0) as outgoing_cancelled, coalesce(sum(sign * outgoing_talked), 0) as outgoing_talked, coalesce(sum(sign * outgoing_short), 0) as outgoing_short, coalesce(sum(sign * talked), 0) as talked, coalesce(sum(sign * talk_us), 0) as talk_us, coalesce(sum(sign * rang), 0) as rang, coalesce(sum(sign * ring_us), 0) as ring_us, coalesce(sum(sign * mos_legs), 0) as mos_legs, coalesce(sum(sign * mos_milli), 0) as mos_milli, coalesce(sum(sign * packets), 0) as packets, coalesce(sum(sign * skipped_packets), 0) as skipped_packets
    from changes
    group by hour, shard, direction, connection_id, number_prefix, flow, flow_version, hangup_cause, hangup_source, sip_hangup_cause
    having coalesce(sum(sign * calls), 0) <> 0 or coalesce(sum(sign * answered), 0) <> 0 or coalesce(sum(sign * unanswered), 0) <> 0 or coalesce(sum(sign * ended), 0) <> 0 or coalesce(sum(sign * completed), 0) <> 0 or coalesce(sum(sign * busy), 0) <> 0 or coalesce(sum(sign * no_answer), 0) <> 0 or coalesce(sum(sign * rejected), 0) <> 0 or coalesce(sum(sign * cancelled), 0) <> 0 or coalesce(sum(sign * outgoing), 0) <> 0 or coalesce(sum(sign * outgoing_answered), 0) <> 0 or coalesce(sum(sign * outgoing_unanswered), 0) <> 0 or coalesce(sum(sign * outgoing_redirected), 0) <> 0 or coalesce(sum(sign * outgoing_refused), 0) <> 0 or coalesce(sum(sign * outgoing_ineffective), 0) <> 0 or coalesce(sum(sign * outgoing_cancelled), 0) <> 0 or coalesce(sum(sign * outgoing_talked), 0) <> 0 or coalesce(sum(sign * outgoing_short), 0) <> 0 or coalesce(sum(sign * talked), 0) <> 0 or coalesce(sum(sign * talk_us), 0) <> 0 or coalesce(sum(sign * rang), 0) <> 0 or coalesce(sum(sign * ring_us), 0) <> 0 or coalesce(sum(sign * mos_legs), 0) <> 0 or coalesce(sum(sign * mos_milli), 0) <> 0 or coalesce(sum(sign * packets), 0) <> 0 or coalesce(sum(sign * skipped_packets), 0) <> 0
),
hour_classes as materialized (
    select kind, date_trunc('hour', started_at, 'UTC') as hour, shard, direction, connection_id,
        value, sum(sign) as legs, sum(sign * micros) as micros
    from changes cross join lateral (values
        ('delay', (width_bucket(delay_us - 1, array[100000, 110000, 121000, 133100, 146410, 161051, 177156, 194872, 214359, 235795, 259375, 285312, 313843, 345227, 379750, 417725, 459498, 505448, 555993, 611592, 672751, 740026, 814029, 895432, 984975, 1083472, 1191819, 1311001, 1442101, 1586311, 1744942, 1919436, 2111380, 2322518, 2554770, 2810247, 3091272, 3400399, 3740439, 4114483, 4525931, 4978524, 5476376, 6024014, 6626415, 7289057, 8017963, 8819759, 9701735, 10671908, 11739099, 12913009, 14204310, 15624741, 17187215, 18905936, 20796530, 22876183, 25163801, 27680181, 30448199, 33493019, 36842321, 40526553, 44579208, 49037129, 53940842, 59334926, 65268419, 71795261, 78974787, 86872266, 95559493, 105115442, 115626986, 127189685, 139908654, 153899519, 169289471, 186218418, 204840260, 225324286, 247856715, 272642386, 299906625, 329897288, 362887017, 399175719, 439093291, 483002620, 531302882, 584433170, 642876487, 707164136, 777880550, 855668605, 941235466, 1035359013, 1138894914, 1252784405, 1378062846, 1515869131, 1667456044, 1834201648, 2017621813, 2219383994, 2441322393, 2685454632, 2954000095, 3249400105, 3574340116, 3931774128, 4324951541, 4757446695, 5233191364, 5756510500, 6332161550, 6965377705, 7661915476, 8428107024, 9270917726, 10198009499, 11217810449, 12339591494, 13573550643, 14930905707, 16423996278, 18066395906, 19873035497, 21860339047, 24046372952, 26451010247, 29096111272, 32005722399, 35206294639, 38726924103, 42599616513, 46859578164, 51545535980, 56700089578, 62370098536, 68607108390, 75467819229, 83014601152, 91316061267]::bigint[]))::text, delay_us, 0),
        ('talk', (width_bucket(talked_us - 1, array[100000, 110000, 121000, 133100, 146410, 161051, 177156, 194872, 214359, 235795, 259375, 285312, 313843, 345227, 379750, 417725, 459498, 505448, 555993, 611592, 672751, 740026, 814029, 895432, 984975, 1083472, 1191819, 1311001, 1442101, 1586311, 1744942, 1919436, 2111380, 2322518, 2554770, 2810247, 3091272, 3400399, 3740439, 4114483, 4525931, 4978524, 5476376, 6024014, 6626415, 7289057, 8017963, 8819759, 9701735, 10671908, 11739099, 12913009, 14204310, 15624741, 17187215, 18905936, 20796530, 22876183, 25163801, 27680181, 30448199, 33493019, 36842321, 40526553, 44579208, 49037129, 53940842, 59334926, 65268419, 71795261, 78974787, 86872266, 95559493, 105115442, 115626986, 127189685, 139908654, 153899519, 169289471, 186218418, 204840260, 225324286, 247856715, 272642386, 299906625, 329897288, 362887017, 399175719, 439093291, 483002620, 531302882, 584433170, 642876487, 707164136, 777880550, 855668605, 941235466, 1035359013, 1138894914, 1252784405, 1378062846, 1515869131, 1667456044, 1834201648, 2017621813, 2219383994, 2441322393, 2685454632, 2954000095, 3249400105, 3574340116, 3931774128, 4324951541, 4757446695, 5233191364, 5756510500, 6332161550, 6965377705, 7661915476, 8428107024, 9270917726, 10198009499, 11217810449, 12339591494, 13573550643, 14930905707, 16423996278, 18066395906, 19873035497, 21860339047, 24046372952, 26451010247, 29096111272, 32005722399, 35206294639, 38726924103, 42599616513, 46859578164, 51545535980, 56700089578, 62370098536, 68607108390, 75467819229, 83014601152, 91316061267]::bigint[]))::text, talked_us, 0),
        ('cost', currency, cost_micros, cost_micros)
    ) as each (kind, value, counted, micros)
    where counted is not null
    group by kind, hour, shard, direction, connection_id, value
    having sum(sign) <> 0 or sum(sign * micros) <> 0
),
classes as (
    insert into leg_classes (
        kind, level, starts_at, shard, direction, connection_id, value, legs, micros
    )
    select kind, level, date_trunc(level, hour, 'UTC'), shard, direction, connection_id, value,
        sum(legs), sum(micros)
    from hour_classes cross join (values ('hour'), ('day'), ('month')) as period (level)
    group by 1, 2, 3, 4, 5, 6, 7
    order by 1, 2, 3, 4, 5, 6, 7
    on conflict (kind, level, starts_at, shard, direction, connection_id, value) do update
    set legs = leg_classes.legs + excluded.legs, micros = leg_classes.micros + excluded.micros
)
insert into leg_sums (
    kind, level, starts_at, shard, direction, connection_id, value1, value2, value3, calls, answered, unanswered, ended, completed, busy, no_answer, rejected, cancelled, outgoing, outgoing_answered, outgoing_unanswered, outgoing_redirected, outgoing_refused, outgoing_ineffective, outgoing_cancelled, outgoing_talked, outgoing_short, talked, talk_us, rang, ring_us, mos_legs, mos_milli, packets, skipped_packets
)
select kind, level, date_trunc(level, hour, 'UTC'), shard, direction, connection_id,
    value1, value2, value3, sum(calls), sum(answered), sum(unanswered), sum(ended), sum(completed), sum(busy), sum(no_answer), sum(rejected), sum(cancelled), sum(outgoing), sum(outgoing_answered), sum(outgoing_unanswered), sum(outgoing_redirected), sum(outgoing_refused), sum(outgoing_ineffective), sum(outgoing_cancelled), sum(outgoing_talked), sum(outgoing_short), sum(talked), sum(talk_us), sum(rang), sum(ring_us), sum(mos_legs), sum(mos_milli), sum(packets), sum(skipped_packets)
from hours cross join lateral (values
        ('all', null, null, null),
        ('outcome', hangup_cause, hangup_source, sip_hangup_cause),
        ('number', number_prefix, null, null),
        ('flow', flow, flow_version, null)
) as each (kind, value1, value2, value3)
    cross join (values ('hour'), ('day'), ('month')) as period (level)
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
having sum(calls) <> 0 or sum(answered) <> 0 or sum(unanswered) <> 0 or sum(ended) <> 0 or sum(completed) <> 0 or sum(busy) <> 0 or sum(no_answer) <> 0 or sum(rejected) <> 0 or sum(cancelled) <> 0 or sum(outgoing) <> 0 or sum(outgoing_answered) <> 0 or sum(outgoing_unanswered) <> 0 or sum(outgoing_redirected) <> 0 or sum(outgoing_refused) <> 0 or sum(outgoing_ineffective) <> 0 or sum(outgoing_cancelled) <> 0 or sum(outgoing_talked) <> 0 or sum(outgoing_short) <> 0 or sum(talked) <> 0 or sum(talk_us) <> 0 or sum(rang) <> 0 or sum(ring_us) <> 0 or sum(mos_legs) <> 0 or sum(mos_milli) <> 0 or sum(packets) <> 0 or sum(skipped_packets) <> 0
order by 1, 2, 3, 4, 5, 6, 7, 8, 9
on conflict (
    kind, level, starts_at, shard, direction, connection_id, value1, value2, value3
) do update set calls = leg_sums.calls + excluded.calls, answered = leg_sums.answered + excluded.answered, unanswered = leg_sums.unanswered + excluded.unanswered, ended = leg_sums.ended + excluded.ended, completed = leg_sums.completed + excluded.completed, busy = leg_sums.busy + excluded.busy, no_answer = leg_sums.no_answer + excluded.no_answer, rejected = leg_sums.rejected + excluded.rejected, cancelled = leg_sums.cancelled + excluded.cancelled, outgoing = leg_sums.outgoing + excluded.outgoing, outgoing_answered = leg_sums.outgoing_answered + excluded.outgoing_answered, outgoing_unanswered = leg_sums.outgoing_unanswered + excluded.outgoing_unanswered, outgoing_redirected = leg_sums.outgoing_redirected + excluded.outgoing_redirected, outgoing_refused = leg_sums.outgoing_refused + excluded.outgoing_refused, outgoing_ineffective = leg_sums.outgoing_ineffective + excluded.outgoing_ineffective, outgoing_cancelled = leg_sums.outgoing_cancelled + excluded.outgoing_cancelled, outgoing_talked = leg_sums.outgoing_talked + excluded.outgoing_talked, outgoing_short = leg_sums.outgoing_short + excluded.outgoing_short, talked = leg_sums.talked + excluded.talked, talk_us = leg_sums.talk_us + excluded.talk_us, rang = leg_sums.rang + excluded.rang, ring_us = leg_sums.ring_us + excluded.ring_us, mos_legs = leg_sums.mos_legs + excluded.mos_legs, mos_milli = leg_sums.mos_milli + excluded.mos_milli, packets = leg_sums.packets + excluded.packets, skipped_packets = leg_sums.skipped_packets + excluded.skipped_packets"""

_IS_COUNTED = (
    "not exists (select from leg_repeats where leg_repeats.call_control_id = leg.call_control_id"
    " and leg_repeats.session_id = leg.session_id)"
)


def _changed(before: str = "", **rows: str) -> str:
    """A statement that adds the facts of rows under `added`, and subtracts the others."""
    signs = {"added": "+", "subtracted": "-"}
    selects = [
        f"select {signs[name]}1 as sign, fact.* from ({query}) as fact"
        for name, query in rows.items()
    ]
    return _CHANGED.replace("@before", before).replace("@rows", " union all ".join(selects))


def _facts(rows: str, condition: str = _IS_COUNTED) -> str:
    return _FACTS.replace("@rows", rows).replace("@condition", condition)


_FILL_REPEATS = r"""
insert into leg_repeats (call_control_id, session_id)
select call_control_id, session_id from (
    select call_control_id, session_id, row_number() over (partition by call_control_id order by state <> 'unseen' desc, last_seq desc) > 1 as repeats from legs
    where call_control_id in (
        select call_control_id from legs group by call_control_id having count(*) > 1
    )
) as ranked
where repeats
"""

_MARKED = """ranked as (
    select call_control_id, session_id, row_number() over (partition by call_control_id order by state <> 'unseen' desc, last_seq desc) > 1 as repeats from legs
    where call_control_id = any(due)
),
marked as (
    insert into leg_repeats (call_control_id, session_id)
    select call_control_id, session_id from ranked where repeats
    on conflict do nothing
    returning call_control_id, session_id
),
unmarked as (
    delete from leg_repeats using ranked
    where not repeats and leg_repeats.call_control_id = ranked.call_control_id
        and leg_repeats.session_id = ranked.session_id
    returning leg_repeats.call_control_id, leg_repeats.session_id
),
"""

_FUNCTION = (
    r"""
declare
    due text[];
    noted text := 'offhook.due_' || tg_relid;
begin
    perform set_config(
        'search_path', quote_ident(tg_table_schema) || ', pg_catalog, pg_temp', true
    );
    if tg_op = 'TRUNCATE' then
        truncate leg_sums, leg_classes, leg_repeats;
        return null;
    elsif tg_op = 'UPDATE' then
        -- Of an upsert, this is before the trigger of its inserted rows, which marks repeats.
        if exists (select from old_rows where ended_at is not null)
            or exists (select from new_rows where ended_at is not null) then
            @update;
        end if;
        select array_agg(distinct call_control_id) into due from new_rows where exists (
            select from legs where legs.call_control_id = new_rows.call_control_id
                and legs.session_id <> new_rows.session_id
        );
        if due is not null then
            perform set_config(noted, due::text, true);
        end if;
        return null;
    elsif tg_op = 'INSERT' then
        if exists (select from new_rows where ended_at is not null) then
            @insert;
        end if;
        select array_agg(distinct call_control_id) into due from new_rows where exists (
            select from legs where legs.call_control_id = new_rows.call_control_id
                and legs.session_id <> new_rows.session_id
        );
        if current_setting(noted, true) <> '' then
            due := due || current_setting(noted)::text[];
            perform set_config(noted, '', true);
        end if;
    else
        @delete;
        delete from leg_repeats using old_rows
        where leg_repeats.call_control_id = old_rows.call_control_id
            and leg_repeats.session_id = old_rows.session_id;
        select array_agg(distinct call_control_id) into due from old_rows where exists (
            select from legs where legs.call_control_id = old_rows.call_control_id
        );
    end if;
    if due is not null then
        @mark;
    end if;
    return null;
end
""".replace("@update", _changed(subtracted=_facts("old_rows"), added=_facts("new_rows")))
    .replace("@insert", _changed(added=_facts("new_rows")))
    .replace("@delete", _changed(subtracted=_facts("old_rows")))
    .replace(
        "@mark",
        _changed(
            _MARKED,
            subtracted=_facts(
                "(select legs.* from legs join marked using (call_control_id, session_id))", "true"
            ),
            added=_facts(
                "(select legs.* from legs join unmarked using (call_control_id, session_id))",
                "true",
            ),
        ),
    )
)
