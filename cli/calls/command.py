"""The command `offhook calls` and its options, which are the filters of GET /sessions."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from offhook.cli.options import ReadyFile, console, settings_of_command
from offhook.errors import SenderFault
from offhook.patterns import number_patterns_in, patterns_in

LIMIT_DEFAULT = 50
LIMIT_MAX = 100_000

Patterns = str | None
_FIRST_LEG = "Of the first leg."
_TIME = "RFC 3339, as 2026-11-22T10:00:00Z, or how long ago, as 15m, 2h, 7d."


def calls(
    number: Annotated[
        Patterns,
        typer.Option(
            metavar="PATTERNS",
            help="Caller or called party of any leg or failed dial: +12025550101, +4930* (starts "
            "with), *1234 (ends with), !+1202* (does not), !* (has none); several separated by "
            "commas. Other PATTERNS alike.",
        ),
    ] = None,
    from_number: Annotated[
        Patterns, typer.Option("--from", metavar="PATTERNS", help=f"Caller. {_FIRST_LEG}")
    ] = None,
    to_number: Annotated[
        Patterns, typer.Option("--to", metavar="PATTERNS", help=f"Called party. {_FIRST_LEG}")
    ] = None,
    failed: Annotated[
        bool | None,
        typer.Option(
            "--failed/--not-failed",
            help="Whether the flow raised, or a leg failed and none was answered later.",
            show_default=False,
        ),
    ] = None,
    failed_command: Annotated[
        Patterns,
        typer.Option(
            metavar="PATTERNS",
            help="A command failed: its operation (transfer), its reason (refused, deadline, "
            "invalid, unauthorized) or its HTTP status (422); '*' any, '!*' none.",
        ),
    ] = None,
    flow_raised: Annotated[
        bool | None,
        typer.Option(
            "--flow-raised/--flow-not-raised",
            help="Whether it was parked because its flow raised, resumed since or not.",
            show_default=False,
        ),
    ] = None,
    raised_since: Annotated[
        str | None, typer.Option(metavar="TIME", help="The flow raised then or later.")
    ] = None,
    raised_until: Annotated[
        str | None, typer.Option(metavar="TIME", help="The flow raised before.")
    ] = None,
    status: Annotated[
        Literal["active", "ended", "empty"] | None,
        typer.Option(help="Up now, ended, or without legs. Default: active and ended."),
    ] = None,
    cause: Annotated[
        Patterns, typer.Option(metavar="PATTERNS", help=f"Hangup cause. {_FIRST_LEG}")
    ] = None,
    source: Annotated[
        Patterns,
        typer.Option(metavar="PATTERNS", help=f"Who hung up: caller, callee. {_FIRST_LEG}"),
    ] = None,
    sip: Annotated[
        Patterns, typer.Option(metavar="PATTERNS", help=f"SIP code: 486, 5*. {_FIRST_LEG}")
    ] = None,
    leg_cause: Annotated[
        Patterns,
        typer.Option(
            metavar="PATTERNS",
            help="Hangup cause of any leg, whatever the other filters are about.",
        ),
    ] = None,
    leg_sip: Annotated[
        Patterns,
        typer.Option(
            metavar="PATTERNS", help="SIP code of any leg; of the same one as --leg-cause."
        ),
    ] = None,
    direction: Annotated[
        Literal["incoming", "outgoing"] | None, typer.Option(help=_FIRST_LEG)
    ] = None,
    connection: Annotated[
        str | None, typer.Option(metavar="ID", help=f"Call Control Application. {_FIRST_LEG}")
    ] = None,
    flow: Annotated[str | None, typer.Option(help="Name of the flow that decided last.")] = None,
    flow_version: Annotated[str | None, typer.Option(help="Its version.")] = None,
    session: Annotated[
        Patterns, typer.Option(metavar="PATTERNS", help="Session ids, or 8f3a* for its start.")
    ] = None,
    leg: Annotated[
        Patterns,
        typer.Option(
            metavar="PATTERNS",
            help=f"call_control_id, or v3:8f3a* for its start. {_FIRST_LEG}",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help=f"Started then or later. {_TIME}")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Started before.")] = None,
    ended_since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Ended then or later.")
    ] = None,
    ended_until: Annotated[str | None, typer.Option(metavar="TIME", help="Ended before.")] = None,
    longer: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Lasted at least this long.")
    ] = None,
    shorter: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Lasted at most this long.")
    ] = None,
    answered: Annotated[
        bool | None,
        typer.Option(
            "--answered/--not-answered", help="Whether it was answered.", show_default=False
        ),
    ] = None,
    answered_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, help="Answered that long after the start, or later."
        ),
    ] = None,
    answered_within: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="Answered that long after the start at most."),
    ] = None,
    talk_longer: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="At least this long from answer to end."),
    ] = None,
    talk_shorter: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="At most this long from answer to end."),
    ] = None,
    any_leg: Annotated[
        bool,
        typer.Option(
            "--any-leg",
            help="One leg, whichever it is, has to match all filters but --number, --session, "
            "--status, --failed, --failed-command, --flow-raised, --leg-cause and --leg-sip; "
            "otherwise the session and its first leg.",
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=LIMIT_MAX, help="Calls to print, the newest ones.")
    ] = LIMIT_DEFAULT,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Keep running, and print each call when it changes, until Ctrl-C."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each call, with its legs.")
    ] = False,
    ready_file: ReadyFile = None,
) -> None:
    """List calls and search them, newest first."""
    from offhook.cli.calls.run import PAGE, run_calls

    if follow and session is not None:
        raise typer.BadParameter("--follow takes no --session; use `offhook show ID --follow`")
    if follow and limit > PAGE:
        raise typer.BadParameter(f"--follow begins with at most {PAGE} calls, not {limit}")
    at = datetime.now(UTC)
    filters = {
        "number": _checked("--number", number, number_patterns_in),
        "from_number": _checked("--from", from_number, number_patterns_in),
        "to_number": _checked("--to", to_number, number_patterns_in),
        "failed": None if failed is None else str(failed).lower(),
        "failed_command": _checked("--failed-command", failed_command, patterns_in),
        "flow_raised": None if flow_raised is None else str(flow_raised).lower(),
        "flow_raised_from": _moment("--raised-since", raised_since, at),
        "flow_raised_before": _moment("--raised-until", raised_until, at),
        "status": status,
        "hangup_cause": _checked("--cause", cause, patterns_in),
        "hangup_source": _checked("--source", source, patterns_in),
        "sip_hangup_cause": _checked("--sip", sip, patterns_in),
        "leg_hangup_cause": _checked("--leg-cause", leg_cause, patterns_in),
        "leg_sip_hangup_cause": _checked("--leg-sip", leg_sip, patterns_in),
        "direction": direction,
        "connection_id": connection,
        "flow": flow,
        "flow_version": flow_version,
        "session_id": _checked("--session", session, patterns_in),
        "call_control_id": _checked("--leg", leg, patterns_in),
        "started_from": _moment("--since", since, at),
        "started_before": _moment("--until", until, at),
        "ended_from": _moment("--ended-since", ended_since, at),
        "ended_before": _moment("--ended-until", ended_until, at),
        "answered": None if answered is None else str(answered).lower(),
        "duration_s_min": _seconds(longer),
        "duration_s_max": _seconds(shorter),
        "answer_delay_s_min": _seconds(answered_after),
        "answer_delay_s_max": _seconds(answered_within),
        "talk_s_min": _seconds(talk_longer),
        "talk_s_max": _seconds(talk_shorter),
        "any_leg": "true" if any_leg else None,
    }
    run_calls(
        console,
        settings_of_command(ready_file),
        {name: value for name, value in filters.items() if value is not None},
        limit=limit,
        follow=follow,
        as_json=as_json,
    )


def _checked(option: str, text: str | None, read: Callable[[str], object]) -> str | None:
    """The text, if it can be read. Raises BadParameter."""
    if text is None:
        return None
    try:
        read(text)
    except SenderFault as error:
        raise typer.BadParameter(f"{option} {error}") from None
    return text


def _seconds(value: float | None) -> str | None:
    # Not in the form 1e-05, which the API does not take.
    return None if value is None else f"{value:.6f}"


def _moment(option: str, text: str | None, now: datetime) -> str | None:
    """The time in RFC 3339. Raises BadParameter."""
    from offhook.history.selection import moment_from

    if text is None:
        return None
    try:
        return moment_from(text, now).isoformat()
    except SenderFault as error:
        raise typer.BadParameter(f"{option}: {error}") from None
