"""The same views with `eventsourcing` and its PostgreSQL module, run by `bench.rebuild`:

    python eventsourcing_rebuild.py load FILE | rebuild      PostgreSQL by POSTGRES_*

The library has one way to build a view: a ProjectionRunner, which processes one event in one
transaction. Runs in an environment of its own, where `eventsourcing[postgres]` is installed.
"""

# mypy: ignore-errors
import json
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from eventsourcing.application import Application
from eventsourcing.domain import DomainEvent
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

NAMESPACE = uuid.UUID(int=1)


@dataclass(frozen=True)
class WebhookReceived(DomainEvent):
    session_id: str
    body: str


class Calls(Application):
    pass


class CallsView(PostgresTrackingRecorder):
    def __init__(self, datastore, **options):
        super().__init__(datastore, **options)
        self.sql_create_statements.append(
            SQL(
                "create table if not exists public.calls (session_id text primary key,"
                " started_at timestamptz, answered_at timestamptz, ended_at timestamptz,"
                " keys jsonb not null default '[]')"
            )
        )

    def upsert(self, session_id, column, value, tracking):
        change = "calls.keys || excluded.keys" if column == "keys" else f"excluded.{column}"
        statement = (
            f"insert into public.calls (session_id, {column}) values (%s, %s)"
            f" on conflict (session_id) do update set {column} = {change}"
        )
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(statement, (session_id, value))
            self._insert_tracking(cursor, tracking)

    def track(self, tracking):
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)


class CallsProjection(Projection[CallsView]):
    name = "calls"

    def process_event(self, domain_event, tracking):
        data = json.loads(domain_event.body)["data"]
        match data["event_type"]:
            case "call.initiated":
                column, value = "started_at", data["occurred_at"]
            case "call.answered":
                column, value = "answered_at", data["occurred_at"]
            case "call.hangup":
                column, value = "ended_at", data["occurred_at"]
            case "call.dtmf.received":
                key = [data["occurred_at"], data["id"], data["payload"]["digit"]]
                column, value = "keys", json.dumps([key])
            case _:
                return self.view.track(tracking)
        return self.view.upsert(domain_event.session_id, column, value, tracking)


def load(path):
    application = Calls()
    versions, seen, events = {}, set(), []
    with open(path) as file:
        for line in map(json.loads, file):
            if line["event_id"] in seen:
                continue
            seen.add(line["event_id"])
            session_id = line["session_id"]
            versions[session_id] = versions.get(session_id, 0) + 1
            events.append(
                WebhookReceived(
                    originator_id=uuid.uuid5(NAMESPACE, session_id),
                    originator_version=versions[session_id],
                    timestamp=datetime.now(UTC),
                    session_id=session_id,
                    body=line["body"],
                )
            )
    for start in range(0, len(events), 500):
        stored = [application.mapper.to_stored_event(each) for each in events[start : start + 500]]
        application.recorder.insert_events(stored)
    application.close()


def rebuild():
    application = Calls()
    last = application.recorder.max_notification_id()
    application.close()
    started = time.perf_counter()
    with ProjectionRunner(
        application_class=Calls, projection_class=CallsProjection, view_class=CallsView
    ) as runner:
        runner.wait(last, timeout=3600)
    print(time.perf_counter() - started)  # noqa: T201


if __name__ == "__main__":
    load(sys.argv[2]) if sys.argv[1] == "load" else rebuild()
