// The same views with `@event-driven-io/emmett-postgresql`, run by `bench.rebuild`:
//
//     node emmett_rebuild.mjs load FILE | rebuild      PostgreSQL by POSTGRES_URL
//
// A batch projection of raw SQL, the fastest of its documented ones: a batch of BATCH events is
// folded in memory and written in one statement.

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import {
  getPostgreSQLEventStore,
  postgreSQLRawBatchSQLProjection,
  rebuildPostgreSQLProjections,
} from '@event-driven-io/emmett-postgresql';
import { rawSql } from '@event-driven-io/dumbo';

const BATCH = 500;
const AT_ONCE = 1; // concurrent appends would be in another order than their commits
const url = process.env.POSTGRES_URL;
const quoted = (value) => (value == null ? 'null' : `'${String(value).replaceAll("'", "''")}'`);

const table = rawSql(
  `create table if not exists calls (session_id text primary key, started_at timestamptz,
   answered_at timestamptz, ended_at timestamptz, keys jsonb not null default '[]')`,
);

const projection = postgreSQLRawBatchSQLProjection({
  name: 'calls',
  canHandle: ['WebhookReceived'],
  init: () => table,
  evolve: (events) => {
    const rows = new Map();
    for (const { data: stored } of events) {
      const { data } = JSON.parse(stored.body);
      const row = rows.get(stored.session_id) ?? { keys: [] };
      if (data.event_type === 'call.initiated') row.started_at = data.occurred_at;
      else if (data.event_type === 'call.answered') row.answered_at = data.occurred_at;
      else if (data.event_type === 'call.hangup') row.ended_at = data.occurred_at;
      else if (data.event_type === 'call.dtmf.received')
        row.keys.push([data.occurred_at, data.id, data.payload.digit]);
      rows.set(stored.session_id, row);
    }
    const values = [...rows].map(
      ([id, row]) =>
        `(${quoted(id)}, ${quoted(row.started_at)}::timestamptz,` +
        ` ${quoted(row.answered_at)}::timestamptz, ${quoted(row.ended_at)}::timestamptz,` +
        ` ${quoted(JSON.stringify(row.keys))}::jsonb)`,
    );
    return [
      rawSql(
        `insert into calls (session_id, started_at, answered_at, ended_at, keys)
         values ${values.join(', ')} on conflict (session_id) do update set
         started_at = coalesce(excluded.started_at, calls.started_at),
         answered_at = coalesce(excluded.answered_at, calls.answered_at),
         ended_at = coalesce(excluded.ended_at, calls.ended_at),
         keys = calls.keys || excluded.keys`,
      ),
    ];
  },
});

async function load(path) {
  const store = getPostgreSQLEventStore(url);
  await store.schema.migrate();
  const sessions = new Map();
  const seen = new Set();
  for await (const text of createInterface({ input: createReadStream(path) })) {
    const line = JSON.parse(text);
    if (seen.has(line.event_id)) continue;
    seen.add(line.event_id);
    const events = sessions.get(line.session_id) ?? [];
    const { session_id, body } = line;
    events.push({ type: 'WebhookReceived', data: { session_id, body } });
    sessions.set(session_id, events);
  }
  const left = sessions.entries();
  const append = async () => {
    for (const [id, events] of left) await store.appendToStream(`call-${id}`, events);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, append));
  await store.close();
}

async function rebuild() {
  const consumer = rebuildPostgreSQLProjections({
    connectionString: url,
    projections: [projection],
    pulling: { batchSize: BATCH },
  });
  const started = performance.now();
  await consumer.start();
  const seconds = (performance.now() - started) / 1000;
  await consumer.close();
  console.log(seconds);
}

await (process.argv[2] === 'load' ? load(process.argv[3]) : rebuild());
process.exit(0);
