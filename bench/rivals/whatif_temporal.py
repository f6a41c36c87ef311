"""The same calls as workflows of Temporal, and its Replayer on their histories. Needs no server.

A webhook is a signal, a command an activity. Run by `bench.whatif`, with temporalio on the path.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta
from typing import Any

from temporalio import workflow  # type: ignore[import-not-found,unused-ignore]
from temporalio.api.common.v1 import (  # type: ignore[import-not-found,unused-ignore]
    ActivityType,
    Payloads,
    WorkflowType,
)
from temporalio.api.enums.v1 import (  # type: ignore[import-not-found,unused-ignore]
    EventType,
    TaskQueueKind,
)
from temporalio.api.history.v1 import HistoryEvent  # type: ignore[import-not-found,unused-ignore]
from temporalio.api.taskqueue.v1 import TaskQueue  # type: ignore[import-not-found,unused-ignore]
from temporalio.client import WorkflowHistory  # type: ignore[import-not-found,unused-ignore]
from temporalio.converter import DataConverter  # type: ignore[import-not-found,unused-ignore]
from temporalio.worker import (  # type: ignore[import-not-found,unused-ignore]
    Replayer,
    UnsandboxedWorkflowRunner,
)

STEPS = [
    ("call.initiated", "answer"),
    ("call.answered", "speak"),
    ("call.speak.started", None),
    ("call.speak.ended", "hangup"),
    ("call.hangup", None),
]
GREETING = {"payload": "Welcome to the hotline.", "voice": "female"}
WITHIN = timedelta(seconds=45)


class _Call:
    changed = False

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []

    async def serve(self, caller: str) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self._events))
            event = self._events.pop(0)
            for operation, parameters in self._decided(event["event_type"], caller[-1]):
                await workflow.execute_activity(
                    operation, parameters, start_to_close_timeout=WITHIN
                )
            if event["event_type"] == "call.hangup":
                return

    def _decided(self, event_type: str, digit: str) -> list[tuple[str, dict[str, str]]]:
        digit = digit if self.changed else ""
        match digit, event_type:
            case "1", "call.answered":
                return [("speak", {"payload": "Good morning.", "voice": "female"})]
            case "2", "call.speak.started":
                return [("playback_stop", {})]
            case "3", "call.speak.ended":
                return []
        operation = dict(STEPS)[event_type]
        if operation is None:
            return []
        return [(operation, GREETING if operation == "speak" else {})]


@workflow.defn(name="Call")  # type: ignore[untyped-decorator,unused-ignore]
class Same(_Call):
    @workflow.run  # type: ignore[untyped-decorator,unused-ignore]
    async def run(self, caller: str) -> None:
        await self.serve(caller)

    @workflow.signal  # type: ignore[untyped-decorator,unused-ignore]
    def webhook(self, event: dict[str, Any]) -> None:
        self._events.append(event)


@workflow.defn(name="Call")  # type: ignore[untyped-decorator,unused-ignore]
class Changed(_Call):
    changed = True

    @workflow.run  # type: ignore[untyped-decorator,unused-ignore]
    async def run(self, caller: str) -> None:
        await self.serve(caller)

    @workflow.signal  # type: ignore[untyped-decorator,unused-ignore]
    def webhook(self, event: dict[str, Any]) -> None:
        self._events.append(event)


class _History:
    """The events of one call, numbered from 1."""

    def __init__(self, session: str, caller: str) -> None:
        self.events: list[Any] = []
        self._session = session
        self._queue = TaskQueue(name="calls", kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL)
        started = self._add("WORKFLOW_EXECUTION_STARTED")
        started = started.workflow_execution_started_event_attributes
        started.workflow_type.CopyFrom(WorkflowType(name="Call"))
        started.task_queue.CopyFrom(self._queue)
        started.input.CopyFrom(_payloads(caller))
        started.original_execution_run_id = started.first_execution_run_id = session
        started.attempt = 1
        for number, (event_type, operation) in enumerate(STEPS):
            signal = self._add("WORKFLOW_EXECUTION_SIGNALED")
            signal = signal.workflow_execution_signaled_event_attributes
            signal.signal_name = "webhook"
            signal.input.CopyFrom(
                _payloads(
                    {
                        "event_type": event_type,
                        "id": f"{session}-event-{number}",
                        "call_control_id": f"v3:{session}-{'x' * 40}",
                        "call_session_id": session,
                        "from": caller,
                        "to": "+12025550101",
                    }
                )
            )
            task = self._workflow_task()
            if operation is not None:
                self._activity(task, operation, number)
                task = self._workflow_task()
        done = self._add("WORKFLOW_EXECUTION_COMPLETED")
        done = done.workflow_execution_completed_event_attributes
        done.workflow_task_completed_event_id = task

    def _workflow_task(self) -> int:
        scheduled = self._add("WORKFLOW_TASK_SCHEDULED")
        attributes = scheduled.workflow_task_scheduled_event_attributes
        attributes.task_queue.CopyFrom(self._queue)
        attributes.attempt = 1
        started = self._add("WORKFLOW_TASK_STARTED")
        started.workflow_task_started_event_attributes.scheduled_event_id = scheduled.event_id
        completed = self._add("WORKFLOW_TASK_COMPLETED")
        done = completed.workflow_task_completed_event_attributes
        done.scheduled_event_id = scheduled.event_id
        done.started_event_id = started.event_id
        return int(completed.event_id)

    def _activity(self, task: int, operation: str, number: int) -> None:
        scheduled = self._add("ACTIVITY_TASK_SCHEDULED")
        attributes = scheduled.activity_task_scheduled_event_attributes
        attributes.activity_id = str(sum(step is not None for _, step in STEPS[: number + 1]))
        attributes.activity_type.CopyFrom(ActivityType(name=operation))
        attributes.task_queue.CopyFrom(self._queue)
        attributes.input.CopyFrom(_payloads(GREETING if operation == "speak" else {}))
        attributes.start_to_close_timeout.FromTimedelta(WITHIN)
        attributes.workflow_task_completed_event_id = task
        started = self._add("ACTIVITY_TASK_STARTED")
        started.activity_task_started_event_attributes.scheduled_event_id = scheduled.event_id
        started.activity_task_started_event_attributes.attempt = 1
        completed = self._add("ACTIVITY_TASK_COMPLETED")
        done = completed.activity_task_completed_event_attributes
        done.scheduled_event_id = scheduled.event_id
        done.started_event_id = started.event_id
        done.result.CopyFrom(_payloads({"data": {"result": "ok"}}))

    def _add(self, name: str) -> Any:
        event = HistoryEvent(
            event_id=len(self.events) + 1,
            event_type=EventType.Value(f"EVENT_TYPE_{name}"),
        )
        event.event_time.FromSeconds(1_795_348_800 + len(self.events))
        self.events.append(event)
        return event

    def whole(self) -> Any:
        return WorkflowHistory(self._session, self.events)


def _payloads(value: Any) -> Any:
    return Payloads(payloads=DataConverter.default.payload_converter.to_payloads([value]))


async def main() -> None:
    calls, which, runner = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
    histories = [_History(session, caller).whole() for session, caller in calls]
    options = {"workflow_runner": UnsandboxedWorkflowRunner()} if runner == "unsandboxed" else {}
    replayer = Replayer(workflows=[Changed if which == "changed" else Same], **options)

    async def each() -> Any:
        for history in histories:
            yield history

    print("ready", len(histories[0].events), flush=True)  # noqa: T201
    sys.stdin.readline()
    began, cpu_began = time.perf_counter(), time.process_time()
    found = await replayer.replay_workflows(each(), raise_on_replay_failure=False)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    failed = len(found.replay_failures)
    answer = {"took_s": took_s, "cpu_s": cpu_s, "found": {"failed": failed} if failed else {}}
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
