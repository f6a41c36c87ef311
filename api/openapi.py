"""What FastAPI cannot know for /docs: what the groups of routes are, and the shape of errors."""

from collections.abc import Mapping
from typing import Any

from offhook.projections.views.analytics.kpis import COUNTERS, RATIOS

PARAMETERS: Mapping[str, str] = {
    "call_control_id": "The leg, by the id that the carrier controls it with",
    "command_id": "The command, by its own id",
    "connection_id": "Id of the carrier's connection: the Call Control Application",
    "from_number": "The caller, in any spelling; a number with a plus sign in E.164",
    "id": "Id of the Call Control Application",
    "limit": "Most entries on the page",
    "session_id": "The session, by the carrier's `call_session_id`",
    "status": "`active`: a leg is up; `ended`: all legs have ended; `empty`: there is no leg",
    "to_number": "The callee, in any spelling; a number with a plus sign in E.164",
}
"""By name: a parameter that means the same in every route."""


def describe_parameters(document: Mapping[str, Any]) -> None:
    """Describe the parameters of PARAMETERS, in place, where the route itself does not."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if (known := PARAMETERS.get(parameter["name"])) is not None:
                    parameter.setdefault("description", known)


def _kpis() -> str:
    """Every ratio and every counter, from the definitions themselves."""
    lines = ["\n| ratio | formula | what it is | source |", "|---|---|---|---|"]
    lines += [f"| {one.name} | `{one.formula}` | {one.meaning} | {one.source} |" for one in RATIOS]
    lines += ["\n| counter | calls |", "|---|---|"]
    lines += [f"| {one.name} | {one.meaning} |" for one in COUNTERS]
    return "\n".join(lines)


TAGS = [
    {
        "name": "calls",
        "description": "Telnyx Call Control, compatible: set `base_url` of the official SDK to "
        "`…/v2` of this API. A command is stored, sent by a worker with exactly-once effect, and "
        "answered with the carrier's own answer. Repeating the same `command_id` gives the same "
        "answer and has no second effect. An `Idempotency-Key` header does the same; without "
        "either, an id is made and returned in `Offhook-Command-Id`; `Offhook-Session-Id` is where "
        "the command is recorded, even if the carrier refused it. Status and active calls come "
        "from the views.",
    },
    {
        "name": "call control applications",
        "description": "Passed through to the carrier. Its answers and errors come back unchanged.",
    },
    {
        "name": "sessions",
        "description": "Calls with all their legs, from the views. Positions order the records of "
        "one session; they say nothing about the order of two. In a reply about one session, "
        "`meta.as_of_seq` is the position of the newest record in the views of the session's "
        "partition of the log, and `meta.lag_ms` how long the oldest record that they lack has "
        "been waiting there. A list has a position for each partition in `meta.checkpoints`, the "
        "longest wait in `meta.lag_ms`, and `meta.as_of_seq` only if the log has one partition. "
        "With `min_seq`, the position of a record or from the header `Offhook-Position`, a request "
        "waits until the views have that record.",
    },
    {
        "name": "commands",
        "description": "The outcome of a command, sent by an application or a flow.",
    },
    {
        "name": "queues",
        "description": "Who waits in queues now, what became of earlier visits, and who answered. "
        "A hangup counts as not answered in time, except a short one, which is left out of the "
        "service level; so is a visit that ended by `leave` or `timeout`.",
    },
    {
        "name": "health",
        "description": "How Offhook itself is: every role with its readiness, how far the views "
        "are, what became of commands, and parked sessions, which wait for an operator.",
    },
    {"name": "tokens", "description": "What a token may do."},
    {
        "name": "analytics",
        "description": "Key figures of calls, for a time range or each bucket of it. Here a call "
        f"is one leg; a call in progress counts neither as a success nor as a failure.\n{_kpis()}",
    },
]

ERRORS = {
    "description": "An error; every error of the API has this shape",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["errors"],
                "properties": {
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["code", "title"],
                            "properties": {
                                "code": {"type": "string", "examples": ["10015"]},
                                "title": {"type": "string", "examples": ["Bad Request"]},
                                "detail": {"type": "string"},
                                "source": {
                                    "type": "object",
                                    "properties": {
                                        "pointer": {"type": "string", "examples": ["/to"]},
                                        "parameter": {"type": "string"},
                                    },
                                },
                            },
                        },
                    }
                },
            }
        }
    },
}
